"""Looking at the running system: what waits, what runs, who works. Reads only, and never walks the history."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from django.db.models import Count, Min, Q, QuerySet

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL, jobs_settings
from django_jobs.engine.batches import status as batch_status
from django_jobs.engine.dispatch.window import live_workers
from django_jobs.engine.foreign_entries import SetAside
from django_jobs.engine.insight.schedule_diagnostics import SchedulesSeen, read_schedules
from django_jobs.engine.ports import Broker, Queue, get_broker
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.head_starts import waits_since
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import Batch, EngineLease, Job, JobType, Worker
from django_jobs.statuses import IN_FLIGHT, TERMINAL, UNFINISHED, Priority, Status
from django_jobs.values import BatchStatus

T = TypeVar("T")

#: Jobs of one status that have ended are counted up to so many.
MAX_ENDED: Final = 10_000
#: Batches that have not ended are counted up to so many, and so many of them are shown.
MAX_BATCHES: Final = 10_000
SHOWN_BATCHES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """What a priority of a pool has before it: due and later in the backlog, with a ticket at the broker, running."""

    pool: str
    priority: Priority
    due: int = 0
    later: int = 0
    queued: int = 0
    running: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """The scheduler that leads, and how many seconds ago it ticked (None: never)."""

    holder: str
    seconds_since_tick: float | None

    @property
    def is_alive(self) -> bool:
        limit = max(10.0, 5 * float(jobs_settings.SCHEDULER_INTERVAL))
        return self.seconds_since_tick is not None and self.seconds_since_tick <= limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """The batches that are open or running: how many, up to MAX_BATCHES and one more, and the oldest of them."""

    count: int
    oldest: list[BatchStatus]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The system at one moment.

    ``depths`` are those of each configured pool, and of any other that has jobs. ``ended`` counts to MAX_ENDED and one
    more; what the broker says is None without it.
    """

    moment: dt.datetime
    unfinished: dict[str, int]
    ended: dict[str, int]
    depths: list[Depth]
    tickets: dict[Queue, int] | None
    set_aside: SetAside | None
    batches: Batches
    workers: list[Worker]
    oldest_waiting_seconds: float | None
    leader: Leader
    schedules: SchedulesSeen


def snapshot() -> Snapshot:
    """Everything that `jobs_status` shows, in a handful of statements."""
    now = database.now()
    of_types = dict(JobType.primary.exclude(pool=DEFAULT_POOL).values_list("pk", "pool"))
    unfinished: Counter[str] = Counter()
    cells: Counter[tuple[Queue, str]] = Counter()
    oldest: list[dt.datetime] = []
    for status, priority, kind, total, due, first in _waiting_rows(now):
        unfinished[status] += total
        queue = Queue(of_types.get(kind, DEFAULT_POOL), priority)
        cells[queue, "due"] += due
        cells[queue, "later"] += total - due
        oldest += [first] if due else []
    for status, priority, kind, total, first in _in_flight_rows():
        unfinished[status] += total
        cells[Queue(of_types.get(kind, DEFAULT_POOL), priority), status.lower()] += total
        oldest += [first] if status == Status.QUEUED and first else []
    return Snapshot(
        moment=now,
        unfinished={str(status): unfinished[status] for status in Status if status in UNFINISHED},
        ended=_ended(),
        depths=_depths(cells),
        tickets=_ask(lambda broker: broker.depths()),
        set_aside=_ask(lambda broker: broker.set_aside()),
        batches=_batches(),
        workers=live_workers(),
        oldest_waiting_seconds=max(0.0, (now - min(oldest)).total_seconds()) if oldest else None,
        leader=leader(now),
        schedules=read_schedules(),
    )


def _depths(cells: Counter[tuple[Queue, str]]) -> list[Depth]:
    names = ("due", "later", "queued", "running")
    shown = dict.fromkeys([*pools.names(), *sorted(queue.pool for (queue, _), count in cells.items() if count)])
    return [
        Depth(pool=pool, priority=item, **{name: cells[Queue(pool, int(item)), name] for name in names})
        for pool in shown
        for item in sorted(Priority, reverse=True)
    ]


def jobs() -> QuerySet[Job]:
    """All jobs, in no order."""
    return Job.primary.order_by()


def waiting() -> QuerySet[Job]:
    """Return the jobs that wait for dispatch, in no order."""
    return store().waiting_jobs()


def blocked() -> QuerySet[Job]:
    """Return the jobs that wait for other jobs, in the order in which they cost the least."""
    return store().blocked_jobs()


def _waiting_rows(now: dt.datetime) -> Iterator[tuple[Any, ...]]:
    due = Count("pk", filter=Q(ready_at__lte=now))
    names = ("status", "priority", "job_type_id")
    grouped = waiting().values(*names).annotate(total=Count("pk"), due=due, first=Min(waits_since()))
    yield from grouped.values_list(*names, "total", "due", "first")


def _in_flight_rows() -> Iterator[tuple[Any, ...]]:
    names = ("status", "priority", "job_type_id")
    rows = jobs().filter(status__in=sorted(IN_FLIGHT)).values(*names)
    yield from rows.annotate(total=Count("pk"), first=Min("queued_at")).values_list(*names, "total", "first")


def _ended() -> dict[str, int]:
    """Status by status, since each has an index of its own and they differ in number by thousands."""
    ended = (status for status in Status if status in TERMINAL)
    return {str(status): jobs().filter(status=status)[: MAX_ENDED + 1].count() for status in ended}


def _batches() -> Batches:
    """Those that have not ended, by an index that holds no others at its beginning."""
    unended = Batch.primary.filter(completed_at__isnull=True).order_by("pk")
    count = unended[: MAX_BATCHES + 1].count()
    oldest = list(batch_status.up_to_date(unended)[:SHOWN_BATCHES]) if count else []
    return Batches(count=count, oldest=batch_status.describe_all(oldest) if oldest else [])


def _ask(question: Callable[[Broker], T]) -> T | None:
    """What the broker says; None where it does not answer."""
    try:
        return question(get_broker())
    except BrokerUnavailable:
        return None


def leader(now: dt.datetime) -> Leader:
    """Which scheduler leads, and since when it has been silent."""
    row = EngineLease.primary.filter(pk="scheduler").first()
    if row is None or row.ticked_at is None:
        return Leader(holder="", seconds_since_tick=None)
    return Leader(holder=row.holder, seconds_since_tick=max(0.0, (now - row.ticked_at).total_seconds()))


def has_jobs(**lookup: Any) -> bool:
    """Return whether any job matches, without loading one."""
    return jobs().filter(**lookup).exists()
