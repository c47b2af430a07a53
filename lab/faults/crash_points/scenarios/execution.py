"""What a worker does: it claims, runs, writes progress, settles every kind of end, and requeues."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from django_jobs import cancel_job
from django_jobs.models import Job, JobStep, JobType, Organization
from django_jobs.statuses import TERMINAL, Status
from lab.faults.crash_points.processes import Ending
from lab.faults.crash_points.scenario import Scenario
from lab.faults.crash_points.worker import work
from lab.faults.crash_points.world import (
    GUARDED,
    IN_STEPS,
    LIMITED,
    MISSING,
    NESTING,
    ORGANIZATIONS,
    PAUSED,
    PLAIN,
    SAVING,
    VICTIM,
    admin,
    queued,
    ran,
    running,
    status,
    submitted,
)
from tests.support import record, verbs
from tests.support.brokers import raised, ticket_of
from tests.support.tuning import set_for_good
from tests.support.verbs import Loss, ProgressBuffer, RunningTicket, outcomes

Given = list[int]


def two_of_two() -> Given:
    return [queued(organization=name).pk for name in ORGANIZATIONS]


def all_kinds() -> Given:
    """Jobs that complete, fail once, save a file, and fail for good."""
    first = [queued(parameters={"ends": how}).pk for how in (["return"], ["fail", "return"])]
    return [*first, queued(SAVING).pk, queued(parameters={"ends": "fail for good"}).pk]


def one(job_type: str = PLAIN, **fields: Any) -> Callable[[], Given]:
    return lambda: [queued(job_type, **fields).pk]


def act_as_worker(given: Given) -> list[tuple[int, int]]:
    return work()


def backlog() -> Given:
    return [submitted(organization=name).pk for _ in range(4) for name in ORGANIZATIONS]


def work_off_a_backlog(given: Given) -> list[tuple[int, int]]:
    """Act as a worker that takes shares, however small, of all that waits, once it knows that the policy allows it."""
    set_for_good(share_least_jobs=1)
    return work()


def completed(given: Given, ending: Ending) -> Iterator[str]:
    return all_are(Status.COMPLETED)(given, ending)


def all_are(*expected: str) -> Callable[[Given, Ending], Iterator[str]]:
    """Each job has one of these statuses, and a worker that lives holds nothing that it does not run."""

    def check(given: Given, ending: Ending) -> Iterator[str]:
        if ending.has_returned and isinstance(ending.value, list) and ending.value:
            yield f"The worker lives and holds {ending.value}, which nobody runs."
        for pk in given:
            if (found := status(pk)) not in expected:
                yield f"Job {pk} is {found} and not {' or '.join(expected)}."

    return check


def as_their_kinds(given: Given, ending: Ending) -> Iterator[str]:
    yield from completed(given[:-1], ending)
    yield from all_are(Status.DEAD_LETTER)(given[-1:], ending)


def in_steps_once(given: Given, ending: Ending) -> Iterator[str]:
    """No attempt does a step twice, and none does one that an earlier attempt has stored."""
    yield from completed(given, ending)
    stored = dict(JobStep.objects.filter(job_id__in=given).values_list("name", "attempt"))
    did = [
        (event.how, event.attempt) for event in record.read(Path(os.environ[record.VARIABLE])) if event.what == "step"
    ]
    if len(set(did)) < len(did):
        yield f"A step was done twice in one attempt: {did}."
    for name, attempt in stored.items():
        if max(number for step, number in did if step == name) != attempt:
            yield f"{name} was stored by attempt {attempt} and done again: {did}."
    if set(stored) != {"charge", "book", "mail"}:
        yield f"Only {sorted(stored)} are stored."


def ended(given: Given, ending: Ending) -> Iterator[str]:
    return all_are(*TERMINAL)(given, ending)


def claimed_of(given: Given) -> list[Any]:
    jobs = Job.primary.filter(pk__in=given).order_by("pk")
    return verbs.claim([ticket_of(job) for job in jobs], VICTIM)


def settle_as(make: Callable[[Any], outcomes.Outcome]) -> Callable[[Given], None]:
    """Claim the jobs, and store that they ended like this."""
    return lambda given: verbs.settle_all([make(item) for item in claimed_of(given)], VICTIM)


def timed_out(item: Any) -> outcomes.Outcome:
    return outcomes.TimedOut(claimed=item)


def interrupted(item: Any) -> outcomes.Outcome:
    return outcomes.Interrupted(claimed=item, text="the worker shuts down")


def postponed(item: Any) -> outcomes.Outcome:
    return outcomes.Postponed(claimed=item, delay=60.0, text="the office is closed")


def claim_only(given: Given) -> int:
    return len(claimed_of(given))


def cancel_while_running(given: Given) -> None:
    claimed = claimed_of(given)
    for item in claimed:
        cancel_job(item.job_id)
    verbs.settle_all([outcomes.Canceled(claimed=item) for item in claimed], VICTIM)


def claimed_two() -> Given:
    return [running().pk, running().pk]


def write_progress(given: Given) -> None:
    buffer = ProgressBuffer(VICTIM)
    for pk in given:
        buffer.report((pk, 1), 50, "half")
    buffer.flush()


def requeue(given: Given) -> None:
    verbs.requeue_attempts([(pk, 1) for pk in given], "Requeued: it waited", VICTIM)


def renew(given: Given) -> int:
    verbs.announce_worker(VICTIM, ["jobs-normal"], slots=1)
    return len(verbs.renew_leases([VICTIM]))


def release(given: Given) -> bool:
    """The supervisor ends what a dead child held: one job had begun, the other one had not."""
    loss = Loss(worker_name=VICTIM, started=frozenset({(given[0], 1)}), reason="process 1 was killed")
    is_done = verbs.end_lost_worker(loss)
    verbs.withdraw_worker(VICTIM)
    return is_done


def paused() -> Given:
    pks = [queued(PAUSED).pk]
    JobType.objects.filter(pk=PAUSED).update(is_paused=True)
    return pks


def suspended() -> Given:
    pks = [queued(organization=ORGANIZATIONS[1]).pk]
    Organization.objects.filter(name=ORGANIZATIONS[1]).update(is_active=False)
    return pks


def expired() -> Given:
    job = queued(expires_at=verbs.now() + dt.timedelta(hours=1))
    Job.objects.filter(pk=job.pk).update(expires_at=verbs.now() - dt.timedelta(seconds=1))
    return [job.pk]


def of_nobody() -> Given:
    job = queued(user=admin())
    Job.objects.filter(pk=job.pk).update(owner=None)
    return [job.pk]


def limited() -> Given:
    """A job that has the only place of its type, and two that wait for it."""
    pks = [submitted(LIMITED, organization=name).pk for name in (*ORGANIZATIONS, ORGANIZATIONS[0])]
    verbs.dispatch_freed(has_ended=True)
    return pks


def fill_a_freed_place(given: Given) -> None:
    """The job ends, and its worker lets the next one go; then the next but one."""
    for _ in given:
        verbs.settle_all([ran(item) for item in claimed_of(_queued(given))], VICTIM)
        verbs.dispatch_freed(has_ended=True)


def _queued(given: Given) -> Given:
    return list(Job.objects.filter(pk__in=given, status=Status.QUEUED).values_list("pk", flat=True))


def guarded() -> Given:
    """A job of a type with a breaker that fails once, and one that waits."""
    first = queued(GUARDED, parameters={"ends": ["fail", "return"]}).pk
    return [first, submitted(GUARDED, organization=ORGANIZATIONS[1]).pk]


def come_and_go(given: Given) -> None:
    """A worker appears at Redis, says what it runs, and leaves."""
    consumer = verbs.get_broker().consumer(VICTIM)
    consumer.announce()
    tickets = [ticket_of(job) for job in Job.primary.filter(pk__in=given).order_by("pk")]
    consumer.beat([RunningTicket(ticket, 1.0) for ticket in tickets])
    consumer.beat([])
    consumer.leave(tickets)


SCENARIOS: Final = (
    Scenario(name="work on all kinds of jobs", prepare=all_kinds, act=act_as_worker, check=as_their_kinds),
    Scenario(name="work off a backlog", prepare=backlog, act=work_off_a_backlog, check=completed),
    Scenario(name="submit from a handler", prepare=one(NESTING), act=act_as_worker, check=completed),
    Scenario(name="work in steps", prepare=one(IN_STEPS), act=act_as_worker, check=in_steps_once),
    Scenario(name="fill a freed place", prepare=limited, act=fill_a_freed_place, check=completed),
    Scenario(name="open a breaker", prepare=guarded, act=settle_as(raised), check=completed),
    Scenario(name="complete", prepare=two_of_two, act=settle_as(ran), check=completed),
    Scenario(name="fail with no retry left", prepare=one(max_retries=0), act=settle_as(raised), check=ended),
    Scenario(name="run out of time", prepare=one(), act=settle_as(timed_out), check=completed),
    Scenario(name="put off", prepare=one(), act=settle_as(postponed), check=completed),
    Scenario(name="shut down in mid-job", prepare=two_of_two, act=settle_as(interrupted), check=completed),
    Scenario(name="cancel while running", prepare=one(), act=cancel_while_running, check=ended),
    Scenario(name="come and go", prepare=two_of_two, act=come_and_go, check=completed),
    Scenario(name="write progress", prepare=claimed_two, act=write_progress, check=completed),
    Scenario(name="requeue", prepare=claimed_two, act=requeue, check=completed),
    Scenario(name="renew leases", prepare=claimed_two, act=renew, check=completed),
    Scenario(name="end what a dead child held", prepare=claimed_two, act=release, check=completed),
    Scenario(name="refuse a paused type", prepare=paused, act=claim_only, check=all_are("Pending", "Queued")),
    Scenario(name="refuse a suspended tenant", prepare=suspended, act=claim_only, check=all_are("Pending", "Queued")),
    Scenario(name="refuse what has expired", prepare=expired, act=claim_only, check=all_are("Canceled")),
    Scenario(name="refuse a missing owner", prepare=of_nobody, act=claim_only, check=all_are("Dead Letter")),
    Scenario(name="refuse a missing handler", prepare=one(MISSING), act=claim_only),
)
