"""The running system: what waits, what runs, who works, which limits and breakers hold jobs. Reads only."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from django.db.models import Count, Min, Q, QuerySet

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL, jobs_settings
from django_jobs.engine.batches import describe_batches, up_to_date
from django_jobs.engine.dispatch.in_flight import count_in_flight
from django_jobs.engine.dispatch.limits import TypeFlow, breaker_state, flow_of, is_holding, read_special
from django_jobs.engine.dispatch.window import live_workers
from django_jobs.engine.insight import reasons
from django_jobs.engine.organizations import current_ids
from django_jobs.engine.ports import Broker, Queue, get_broker
from django_jobs.engine.store import database
from django_jobs.engine.store.counting import capped_count
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import Lane, waits_since
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import Batch, Breaker, EngineLease, Job, JobType, Schedule, Worker
from django_jobs.statuses import IN_FLIGHT, TERMINAL, UNFINISHED, BreakerState, Priority, Status

# Looking at schedules: how many there are, which fire next, and which cannot.


#: How many that cannot fire are told one by one.
SHOWN_FAULTY: Final = 5
FAULTY: Final = Q(is_enabled=True) & ~Q(fault="")
#: How many of those that fire next are told.
MAX_NEXT: Final = 3


def _schedules() -> dict[str, Any]:
    """Return how many schedules there are, the first that cannot fire, and those that fire next."""
    found = Schedule.primary.aggregate(
        count=Count("pk"), paused=Count("pk", filter=Q(is_enabled=False)), cannot_fire=Count("pk", filter=FAULTY)
    )
    coming = Schedule.primary.filter(next_run_at__isnull=False).order_by("next_run_at", "pk")[:MAX_NEXT]
    faulty = first_faulty(SHOWN_FAULTY) if found["cannot_fire"] else []
    return found | {
        "faults": [{"id": row.pk, "name": row.name, "reason": row.fault} for row in faulty],
        "next": [{"id": row.pk, "name": row.name, "at": row.next_run_at} for row in coming],
    }


def first_faulty(most: int) -> list[Schedule]:
    """Return the first schedules that cannot fire, by name."""
    return list(Schedule.primary.filter(FAULTY).order_by("name", "pk")[:most])


# How much of their limits job types use now, and which limit a waiting job has reached. Reads only.


#: Types at their limits that are told.
MAX_FULL: Final = 5


class Reached(NamedTuple):
    """A limit that is reached: the job type's field that sets it, how many are queued or running, and the limit."""

    field: str
    number: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsInUse:
    """What of one job type is queued or running, lane by lane, beside the type's limits."""

    flow: TypeFlow
    lanes: Counter[Lane]

    @property
    def total(self) -> int:
        """How many are queued or running."""
        return self.lanes.total()

    @property
    def is_any_reached(self) -> bool:
        """Whether the type, or one of its organizations or keys, may have no more queued or running."""
        is_full = self.flow.max_running is not None and self.total >= self.flow.max_running
        return is_full or bool(self.full_organizations() or self.full_keys())

    def full_organizations(self) -> dict[Any, int]:
        """Return how many the organizations have that are at their limits, by primary key, the most first."""
        limit = self.flow.max_running_per_organization
        return {} if limit is None else {pk: n for pk, n in self._by_organization().most_common() if n >= limit}

    def full_keys(self) -> dict[Lane, int]:
        """Return how many the keys have that are at their limits, the most first."""
        limit = self.flow.max_running_per_key
        return {lane: n for lane, n in self.lanes.most_common() if self.flow.concurrency_key and n >= limit}

    def reached_by(self, lane: Lane) -> Reached | None:
        """Return the first limit that keeps a job of this lane from being queued; None where only a rate may."""
        flow = self.flow
        own = self._by_organization()[lane.organization_pk]
        limits = [
            Reached("max_running", self.total, flow.max_running or 0),
            Reached("max_running_per_organization", own, flow.max_running_per_organization or 0),
            Reached("max_running_per_key", self.lanes[lane], flow.max_running_per_key if flow.concurrency_key else 0),
        ]
        return next((item for item in limits if item.limit and item.number >= item.limit), None)

    def _by_organization(self) -> Counter[Any]:
        found: Counter[Any] = Counter()
        for lane, count in self.lanes.items():
            found[lane.organization_pk] += count
        return found


def read_in_use(kind: JobType) -> LimitsInUse:
    """Return how much of its limits a type uses."""
    return _in_use([flow_of(kind)])[0]


def _in_use(flows: Collection[TypeFlow]) -> list[LimitsInUse]:
    lanes: dict[str, Counter[Lane]] = {flow.type_name: Counter() for flow in flows}
    for lane, count in count_in_flight(has_lock=False).by_lane.items() if lanes else ():
        if lane.job_type in lanes:
            lanes[lane.job_type][lane] += count
    return [LimitsInUse(flow=flow, lanes=lanes[flow.type_name]) for flow in flows]


def _reached_limits() -> list[dict[str, Any]]:
    """Return the types of which jobs wait since a limit is reached, by name, MAX_FULL and one more of them at most.

    Rates of starts are not looked at.
    """
    flows = [flow for _, flow in sorted(read_special().items()) if flow.is_open and _limits_running(flow)]
    found: list[dict[str, Any]] = []
    for item in _in_use(flows):
        if item.is_any_reached and len(found) <= MAX_FULL:
            count, has_more = capped_count(waiting().filter(job_type_id=item.flow.type_name))
            facts = {
                "job_type": item.flow.type_name,
                "in_use": item.total,
                "max_running": item.flow.max_running,
                "full_organizations": len(item.full_organizations()),
                "full_keys": len(item.full_keys()),
                "waiting": count,
                "waiting_capped": has_more,
            }
            found += [facts] if count else []
    return found


def _limits_running(flow: TypeFlow) -> bool:
    limits = (flow.max_running, flow.max_running_per_organization)
    return bool(flow.concurrency_key) or any(limit is not None for limit in limits)


# Which job types are held by their breakers, for which organization, and since when.


#: Waiting jobs of a type are counted up to so many.
MAX_WAITING: Final = 10_000
#: Characters of an error in a finding.
MAX_ERROR: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBreaker:
    """A breaker that holds the jobs of its type: all, or those of one ``organization``. Times are aware, in UTC.

    Of that, ``organization`` is the id that it has now, or its key where it is gone; "" is all, without a key.
    ``since`` is when it opened, also while it recovers; ``failures`` is how many attempts in a row have failed.
    ``next_try_at`` is None while it recovers. ``waiting`` counts up to MAX_WAITING and one more; None if nobody asked.
    """

    job_type: str
    state: BreakerState
    since: dt.datetime
    error_message: str
    failures: int
    next_try_at: dt.datetime | None
    waiting: int | None = None
    organization_pk: Any = None
    organization: str = ""

    @property
    def waiting_words(self) -> str:
        """Return how many jobs wait, as it is shown."""
        count = self.waiting or 0
        return reasons.counted(min(count, MAX_WAITING), has_more=count > MAX_WAITING)


def open_breakers(
    types: Collection[str] | None = None, *, most: int | None = None, counts_waiting: bool = True
) -> list[OpenBreaker]:
    """Return the breakers that hold jobs now, the one that opened first in front: of these types, or of all.

    At most ``most`` are returned. Counting what waits takes a statement for each; without ``counts_waiting`` it is
    left out.
    """
    rows = _holding(types)[:most]
    ids = current_ids({row.organization_id for _, row in rows} - {None})
    found = [_describe(row, now, ids) for now, row in rows]
    return [dataclasses.replace(item, waiting=count_waiting(item)) for item in found] if counts_waiting else found


def held_types(types: Collection[str] | None = None) -> dict[str, Any]:
    """Return the job types whose jobs are held now, of these types or of all, each with whose jobs are.

    That is the key of one organization, or None for all.
    """
    return {row.pk: row.organization_id for _, row in _holding(types)}


def is_held(held: Mapping[str, Any], job_type: str, organization_pk: Any) -> bool:
    """Return whether the jobs of a type and an organization are among those ``held``."""
    return job_type in held and held[job_type] in {None, organization_pk}


def _holding(types: Collection[str] | None = None) -> list[tuple[dt.datetime, Breaker]]:
    rows = Breaker.primary.exclude(state=BreakerState.CLOSED).select_related("job_type").order_by("opened_at", "pk")
    found = list(rows if types is None else rows.filter(pk__in=types))
    if not found:
        return []
    now = database.now()
    return [(now, row) for row in found if is_holding(row, now)]


def _describe(row: Breaker, now: dt.datetime, ids: Mapping[Any, str]) -> OpenBreaker:
    pk = row.organization_id
    return OpenBreaker(
        job_type=row.pk,
        state=breaker_state(row, now),
        since=row.opened_at or now,
        error_message=row.error_message,
        failures=row.failures,
        next_try_at=row.next_try_at,
        organization_pk=pk,
        organization="" if pk is None else ids.get(pk, str(pk)),
    )


def waiting_by_organization(item: OpenBreaker) -> Counter[Any]:
    """Return how many jobs a breaker holds, by their organizations' keys; MAX_WAITING and one more of them are read."""
    return Counter(_waiting(item).values_list("organization_id", flat=True)[: MAX_WAITING + 1])


def count_waiting(item: OpenBreaker) -> int:
    """Return how many jobs a breaker holds, counted up to MAX_WAITING and one more."""
    return _waiting(item)[: MAX_WAITING + 1].count()


def _waiting(item: OpenBreaker) -> QuerySet[Job]:
    rows = waiting().filter(job_type_id=item.job_type)
    return rows if item.organization_pk is None else rows.filter(organization_id=item.organization_pk)


# Looking at the running system: what waits, what runs, who works. Reads only, and never walks the history.


T = TypeVar("T")

#: Batches that have not ended, and breakers, of which so many are told one by one.
SHOWN_BATCHES: Final = 5
SHOWN_BREAKERS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """The scheduler that leads, and how many seconds ago it ticked (None: never)."""

    holder: str
    seconds_since_tick: float | None

    @property
    def is_alive(self) -> bool:
        limit = max(10.0, 5 * float(jobs_settings.SCHEDULER_INTERVAL))
        return self.seconds_since_tick is not None and self.seconds_since_tick <= limit


def snapshot() -> dict[str, Any]:
    """Return the system at this moment as ``jobs_status`` tells it, in a handful of statements.

    ``depths`` are those of each configured pool, and of any other that has jobs. What the broker says is None without
    it. Jobs that have ended, and batches that have not, are counted up to MAX_COUNT.
    """
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
    tickets, aside, leads = _ask(lambda broker: broker.depths()), _ask(lambda broker: broker.set_aside()), leader(now)
    return {
        "moment": now,
        "unfinished": {str(status): unfinished[status] for status in Status if status in UNFINISHED},
        "ended": {str(status): _counted(jobs().filter(status=status)) for status in Status if status in TERMINAL},
        "oldest_waiting_seconds": max(0.0, (now - min(oldest)).total_seconds()) if oldest else None,
        "broker_answers": tickets is not None,
        "depths": _depths(cells, tickets),
        "set_aside": None if aside is None else aside.count,
        "batches": _batches(),
        "breakers": [_breaker(item) for item in open_breakers(most=SHOWN_BREAKERS)],
        "limits": _reached_limits(),
        "scheduler": {
            "holder": leads.holder,
            "is_alive": leads.is_alive,
            "seconds_since_tick": leads.seconds_since_tick,
        },
        "schedules": _schedules(),
        "workers": [_worker(worker) for worker in live_workers()],
    }


def _depths(cells: Counter[tuple[Queue, str]], tickets: Mapping[Queue, int] | None) -> list[dict[str, Any]]:
    shown = dict.fromkeys([*pools.names(), *sorted(queue.pool for (queue, _), count in cells.items() if count)])
    queues = [Queue(pool, int(item)) for pool in shown for item in sorted(Priority, reverse=True)]
    return [
        {
            "pool": queue.pool,
            "priority": Priority(queue.priority).word,
            **{name: cells[queue, name] for name in ("due", "later", "queued", "running")},
            "tickets": None if tickets is None else tickets.get(queue, 0),
        }
        for queue in queues
    ]


def _counted(rows: QuerySet[Any]) -> dict[str, Any]:
    count, has_more = capped_count(rows)
    return {"count": count, "capped": has_more}


def _breaker(item: OpenBreaker) -> dict[str, Any]:
    return {
        "job_type": item.job_type,
        "organization": item.organization or None,
        "state": str(item.state),
        "since": item.since,
        "next_try_at": item.next_try_at,
        "waiting": item.waiting,
        "error": item.error_message,
    }


def _worker(worker: Worker) -> dict[str, Any]:
    names = ("name", "hostname", "pid", "slots", "queues", "quiet_since")
    return {name: getattr(worker, name) for name in names} | {"queues": worker.queues.split(",")}


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


def _batches() -> dict[str, Any]:
    """Return those that have not ended, by an index that holds no others at its beginning."""
    unended = Batch.primary.filter(completed_at__isnull=True).order_by("pk")
    counted = _counted(unended)
    oldest = describe_batches(list(up_to_date(unended)[:SHOWN_BATCHES])) if counted["count"] else []
    return counted | {"oldest": [item.as_dict() for item in oldest]}


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


# Duties of schedulers that make no round: each scheduler tells of its own, in a row.


#: Under such names they are told.
STALLED_ROWS: Final = "stalled:"


class Stalled(NamedTuple):
    """A duty that makes no round, of which scheduler, and since when."""

    duty: str
    scheduler: str
    since: dt.datetime


def stalled_duties(moment: dt.datetime) -> list[Stalled]:
    """Return the duties of all schedulers that make no round, by name."""
    rows = EngineLease.primary.filter(pk__startswith=STALLED_ROWS, expires_at__gte=moment)
    stalled = [
        Stalled(duty, row.holder, dt.datetime.fromisoformat(since)) for row in rows for duty, since in row.state.items()
    ]
    return sorted(stalled)
