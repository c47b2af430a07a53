"""What the engine does all day, each with what has to be there before."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from django_jobs import (
    cancel_job,
    get_job_history,
    get_job_metrics,
    get_job_status,
    list_jobs,
    retry_job,
    submit_job,
    submit_jobs,
)
from django_jobs.models import EngineLease, ExecutionLog, Job
from django_jobs.statuses import Status
from tests.support import verbs
from tests.support.brokers import WORKER, job_in, pending_job, queue_up, raised, returned, ticket_of
from tests.support.verbs import Claimed, Loss, OrphanWatch, Scheduler, Ticket, TicketWatch

#: Statuses that lists are asked for.
STATUSES: Final = (Status.PENDING, Status.RUNNING, Status.COMPLETED, Status.DEAD_LETTER)
#: So many jobs are claimed, settled and so on at once.
SET: Final = 10


class Deed(NamedTuple):
    """Something to do; ``prepare`` makes its argument."""

    act: Callable[[Any], object]
    prepare: Callable[[], Any] = lambda: None


class Everyday:
    """Deeds about jobs of one organization and type, given by one of them."""

    def __init__(self, pattern: Job) -> None:
        self.pattern, self.kind, self.organization = pattern, pattern.job_type, pattern.organization

    def of_the_engine(self) -> dict[str, Deed]:
        """What happens for each job, and in each tick of the scheduler."""
        submit = {"job_type": self.kind, "organization": self.organization}
        return {
            "submit": Deed(lambda _: submit_job(self.kind, self.organization)),
            "submit, unique": Deed(lambda _: submit_job("unique", self.organization)),
            "submit, rate limited": Deed(lambda _: submit_job("limited", self.organization)),
            "submit a child": Deed(
                lambda jobs: submit_job(self.kind, self.organization, depends_on=jobs), lambda: self.pending(2)
            ),
            "submit many": Deed(lambda _: submit_jobs([{**submit, "parameters": {"n": n}} for n in range(SET)])),
            "queue a new one": Deed(verbs.dispatch_new, lambda: self.pending(1)[0]),
            "queue a new one of low priority": Deed(
                verbs.dispatch_new, lambda: pending_job(self.kind, self.organization, priority="Low")
            ),
            "wake": Deed(lambda _: verbs.wake()),
            "dispatch": Deed(lambda _: verbs.dispatch()),
            "dispatch few": Deed(lambda _: verbs.dispatch(), lambda: self.pending(3)),
            "is anything queued": Deed(lambda _: verbs.dispatch_what_is_left()),
            "claim one": Deed(lambda found: verbs.claim(found, WORKER), lambda: self.tickets(1)),
            "claim one like another": Deed(lambda found: verbs.claim(found, WORKER), self.ticket_like_another),
            "claim": Deed(lambda found: verbs.claim(found, WORKER), self.tickets),
            "settle one": Deed(lambda found: verbs.settle(list(map(returned, found)), WORKER), lambda: self.claimed(1)),
            "settle": Deed(lambda found: verbs.settle(list(map(returned, found)), WORKER), self.claimed),
            "settle failures": Deed(lambda found: verbs.settle(list(map(raised, found)), WORKER), self.claimed),
            "settle deaths": Deed(
                lambda found: verbs.settle([raised(item, "Permanent") for item in found], WORKER), self.claimed
            ),
            "renew": Deed(lambda _: verbs.renew_leases([WORKER]), self.claimed),
            "note what began": Deed(
                lambda found: verbs.note_begun([(item.pk, item.attempt) for item in found], [WORKER]), self.claimed
            ),
            "requeue": Deed(
                lambda found: verbs.requeue_attempts([(item.pk, item.attempt) for item in found], "", WORKER),
                self.claimed,
            ),
            "give up a claim": Deed(lambda found: verbs.give_up_claim(found, WORKER), self.tickets),
            "release a worker": Deed(
                lambda _: verbs.end_lost_worker(Loss(worker_name=WORKER, started=frozenset(), reason="")),
                self.claimed,
            ),
            "rescue": Deed(lambda _: verbs.rescue_expired(), self.expired),
            "expire": Deed(lambda _: verbs.expire_jobs(), self.overdue),
            "bring what is due": Deed(lambda _: verbs.bring_due(), self.due),
            "issue lost tickets": Deed(lambda _: TicketWatch().reissue_lost(), self.tickets),
            "bury": Deed(lambda _: OrphanWatch().bury()),
            "follow up": Deed(lambda _: verbs.follow_up_in_tick(), self.ended_parents),
            "roll up": Deed(lambda _: verbs.roll_up(), self.new_events),
            "tick": Deed(lambda _: Scheduler("test").tick(), self.new_events),
            "cancel": Deed(cancel_job, lambda: self.pending(1)[0]),
            "retry by hand": Deed(
                retry_job, lambda: job_in("Dead Letter", job_type=self.kind, organization=self.organization)
            ),
            "status": Deed(lambda _: get_job_status(self.pattern.name)),
            "history": Deed(lambda _: get_job_history(self.pattern.name)),
            "events": Deed(lambda _: self.events()),
        }

    def of_readers(self) -> dict[str, Deed]:
        """What people and dashboards look at."""
        mine = self.organization
        return {
            "metrics": Deed(lambda _: get_job_metrics()),
            "metrics of one": Deed(lambda _: get_job_metrics(mine)),
            "list": Deed(lambda _: list_jobs()),
            "list one's": Deed(lambda _: list_jobs(mine)),
            "list a type's": Deed(lambda _: list_jobs(job_type=self.kind)),
            "list one's of a type": Deed(lambda _: list_jobs(mine, job_type=self.kind)),
            "list an unused type's": Deed(lambda _: list_jobs(job_type="unique")),
            **{f"list {status}": _listing(None, status) for status in STATUSES},
            **{f"list one's {status}": _listing(mine, status) for status in STATUSES},
        }

    def events(self) -> None:
        """What a socket asks for when it joins, and from then on."""
        last = verbs.store().last_event(self.organization.pk)
        list(verbs.store().events_behind(self.organization.pk, last)[:SET])

    def pending(self, count: int = SET) -> list[Job]:
        return [pending_job(self.kind, self.organization) for _ in range(count)]

    def tickets(self, count: int = SET) -> list[Ticket]:
        return [ticket_of(queue_up(job)) for job in self.pending(count)]

    def ticket_like_another(self) -> list[Ticket]:
        """One of a job that is like one that was claimed just now."""
        found = self.tickets(2)
        verbs.claim(found[:1], WORKER)
        return found[1:]

    def claimed(self, count: int = SET) -> list[Claimed]:
        return verbs.claim(self.tickets(count), WORKER)

    def expired(self) -> None:
        self._change(lease_expires_at=self._yesterday(), pks=[item.pk for item in self.claimed()])

    def overdue(self) -> None:
        self._change(expires_at=self._yesterday(), pks=[job.pk for job in self.pending()])

    def due(self) -> None:
        self._change(is_delayed=True, pks=[job.pk for job in self.pending()])

    def ended_parents(self) -> None:
        parents = self.pending(2)
        submit_job(self.kind, self.organization, depends_on=parents)
        verbs.settle(list(map(returned, verbs.claim([ticket_of(queue_up(job)) for job in parents], WORKER))), WORKER)

    def new_events(self) -> None:
        """Some that the roll-ups have not counted yet."""
        newest = ExecutionLog.objects.order_by("-pk")[0].pk
        EngineLease.objects.create(name=verbs.ROLLUP_LEASE, state={"done": newest, "settled": newest + SET})
        self.pending()

    def _yesterday(self) -> dt.datetime:
        return verbs.now() - dt.timedelta(days=1)

    def _change(self, pks: list[int], **values: Any) -> None:
        Job.objects.filter(pk__in=pks).update(**values)


def _listing(organization: Any, status: str) -> Deed:
    return Deed(lambda _: list_jobs(organization, status))
