"""What is wrong with the running setup: one finding for each subject. They change nothing at the broker."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error
from django.db.models import Count, Q, QuerySet
from django.utils.module_loading import import_string

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL, jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.access import cause_of
from django_jobs.engine.dispatch import backlog, tenant_shares
from django_jobs.engine.dispatch.in_flight import InFlight, count_in_flight
from django_jobs.engine.dispatch.limits import QueueLimits, limits_of
from django_jobs.engine.dispatch.tickets import installation_id
from django_jobs.engine.dispatch.window import ROUNDING, live_workers, read_window, working
from django_jobs.engine.insight import reasons
from django_jobs.engine.insight.inspection import (
    MAX_ERROR,
    first_faulty,
    held_types,
    jobs,
    leader,
    open_breakers,
    stalled_duties,
    waiting,
)
from django_jobs.engine.insight.rollups import types_started_since
from django_jobs.engine.job_types import declared_types, handlers
from django_jobs.engine.job_types.handlers import path_problem
from django_jobs.engine.organizations import read_tenants, recent_ids, swapped_from
from django_jobs.engine.ports import Queue, get_broker
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import ALL_TYPES, Candidate, Lane, LaneBound, Walk, waits_since
from django_jobs.exceptions import BrokerUnavailable, ForeignBroker, PolicyFailed
from django_jobs.models import Batch, ExecutionLog, Job, JobType, Schedule, Worker
from django_jobs.statuses import IN_FLIGHT, Status

# What the diagnostics of the running setup report.


OK: Final = "OK"
WARNING: Final = "WARNING"
PROBLEM: Final = "PROBLEM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is so with a subject: how grave it is (OK, WARNING or PROBLEM), a code, and facts.

    The facts of an alarm are stored as JSON.
    """

    level: str = PROBLEM
    subject: str = ""
    code: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Return the finding in the active language, with what to do."""
        return " ".join(filter(None, (reasons.told(self.code, self.facts), reasons.advice_on(self.code, self.facts))))


#: How grave a finding is, where that does not hang on its facts. Any other is a problem.
_LEVELS: Final[Mapping[str, str]] = dict.fromkeys(
    (
        *("answers", "not_asked", "in_order", "owned", "no_eviction", "none", "served", "partly_quiet", "ticks"),
        *("all_busy", "up_to_date", "loadable"),
    ),
    OK,
) | dict.fromkeys(
    (
        *("bad_answers", "no_owner", "closed_config", "foreign_jobs", "plain_workers", "troubled", "not_up_to_date"),
        *("put_back", "unknown_permission", "breaker_open", "breaker_recovering"),
    ),
    WARNING,
)


def finding_of(about: str, code: str, name: str = "", *, level: str = "", **facts: Any) -> Finding:
    """Return a finding about a subject, such as a queue of this name."""
    return Finding(
        level=level or _LEVELS.get(code, PROBLEM), subject=f"{about} {name}".rstrip(), code=code, facts=facts
    )


# Whether the permissions that job types require exist, so that somebody beside system admins can have them.


#: What a backend may override to grant what has no row.
_WAYS: Final = (
    "has_perm",
    "get_all_permissions",
    "get_user_permissions",
    "get_group_permissions",
    "_get_permissions",
    "_get_user_permissions",
    "_get_group_permissions",
)


def unknown_permissions(names: Iterable[str]) -> list[str]:
    """Return those of these permissions, such as ``app_label.codename``, that have no row; the blank one needs none.

    None is unknown where the host has a backend, or a user model, that decides in its own way: it may grant what has no
    row.
    """
    asked = sorted({name for name in names if name})
    if not asked or not apps.is_installed("django.contrib.auth") or _decides_otherwise():
        return []
    from django.contrib.auth.models import Permission

    rows = database.rows(Permission).filter(codename__in={name.partition(".")[2] for name in asked})
    known = {f"{label}.{codename}" for label, codename in rows.values_list("content_type__app_label", "codename")}
    return [name for name in asked if name not in known]


def _decides_otherwise() -> bool:
    from django.contrib.auth import get_user_model
    from django.contrib.auth.backends import BaseBackend, ModelBackend
    from django.contrib.auth.models import PermissionsMixin

    backends = [import_string(path) for path in settings.AUTHENTICATION_BACKENDS]
    return _has_own(get_user_model(), "has_perm", PermissionsMixin) or any(
        _has_own(backend, way, BaseBackend, ModelBackend) for backend in backends for way in _WAYS
    )


def _has_own(kind: Any, name: str, *known: Any) -> bool:
    """Return whether a class has this method, and from none of the ``known`` classes."""
    return getattr(kind, name, None) not in (None, *(getattr(item, name, None) for item in known))


# Diagnostics of batches: those that nobody closed in time, and those whose follow-up could not be submitted.


#: Of the batches that ended in that time, so many of the newest are looked at.
LOOKED_AT: Final = 10_000
#: How many are named.
MAX_NAMED_BATCHES: Final = 5
_TROUBLED: Final = ~Q(fault="") | Q(expired_at__isnull=False)


def troubled_batches(now: dt.datetime, organizations: Collection[Any] | None = None) -> tuple[list[Batch], bool]:
    """Return the newest batches of the last day that expired or have a fault, and whether there are more.

    ``organizations`` are the primary keys of the tenants in question; None means all. What expired and has not ended
    is told once it has: that takes as long as its last job.
    """
    ended = Batch.primary.filter(completed_at__gte=now - timing.BATCH_PROBLEM_KEPT).order_by("-completed_at", "-pk")
    if organizations is not None:
        ended = ended.filter(organization_id__in=organizations)
    bound = ended.values_list("completed_at", flat=True)[LOOKED_AT : LOOKED_AT + 1].first()
    found = ended.filter(_TROUBLED)
    rows = list((found if bound is None else found.filter(completed_at__gt=bound))[: MAX_NAMED_BATCHES + 1])
    return rows[:MAX_NAMED_BATCHES], len(rows) > MAX_NAMED_BATCHES


def trouble(batch: Batch) -> str:
    """Return the code of what is wrong with such a batch."""
    if not batch.fault:
        return "expired"
    return "follow_up_waits" if batch.is_fault_passing else "follow_up_missing"


def examine_batches(now: dt.datetime) -> Finding:
    """Return the finding for batches."""
    found, has_more = troubled_batches(now)
    if not found:
        return finding_of("batches", "none")
    names = recent_ids({batch.organization_id: batch.organization_name for batch in found})
    told = [
        f"{batch.batch_id} of {names[batch.organization_id]}: {trouble(batch)} {batch.fault}".rstrip()
        for batch in found
    ]
    return finding_of("batches", "troubled", batches="; ".join(told), more="yes" if has_more else "")


# Diagnostics of the organizations' shares: whether the access policy answers with weights and limits that count.


#: How many organizations the policy is asked about, and how many bad answers are told.
ASKED: Final = 100
MAX_NAMED_SHARES: Final = 3


def examine_shares() -> Finding:
    """Ask the policy for the shares of some busy organizations, and report what does not count."""
    try:
        if not tenant_shares.are_asked():
            return finding_of("shares", "not_asked", limit=tenant_shares.default_limit())
        bad = list(itertools.islice(tenant_shares.bad_answers(_busy_organizations()), MAX_NAMED_SHARES + 1))
    except (PolicyFailed, ImproperlyConfigured) as error:
        return finding_of("shares", "policy_failed", error=f"{type(cause_of(error)).__name__}: {cause_of(error)}")
    if not bad:
        return finding_of("shares", "in_order")
    more = "yes" if len(bad) > MAX_NAMED_SHARES else ""
    return finding_of("shares", "bad_answers", told=" ".join(map(str, bad[:MAX_NAMED_SHARES])), more=more)


def _busy_organizations() -> list[Any]:
    """Return organizations that have jobs in the lanes or in flight, ASKED of each at most."""
    pks: set[Any] = set()
    for rows in (waiting(), jobs().filter(status__in=sorted(IN_FLIGHT))):
        pks.update(rows.order_by().values_list("organization_id", flat=True).distinct()[:ASKED])
    return list(read_tenants(pks).values())


# Diagnostics of job types: whether declared ones have their rows, handlers can be loaded, and permissions exist.


#: How many job types or schedules are named; the others are counted.
MAX_NAMED: Final = 5


def examine_types() -> Iterator[Finding]:
    """Yield one finding for the declarations, one or two for the handlers, and one for permissions that are missing."""
    yield _examine_declarations()
    unloadable_here, put_back = _unloadable_here(), handlers.find_unloadable()
    if unloadable_here:
        named = _named([f"{name} ({problem})" for name, problem in unloadable_here.items()])
        count = waiting().filter(job_type_id__in=list(unloadable_here)).count()
        yield finding_of("handlers", "unloadable", types=named, waiting=count)
    if put_back:
        yield finding_of("handlers", "put_back", jobs=len(put_back), reasons=_named(sorted(set(put_back.values()))))
    if not unloadable_here and not put_back:
        yield finding_of("handlers", "loadable")
    yield from _examine_permissions()


def _examine_declarations() -> Finding:
    about = "declared job types"
    try:
        found = declared_types.type_differences(using=database.alias(), with_tasks=False)
    except ImproperlyConfigured as error:
        return finding_of(about, "wrong_declarations", error=str(error))
    if missing := [item.name for item in found if item.is_missing]:
        return finding_of(about, "without_row", types=_named(missing))
    if outdated := [item.name for item in found if item.is_written]:
        return finding_of(about, "not_up_to_date", types=_named(outdated))
    return finding_of(about, "up_to_date")


def _unloadable_here() -> dict[str, str]:
    """Return what is wrong with handlers of enabled types, by the type's name."""
    rows = JobType.primary.filter(is_enabled=True).order_by("pk")
    asked = {name: path_problem(path) for name, path in rows.values_list("pk", "handler_method")}
    return {name: problem for name, problem in asked.items() if problem}


def _examine_permissions() -> Iterator[Finding]:
    """Yield a warning where only system admins and code may submit types, since nobody has the permission."""
    required = dict(
        JobType.primary.exclude(requires_permission="").order_by("pk").values_list("pk", "requires_permission")
    )
    unknown = set(unknown_permissions(required.values()))
    named = _named([f"{name} ({permission})" for name, permission in required.items() if permission in unknown])
    if named:
        yield finding_of("permissions", "unknown_permission", types=named)


def _named(items: Sequence[str]) -> str:
    rest = len(items) - MAX_NAMED
    return ", ".join(items[:MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")


# Which jobs nothing holds back, and which wait for long all the same: tickets that nobody takes, and due jobs.
#
# A waiting job may go where a pass of the dispatcher would queue it at this moment: its queue has room for a ticket,
# its type is open and its breaker closed, and neither a limit of the type, nor a rate of starts, nor what its
# organization may have in flight is reached.
#
# What is read does not grow with the backlog: the types that wait, hopped over by the index; what is in flight, which
# the windows bound; of each queue the lanes of up to PAGES pages (``backlog.pages``: up to 800 lanes each, of up to 100
# types); and of each lane that may go its first JOBS_OF_LANE jobs. Types at a limit are not walked, and up to
# MAX_HOPPED lanes of full keys and organizations are hopped over; where there are more, they count as looked at. So a
# number is the least there is, and where all lanes that were looked at are held, nothing is told of the others.


#: Pages of lanes that are looked at for one queue, while nothing is found.
PAGES: Final = 3
#: How many lanes a page has of one type, if there are few types.
LANES_OF_TYPE: Final = 100
#: How many full lanes a walk may pass beside those of its pages: on some databases each takes a statement.
MAX_HOPPED: Final = 2_000
#: How many jobs of a lane are looked at, and of how many lanes in one statement.
JOBS_OF_LANE: Final = 10
LANES_AT_ONCE: Final = 100


class QueuedType(NamedTuple):
    """A queue, and a job type of which jobs wait for it."""

    queue: Queue
    job_type: str


def count_waiting_freely(
    since: dt.datetime, queues: Collection[Queue], *, needs_room: bool = True, are_idle: bool = False
) -> Counter[QueuedType]:
    """Count the jobs for these queues that were due before ``since`` and that nothing holds back.

    Tickets are counted exactly, due jobs up to a bound; see the module. Without ``needs_room``, also jobs count for
    which a queue has no room: only busy workers hold them back.

    With ``are_idle``, only types count that did not start any job since. That costs little: the types that go on are
    not walked.
    """
    tickets = _old_tickets(since, queues)
    look = _Look(since, needs_room=needs_room)
    types = look.waiting_types(queues)
    names = {name for names in types.values() for name in names} | {place.job_type for place in tickets}
    started = types_started_since(since, names) if are_idle else set()
    found = Counter({place: count for place, count in tickets.items() if place.job_type not in started})
    for queue, of_queue in types.items():
        if wanted := [name for name in of_queue if name not in started]:
            found.update(QueuedType(queue, item.lane.job_type) for item in look.may_go(queue, wanted))
    return found


def _old_tickets(since: dt.datetime, queues: Collection[Queue]) -> Counter[QueuedType]:
    names = ("job_type_id", "job_type__pool", "priority")
    rows = jobs().filter(status=Status.QUEUED, queued_at__lt=since).values(*names).annotate(total=Count("pk"))
    places = {
        QueuedType(Queue(pool, priority), kind): total
        for kind, pool, priority, total in rows.values_list(*names, "total")
    }
    return Counter({place: total for place, total in places.items() if place.queue in queues})


class _Look:
    """What may go at one moment. As a pass of the dispatcher would, it counts what it has let go before."""

    def __init__(self, since: dt.datetime, *, needs_room: bool) -> None:
        """Count what is in flight. Without ``needs_room``, a queue without room counts, too."""
        self._since = since
        self._needs_room = needs_room
        self._in_flight: InFlight = count_in_flight(has_lock=False)
        self._own = Counter(self._in_flight.by_organization)
        self._limits = QueueLimits({})

    def waiting_types(self, queues: Collection[Queue]) -> dict[Queue, list[str]]:
        """Return those of the queues that have room and for which jobs wait, with the types that may start."""
        window = read_window(seconds=0)
        with_room = {
            queue for queue in queues if not self._needs_room or window.free(queue, self._in_flight.queued) > ROUNDING
        }
        if not with_room:
            return {}
        waiting = store().waiting_types(sorted({queue.priority for queue in with_room}))
        kinds = JobType.primary.in_bulk({job_type for _, job_type in waiting})
        self._limits = limits_of(kinds.values())
        held = {pk for pk, only in held_types().items() if only is None} if waiting else set()
        found: dict[Queue, list[str]] = {}
        for priority, job_type in waiting:
            if job_type in kinds and job_type not in held and self._limits.is_open(job_type):
                found.setdefault(Queue(kinds[job_type].pool, priority), []).append(job_type)
        return {queue: sorted(found[queue]) for queue in found if queue in with_room}

    def may_go(self, queue: Queue, job_types: Sequence[str]) -> list[Candidate]:
        """Return jobs that were due long ago and may go, from the first page of lanes that has any."""
        walk = Walk(queue.priority, tuple(job_types), bound=self._bound(len(job_types)))
        for page in itertools.islice(backlog.pages(walk, LANES_OF_TYPE), PAGES):
            found: list[Candidate] = []
            for begin in range(0, len(page.lanes), LANES_AT_ONCE):
                found += self._allowed(self._overdue(queue, page.lanes[begin : begin + LANES_AT_ONCE]))
            if found:
                return found
        return []

    def _bound(self, types: int) -> LaneBound:
        """Return what a walk over so many types hops over. Answers of the policy are left to :meth:`_allowed`."""
        full, passed = self._limits.full(), self._limits.passed()
        pks = tenant_shares.full_organizations(self._own)
        if len(full) + len(passed) + len(pks) * types > MAX_HOPPED:
            return backlog.bound_of(frozenset(), frozenset())
        return backlog.bound_of(full, passed | {(pk, ALL_TYPES) for pk in pks})

    def _overdue(self, queue: Queue, lanes: Sequence[Lane]) -> list[Candidate]:
        """Return the first jobs of those lanes that their types' limits leave open, if they were due long ago."""
        taken = [(lane, min(left, JOBS_OF_LANE)) for lane in lanes if (left := self._limits.left(lane)) > 0]
        heads = store().heads(queue.priority, taken) if taken else []
        rows = jobs().filter(pk__in=[item.pk for item in heads]) if heads else jobs().none()
        pks = set(rows.alias(since=waits_since()).filter(since__lt=self._since).values_list("pk", flat=True))
        return [item for item in heads if item.pk in pks]

    def _allowed(self, items: Sequence[Candidate]) -> Iterator[Candidate]:
        """Yield those that limits and the access policy let go together, and count them."""
        tenants = list(read_tenants({item.organization_pk for item in items}).values())
        tenant_shares.known_shares(tenants)
        tenant_shares.ask(math.inf)
        shares = tenant_shares.known_shares(tenants)
        for item in items:
            pk = item.organization_pk
            if pk in shares and self._own[pk] < shares[pk].limit and self._limits.left(item.lane) > 0:
                self._own[pk] += 1
                self._limits.take(item)
                yield item


# Diagnostics of pools: whether each has workers while its jobs wait, and whether the types' pools are configured.


def examine_pools(workers: Sequence[Worker], types: Collection[str] | None = None) -> Iterator[Finding]:
    """Yield a finding for each pool where there are several, and one for types whose pool is not configured.

    ``workers`` are those that live. With ``types``, only these job types are looked at.
    """
    rows = JobType.primary.all() if pools.configured() else JobType.primary.exclude(pool=DEFAULT_POOL)
    if types is not None:
        rows = rows.filter(pk__in=list(types))
    by_pool = types_by_pool(rows)
    for pool in dict.fromkeys([*(pools.names() if pools.configured() else ()), *by_pool]):
        names, code = by_pool.get(pool, []), why_unserved(pool, workers)
        if not code:
            yield finding_of("pool", "served", pool, types=len(names))
        elif code == "unknown_pool":
            yield finding_of("pool", code, pool, pool=pool, types=_named(names))
        else:
            yield finding_of("pool", code, pool, pool=pool, level="" if _do_any_of_types_wait(names) else WARNING)


def why_unserved(pool: str, workers: Sequence[Worker]) -> str:
    """Return the code why nobody takes what waits in a pool; "" where one of the live ``workers`` takes it."""
    if pool not in pools.names():
        return "unknown_pool"
    own = set(pools.queue_names(pool))
    if not own.isdisjoint(queues_of(working(workers))):
        return ""
    return "no_worker" if own.isdisjoint(queues_of(workers)) else "workers_quiet"


def types_by_pool(rows: QuerySet[JobType]) -> dict[str, list[str]]:
    """Return the names of these job types by their pools."""
    by_pool: dict[str, list[str]] = defaultdict(list)
    for name, pool in rows.order_by("pk").values_list("pk", "pool"):
        by_pool[pool].append(name)
    return by_pool


def queues_of(workers: Iterable[Worker]) -> set[str]:
    """Return the queues that any of these workers serves."""
    return {queue for worker in workers for queue in worker.queues.split(",")}


def _do_any_of_types_wait(types: Sequence[str]) -> bool:
    return (
        any(any(store().count_waiting([types], 1, delayed=delayed)) for delayed in (False, True))
        or jobs().filter(status=Status.QUEUED, job_type_id__in=types).exists()
    )


# Diagnostics of what waits: whether jobs wait for long that nothing holds back, while workers of their pool are free.
#
# A busy system looks neglected for moments: between the end of a job and the start of the next one a slot and a place
# are free, and a rate lets one more go before the scheduler comes to it. So what one look finds counts only if a second
# one finds it too, and nothing has moved between them.


#: Of what started between them so many entries of the history are read, the newest.
MAX_STARTS: Final = 5_000


class LiveWorker(NamedTuple):
    """A live worker process: the queues that it serves, how many slots it has, and how many jobs it runs."""

    queues: frozenset[Queue]
    total: int
    running: int

    @property
    def free(self) -> int:
        """How many slots have nothing to do. A worker may have claimed more jobs than it runs at once."""
        return max(0, self.total - self.running)


def examine_waiting(workers: Sequence[Worker]) -> Finding:
    """Report jobs that wait too long, unless workers of their pool are busy or something holds the jobs back.

    ``workers`` are those that live. Take PROBLEM_LOOK_SECONDS longer where there is something to report.
    """
    slots = read_slots(workers)
    if first := _look_for_neglected(slots):
        last = ExecutionLog.primary.order_by("-pk").values_list("pk", flat=True).first() or 0
        time.sleep(timing.PROBLEM_LOOK_SECONDS)
        slots = read_slots(live_workers())
        again = {place: count for place, count in _look_for_neglected(slots).items() if place in first}
        started = Started(last)
        if stuck := {place: count for place, count in again.items() if not started.is_moving(place, slots)}:
            return _tell_stuck(stuck, slots)
    if slots and not any(item.free for item in slots):
        return finding_of("waiting jobs", "all_busy", slots=sum(item.total for item in slots))
    return finding_of("waiting jobs", "none")


def read_slots(workers: Sequence[Worker]) -> list[LiveWorker]:
    """Return the queues and slots of these live workers, and how many jobs each runs. A quiet one has no slot."""
    known = pools.named()
    running = jobs().filter(status=Status.RUNNING, worker_name__in=[worker.pk for worker in workers])
    counts = dict(running.values_list("worker_name").annotate(total=Count("pk"))) if workers else {}
    return [
        LiveWorker(
            pools.served_by(worker.queues.split(","), known),
            worker.slots if worker.quiet_since is None else 0,
            counts.get(worker.pk, 0),
        )
        for worker in workers
    ]


def by_load(slots: Sequence[LiveWorker], queues: set[Queue]) -> tuple[set[Queue], set[Queue]]:
    """Return the queues that a worker with a free slot serves, or nobody; and those whose workers are all busy."""
    served = frozenset().union(*(item.queues for item in slots))
    free = frozenset().union(*(item.queues for item in slots if item.free))
    return queues & free | queues - served, queues & served - free


def _look_for_neglected(slots: Sequence[LiveWorker]) -> Counter[QueuedType]:
    """Count what is neglected, for the queues of which no worker is known, or one has a free slot."""
    queues, _busy = by_load(slots, set(pools.all_queues()))
    since = database.now() - dt.timedelta(seconds=timing.STUCK_JOB_SECONDS)
    return count_waiting_freely(since, queues) if queues else Counter()


class Started:
    """What started between the looks, by the history: the newest MAX_STARTS attempts."""

    def __init__(self, last: int) -> None:
        """Read what started behind an entry of the history."""
        rows = ExecutionLog.primary.filter(pk__gt=last, to_status=Status.RUNNING).order_by("-pk")
        kinds = list(rows.values_list("job__job_type_id", "job__job_type__pool")[:MAX_STARTS])
        self._types = {name for name, _ in kinds}
        self._pools = Counter(pool for _, pool in kinds)

    def is_moving(self, place: QueuedType, slots: Sequence[LiveWorker]) -> bool:
        """Return whether the type moved, or its pool turned over all its slots, which are free for moments only."""
        total = sum(item.total for item in slots if pools.of_pool(item.queues, place.queue.pool))
        return place.job_type in self._types or 0 < total <= self._pools[place.queue.pool]


def _tell_stuck(stuck: Mapping[QueuedType, int], slots: Sequence[LiveWorker]) -> Finding:
    """Tell how many jobs of which pools wait, at the least, and how many slots are free."""
    facts: list[dict[str, Any]] = []
    for pool in pools.names():
        if of_pool := {place: count for place, count in stuck.items() if place.queue.pool == pool}:
            queues, count = {place.queue for place in of_pool}, sum(of_pool.values())
            mine = [item for item in slots if not queues.isdisjoint(item.queues)]
            free, total = sum(item.free for item in mine), sum(item.total for item in mine)
            facts.append({"pool": pool, "jobs": count, "free": free, "total": total})
    return finding_of("waiting jobs", "neglected", pools=facts)


# Diagnostics of the running setup: one finding for each subject. They change nothing at the broker.


#: Of the schedules that cannot fire so many are counted.
MAX_FAULTY: Final = 100
#: So many of the newest jobs are looked at, whether they were submitted at a moment that is still to come.
NEWEST_JOBS: Final = 1_000


def examine() -> Iterator[Finding]:
    """Yield the findings. What cannot be read is a problem."""
    try:
        now = database.now()
        mine = installation_id()
    except Error as error:
        yield finding_of("database", "unreadable", error=type(error).__name__)
        return
    yield finding_of("database", "answers", database=database.connection().display_name, installation=mine)
    yield from _examine_schema()
    yield from _examine_clock(now)
    if store().hides_changes():
        yield finding_of("isolation level", "hides_changes")
    yield from _examine_tenants()
    yield examine_shares()
    yield from _examine_broker(mine)
    workers = live_workers()
    yield from _examine_queues(workers)
    yield from examine_pools(workers)
    yield from _examine_scheduler(now)
    yield examine_waiting(workers)
    yield examine_batches(now)
    yield from examine_types()
    yield from examine_breakers()
    yield from examine_schedules()


def _examine_schema() -> Iterator[Finding]:
    """Yield what is wrong with the tables. A migration that only takes away what an older release needs may be late."""
    late = database.unapplied_migrations()
    if late:
        level, behind = PROBLEM if database.lacks_columns() else WARNING, database.behind(late)
        yield finding_of("schema", behind.code, level=level, **behind.values)


def _examine_clock(now: dt.datetime) -> Iterator[Finding]:
    """Yield a problem where moments that the database told before are still to come."""
    ahead = now + timing.CLOCK_SET_BACK
    newest = Job.primary.order_by("-pk").values_list("created_at", flat=True)[:NEWEST_JOBS]
    created = sum(moment > ahead for moment in newest)
    running = Job.primary.filter(status=Status.RUNNING, started_at__gt=ahead).count()
    fired = Schedule.primary.filter(last_fired_at__gt=ahead).count()
    if created or running or fired:
        yield finding_of("clock", "clock_set_back", created=created, running=running, fired=fired)


def _examine_tenants() -> Iterator[Finding]:
    before = swapped_from()
    if before is not None:
        yield finding_of("organizations", "swapped", before=before)


def _examine_broker(mine: str) -> Iterator[Finding]:
    """Ask the broker until it fails."""
    try:
        yield finding_of("broker", "answers", tickets=sum(get_broker().depths().values()))
        yield _owner(mine)
        yield _eviction()
        yield _foreign()
    except BrokerUnavailable as error:
        yield finding_of("broker", "unavailable", error=str(error))
    except ImproperlyConfigured as error:
        yield finding_of("broker", "wrong_setting", error=str(error))


def _owner(mine: str) -> Finding:
    theirs = get_broker().installation()
    if theirs is None:
        return finding_of("broker owner", "no_owner")
    if theirs != mine:
        return finding_of("broker owner", "foreign", installation=theirs, advice=ForeignBroker.advice)
    return finding_of("broker owner", "owned")


def _eviction() -> Finding:
    policy = get_broker().eviction_policy()
    if policy == "noeviction":
        return finding_of("eviction policy", "no_eviction")
    return finding_of("eviction policy", "evicts" if policy else "closed_config", policy=policy)


def _foreign() -> Finding:
    ids, aside = get_broker().foreign_ids(), get_broker().set_aside()
    if not ids and not aside.count:
        return finding_of("foreign jobs", "none")
    waiting_ids = f"{len(ids)} (first: {ids[0][:80]!a})" if ids else ""
    return finding_of(
        "foreign jobs", "foreign_jobs", count=str(aside), newest=", ".join(aside.newest), waiting=waiting_ids
    )


def _examine_queues(workers: list[Worker]) -> Iterator[Finding]:
    """Tell for each queue who serves it. Of a pool without workers :func:`examine_pools` tells, in one finding."""
    names = _queues_to_examine(workers)
    plain = plain_workers(list(names))
    for name, pool in names.items():
        mine = [worker for worker in workers if name in worker.queues.split(",")]
        count = len(working(mine))
        if count == len(mine) > 0:
            yield finding_of("queue", "served", name, workers=count)
        elif count:
            yield finding_of("queue", "partly_quiet", name, workers=count, quiet=len(mine) - count)
        elif mine:
            level = "" if _do_any_of_queue_wait(name) else WARNING
            yield finding_of("queue", "workers_quiet", name, level=level, quiet=len(mine))
        elif plain.get(name):
            yield finding_of("queue", "plain_workers", name, workers=plain[name])
        else:
            yield finding_of("queue", "no_worker", name, pool=pool)


def _do_any_of_queue_wait(name: str) -> bool:
    """Return whether a job of this queue's priority waits, of whichever pool."""
    priority = pools.by_queue_name()[name].priority
    queued = jobs().filter(status=Status.QUEUED, priority=priority)
    return waiting().filter(priority=priority).exists() or queued.exists()


def _queues_to_examine(workers: list[Worker]) -> dict[str, str]:
    """Return the queues of the default pool, and of each other one that has a worker, with their pools."""
    served = queues_of(workers)
    found = dict.fromkeys(jobs_settings.QUEUES.values(), DEFAULT_POOL)
    for pool in pools.configured():
        if not served.isdisjoint(pools.queue_names(pool)):
            found |= dict.fromkeys(pools.queue_names(pool), pool)
    return found


def plain_workers(queues: list[str]) -> Mapping[str, int]:
    """Return how many of RQ's own workers take from each queue; nothing if the broker cannot be asked."""
    try:
        return get_broker().other_workers(queues)
    except (BrokerUnavailable, ImproperlyConfigured):
        return {}


def _examine_scheduler(now: dt.datetime) -> Iterator[Finding]:
    """Yield whether a scheduler leads, and which duties of one are stalled."""
    found = leader(now)
    code = "ticks" if found.is_alive else "no_scheduler"
    yield finding_of("scheduler", code, holder=found.holder, seconds=round(found.seconds_since_tick or 0))
    for item in stalled_duties(now):
        since = f"{item.since:%Y-%m-%d %H:%M:%S}"
        yield finding_of("scheduler", "duty_stalled", duty=item.duty, scheduler=item.scheduler, since=since)


def examine_breakers() -> Iterator[Finding]:
    """Yield a finding for each breaker that holds jobs."""
    for item in open_breakers():
        yield finding_of(
            "breaker",
            "breaker_recovering" if item.next_try_at is None else "breaker_open",
            name=item.job_type,
            organization=item.organization,
            since=f"{item.since:%Y-%m-%d %H:%M:%S}",
            next_try=item.next_try_at and f"{item.next_try_at:%Y-%m-%d %H:%M:%S}",
            waiting=item.waiting_words,
            error=item.error_message[:MAX_ERROR],
        )


def examine_schedules() -> Iterator[Finding]:
    """Yield a finding where enabled schedules could not submit their jobs the last time."""
    if found := first_faulty(MAX_FAULTY):
        told = _named([f"{row} ({row.fault[:MAX_ERROR]})" for row in found])
        yield finding_of("schedules", "schedules_cannot_fire", schedules=told)
