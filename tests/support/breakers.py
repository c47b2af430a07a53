"""Types with a breaker, and a dispatcher that asks nothing but breakers."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from django.db.models import F

from django_jobs.models import Breaker, Job, JobType
from django_jobs.statuses import DISPATCHABLE, IN_FLIGHT, BreakerState, Status
from tests.support import verbs
from tests.support.brokers import WORKER, end, raised, running_job
from tests.support.factories import make_job_type
from tests.support.verbs import QUEUED, SYSTEM, Claimed, Move, Moved, Ticket

FAILURES: Final = 3
PAUSE: Final = 60
MOMENTS: Final = ("opened_at", "next_try_at", "tries_since", "recovering_since")


def make_fragile_type(**fields: Any) -> JobType:
    """A type that is held after FAILURES failures, and tries once in PAUSE seconds."""
    return make_job_type(**{"breaker_failures": FAILURES, "breaker_pause": PAUSE, **fields})


def attempts(kind: JobType, count: int) -> list[Claimed]:
    """So many jobs of a type that a worker has claimed."""
    return [running_job(job_type=kind)[1] for _ in range(count)]


def breaker_of(kind: JobType) -> Breaker:
    """The breaker of a type as it is now."""
    return Breaker.primary.get(pk=kind.pk)


def open_by_failures(kind: JobType, organization: Any = None) -> Breaker:
    """The breaker of a type, open since so many of its jobs failed: of one organization, or each of another."""
    for _ in range(kind.breaker_failures):
        end(raised(running_job(job_type=kind, organization=organization)[1]))
    row = breaker_of(kind)
    assert row.state == BreakerState.OPEN
    return row


def let_pass(kind: JobType, seconds: float) -> None:
    """Let the breaker of a type have been as it is for so many more seconds."""
    by = dt.timedelta(seconds=seconds)
    for name in MOMENTS:
        Breaker.primary.filter(pk=kind.pk, **{f"{name}__isnull": False}).update(**{name: F(name) - by})


def let_go(kind: JobType, room: int = 1_000) -> list[Moved]:
    """Queue as many waiting jobs of a type as its breaker and the room allow, those that are due first."""

    def make_pass() -> list[Moved]:
        held = verbs.read_held_breakers()
        running = Job.primary.filter(job_type=kind, status__in=sorted(IN_FLIGHT))
        of_each = Counter((pk, kind.pk) for pk in running.values_list("organization_id", flat=True))
        in_flight = of_each.total()
        allowed = held.more_allowed({**of_each, (None, kind.pk): in_flight}).values()
        count = min([room - in_flight, *allowed])
        rows = verbs.store().waiting_jobs().filter(job_type=kind, ready_at__lte=verbs.now()).order_by("ready_at", "pk")
        moves = [Move(pk=job.pk, to_status=Status.QUEUED, values=QUEUED) for job in rows[: max(0, count)]]
        moved = verbs.move(sorted(moves, key=lambda item: item.pk), verbs.Terms(sources=DISPATCHABLE, actor=SYSTEM))
        held.note_tries({kind.pk: len(moved)})
        return moved

    return verbs.in_transaction(make_pass)


def claim_moved(moved: Sequence[Moved], worker_name: str = WORKER) -> list[Claimed]:
    """What a worker can claim of jobs that were queued."""
    return verbs.claim([Ticket(item.pk, item.year, item.attempt + 1, item.priority) for item in moved], worker_name)


def claim_try(kind: JobType) -> Claimed:
    """The next job that tries, once it is time for that."""
    let_pass(kind, kind.breaker_pause)
    (claimed,) = claim_moved(let_go(kind))
    return claimed
