"""What is wrong with the running setup: one finding for each subject. They change nothing at the broker."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error
from django.db.models import Count, Q, QuerySet
from django.utils.module_loading import import_string

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL, jobs_settings
from django_jobs.engine import duties
from django_jobs.engine.access import cause_of
from django_jobs.engine.dispatch import backlog, tenant_shares
from django_jobs.engine.dispatch.in_flight import InFlight, count_in_flight
from django_jobs.engine.dispatch.limits import QueueLimits, limits_of
from django_jobs.engine.dispatch.tickets import installation_id
from django_jobs.engine.dispatch.window import ROUNDING, live_workers, read_window, working
from django_jobs.engine.insight.inspection import (
    OK,
    PROBLEM,
    WARNING,
    Finding,
    Leader,
    examine_breakers,
    examine_schedules,
    held_types,
    jobs,
    leader,
    waiting,
)
from django_jobs.engine.insight.rollups import types_started_since
from django_jobs.engine.job_types import declared_types, handlers
from django_jobs.engine.job_types.handlers import path_problem
from django_jobs.engine.organizations import swapped_from
from django_jobs.engine.ports import Queue, get_broker
from django_jobs.engine.store import database, schema
from django_jobs.engine.store.database import store
from django_jobs.engine.store.organization_ids import read_tenants, recent_ids
from django_jobs.engine.store.values import ALL_TYPES, Candidate, Lane, LaneBound, Walk, waits_since
from django_jobs.exceptions import BrokerUnavailable, ForeignBroker, PolicyFailed
from django_jobs.models import Batch, ExecutionLog, Job, JobType, Schedule, Worker
from django_jobs.statuses import IN_FLIGHT, Status
from django_jobs.texts import Text, say
from django_jobs.texts import marked as _

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


#: How long it is told.
TOLD_FOR: Final = dt.timedelta(days=1)
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
    ended = Batch.primary.filter(completed_at__gte=now - TOLD_FOR).order_by("-completed_at", "-pk")
    if organizations is not None:
        ended = ended.filter(organization_id__in=organizations)
    bound = ended.values_list("completed_at", flat=True)[LOOKED_AT : LOOKED_AT + 1].first()
    found = ended.filter(_TROUBLED)
    rows = list((found if bound is None else found.filter(completed_at__gt=bound))[: MAX_NAMED_BATCHES + 1])
    return rows[:MAX_NAMED_BATCHES], len(rows) > MAX_NAMED_BATCHES


#: How a fault begins: the name of the submission, whether it is tried again, and the field that was refused.
_NAMES: Final = re.compile(r"(?:then|on_failure)(?P<waits> waits)?: (?:[a-z_.]+: )?")


def reason_of(fault: str) -> str:
    """Return why something could not be submitted, without the names of fields that it begins with."""
    return _NAMES.sub("", fault, count=1)


def is_tried_again(fault: str) -> bool:
    """Return whether the scheduler goes on trying to submit what is missing."""
    match = _NAMES.match(fault)
    return match is not None and match["waits"] is not None


def trouble(batch: Batch) -> str:
    """Return what is wrong with such a batch, in words."""
    if batch.fault:
        verb = "waits" if is_tried_again(batch.fault) else "was not submitted"
        return f"what should follow it {verb} ({reason_of(batch.fault).rstrip('.')})"
    return "nobody closed it in time, and so it counts as failed"


def examine_batches(now: dt.datetime) -> Finding:
    """Return the finding for batches."""
    found, has_more = troubled_batches(now)
    if not found:
        return Finding(
            level=OK, subject="batches", text=say("none expired or lacks its follow-up since a day ago.", code="none")
        )
    names = recent_ids({batch.organization_id: batch.organization_name for batch in found})
    told = [f"{batch.batch_id} of {names[batch.organization_id]}: {trouble(batch)}" for batch in found]
    more = "; and more" if has_more else ""
    text = say(
        "%(batches)s%(more)s. Their pages in the admin tell more, and submit what is missing.",
        code="troubled",
        batches="; ".join(told),
        more=more,
    )
    return Finding(level=WARNING, subject="batches", text=text)


# Diagnostics of the organizations' shares: whether the access policy answers with weights and limits that count.


SHARES: Final = "shares"
#: How many organizations the policy is asked about, and how many bad answers are told.
ASKED: Final = 100
MAX_NAMED_SHARES: Final = 3


def examine_shares() -> Finding:
    """Ask the policy for the shares of some busy organizations, and report what does not count."""
    try:
        if not tenant_shares.are_asked():
            text = say(
                "all organizations weigh the same, with up to %(limit)s jobs in flight each.",
                code="not_asked",
                limit=tenant_shares.default_limit(),
            )
            return Finding(level=OK, subject=SHARES, text=text)
        bad = list(itertools.islice(tenant_shares.bad_answers(_busy_organizations()), MAX_NAMED_SHARES + 1))
    except (PolicyFailed, ImproperlyConfigured) as error:
        text = say(
            "the access policy cannot be asked: %(error)r. Until it can, all weigh the same.",
            code="policy_failed",
            error=cause_of(error),
        )
        return Finding(level=PROBLEM, subject=SHARES, text=text)
    if not bad:
        text = say("weights and limits of organizations are in order.", code="in_order")
        return Finding(level=OK, subject=SHARES, text=text)
    text = say(
        "the access policy gives answers that do not count. %(told)s%(more)s",
        code="bad_answers",
        told=" ".join(map(str, bad[:MAX_NAMED_SHARES])),
        more=" There are more." if len(bad) > MAX_NAMED_SHARES else "",
    )
    return Finding(level=WARNING, subject=SHARES, text=text)


def _busy_organizations() -> list[Any]:
    """Return organizations that have jobs in the lanes or in flight, ASKED of each at most."""
    pks: set[Any] = set()
    for rows in (waiting(), jobs().filter(status__in=sorted(IN_FLIGHT))):
        pks.update(rows.order_by().values_list("organization_id", flat=True).distinct()[:ASKED])
    return list(read_tenants(pks).values())


# Diagnostics of job types: whether declared ones have their rows, handlers can be loaded, and permissions exist.


DECLARED: Final = "declared job types"
HANDLERS: Final = "handlers"
PERMISSIONS: Final = "permissions"
#: How many are named; the others are counted.
MAX_NAMED_TYPES: Final = 5


def examine_types() -> Iterator[Finding]:
    """Yield one finding for the declarations, one or two for the handlers, and one for permissions that are missing."""
    yield _examine_declarations()
    unloadable_here = _unloadable_here()
    if unloadable_here:
        yield _tell_unloadable(unloadable_here)
    said = handlers.find_unloadable()
    if said:
        yield _tell_put_back(said)
    if not unloadable_here and not said:
        yield Finding(level=OK, subject=HANDLERS, text=say("all that are enabled can be loaded.", code="loadable"))
    yield from _examine_permissions()


def _examine_declarations() -> Finding:
    try:
        found = declared_types.type_differences(using=database.alias(), with_tasks=False)
    except ImproperlyConfigured as error:
        text = say("%(error)s", code="wrong_declarations", error=str(error))
        return Finding(level=PROBLEM, subject=DECLARED, text=text)
    missing = [item.name for item in found if item.is_missing]
    if missing:
        text = say(
            "without a row: %(types)s. Run `manage.py migrate` or `manage.py jobs_sync`.",
            code="without_row",
            types=_named(missing),
        )
        return Finding(level=PROBLEM, subject=DECLARED, text=text)
    outdated = [item.name for item in found if item.is_written]
    if outdated:
        text = say(
            "their rows are not up to date: %(types)s. Run `manage.py migrate` or `manage.py jobs_sync`.",
            code="not_up_to_date",
            types=_named(outdated),
        )
        return Finding(level=WARNING, subject=DECLARED, text=text)
    return Finding(level=OK, subject=DECLARED, text=say("each has its row.", code="up_to_date"))


def _unloadable_here() -> dict[str, str]:
    """Return what is wrong with handlers of enabled types, by the type's name."""
    rows = JobType.primary.filter(is_enabled=True).order_by("pk")
    asked = {name: path_problem(path) for name, path in rows.values_list("pk", "handler_method")}
    return {name: problem for name, problem in asked.items() if problem}


def _tell_unloadable(problems: dict[str, str]) -> Finding:
    count = waiting().filter(job_type_id__in=list(problems)).count()
    named = _named([f"{name} ({problem.rstrip('.')})" for name, problem in problems.items()])
    text = say(
        "cannot run here: %(types)s. Jobs that wait: %(waiting)d. Mend the import or the path, or disable the type.",
        code="unloadable",
        types=named,
        waiting=count,
    )
    return Finding(level=PROBLEM, subject=HANDLERS, text=text)


def _tell_put_back(said: dict[int, str]) -> Finding:
    """Report handlers that a worker could not load. During a deployment that is normal for a moment."""
    named = _named(sorted({message.rstrip(".") for message in said.values()}))
    text = say(
        "a worker could not load that of %(jobs)d jobs, which wait for one that can: %(reasons)s. Restart workers of "
        "an older release, or mend the import; after 10 minutes these jobs end as Dead Letters.",
        code="put_back",
        jobs=len(said),
        reasons=named,
    )
    return Finding(level=WARNING, subject=HANDLERS, text=text)


def _examine_permissions() -> Iterator[Finding]:
    """Yield a warning where only system admins and code may submit types, since nobody has the permission."""
    required = dict(
        JobType.primary.exclude(requires_permission="").order_by("pk").values_list("pk", "requires_permission")
    )
    unknown = set(unknown_permissions(required.values()))
    named = _named([f"{name} ({permission})" for name, permission in required.items() if permission in unknown])
    if named:
        text = say(
            "job types require some that do not exist, so that only system admins and code may submit them: %(types)s. "
            "Correct the names, or migrate their apps.",
            code="unknown_permission",
            types=named,
        )
        yield Finding(level=WARNING, subject=PERMISSIONS, text=text)


def _named(items: Sequence[str]) -> str:
    rest = len(items) - MAX_NAMED_TYPES
    return ", ".join(items[:MAX_NAMED_TYPES]) + (f" and {rest} more" if rest > 0 else "")


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
#: The same of a look that is brief.
FEW_LANES_OF_TYPE: Final = 4
#: How many full lanes a walk may pass beside those of its pages: on some databases each takes a statement.
MAX_HOPPED: Final = 2_000
#: How many jobs of a lane are looked at, and of how many lanes in one statement.
JOBS_OF_LANE: Final = 10
LANES_AT_ONCE: Final = 100


class QueuedType(NamedTuple):
    """A queue, and a job type of which jobs wait for it."""

    queue: Queue
    job_type: str


def count_neglected(since: dt.datetime, queues: Collection[Queue]) -> Counter[QueuedType]:
    """Count the jobs for these queues that were due before ``since`` and that nothing holds back.

    Tickets are counted exactly, due jobs up to a bound; see the module.
    """
    found = _old_tickets(since, queues)
    looked = _Look(since)
    for queue, job_types in looked.waiting_types(queues).items():
        found.update(QueuedType(queue, item.lane.job_type) for item in looked.may_go(queue, job_types))
    return found


def find_idle(since: dt.datetime, queues: Collection[Queue], *, needs_room: bool) -> Counter[QueuedType]:
    """Find jobs for these queues that were due before ``since``, that nothing holds back, and whose types did not
    start any job since.

    It costs little: the types that go on are not walked, and of each queue no more lanes than it takes to find some
    jobs. So a number is the least there is. Without ``needs_room``, also jobs count for which a queue has no room:
    only busy workers hold them back.
    """
    tickets = _old_tickets(since, queues)
    looked = _Look(since, needs_room=needs_room, is_brief=True)
    waiting = looked.waiting_types(queues)
    started = types_started_since(
        since, {name for names in waiting.values() for name in names} | {place.job_type for place in tickets}
    )
    found = Counter({place: count for place, count in tickets.items() if place.job_type not in started})
    for queue, names in waiting.items():
        if idle := [name for name in names if name not in started]:
            found.update(QueuedType(queue, item.lane.job_type) for item in looked.may_go(queue, idle))
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

    def __init__(self, since: dt.datetime, *, needs_room: bool = True, is_brief: bool = False) -> None:
        """Count what is in flight.

        Without ``needs_room``, a queue without room counts, too. A look that ``is_brief`` ends with the first few lanes
        of a queue that have a job.
        """
        self._since = since
        self._needs_room = needs_room
        self._is_brief = is_brief
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
        lanes_of_type = FEW_LANES_OF_TYPE if self._is_brief else LANES_OF_TYPE
        for page in itertools.islice(backlog.pages(walk, lanes_of_type), PAGES):
            found: list[Candidate] = []
            for begin in range(0, len(page.lanes), LANES_AT_ONCE):
                found += self._allowed(self._overdue(queue, page.lanes[begin : begin + LANES_AT_ONCE]))
                if found and self._is_brief:
                    break
            if found:
                return found
        return []

    def _bound(self, types: int) -> LaneBound:
        """Return what a walk over so many types hops over. Answers of the policy are left to :meth:`_allowed`."""
        full, passed = self._limits.full(), self._limits.passed()
        most = tenant_shares.default_limit()
        pks = [] if tenant_shares.are_limits_asked() else [pk for pk, count in self._own.items() if count >= most]
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


#: How many types are named; the others are counted.
MAX_NAMED_POOLS: Final = 5
#: What to do about quiet workers.
RESUME: Final = _("Resume them on the admin's page of workers, or start another one.")


def examine_pools(workers: Sequence[Worker], types: Collection[str] | None = None) -> Iterator[Finding]:
    """Yield a finding for each pool where there are several, and one for types whose pool is not configured.

    ``workers`` are those that live. With ``types``, only these job types are looked at.
    """
    rows = JobType.primary.all() if pools.configured() else JobType.primary.exclude(pool=DEFAULT_POOL)
    if types is not None:
        rows = rows.filter(pk__in=list(types))
    by_pool = types_by_pool(rows)
    served, quiet = queues_of(working(workers)), queues_of(workers)
    for pool in pools.names() if pools.configured() else ():
        yield _examine(pool, by_pool.pop(pool, []), served, quiet)
    yield from (_tell_unknown(pool, names) for pool, names in by_pool.items())


def types_by_pool(rows: QuerySet[JobType]) -> dict[str, list[str]]:
    """Return the names of these job types by their pools."""
    by_pool: dict[str, list[str]] = defaultdict(list)
    for name, pool in rows.order_by("pk").values_list("pk", "pool"):
        by_pool[pool].append(name)
    return by_pool


def queues_of(workers: Iterable[Worker]) -> set[str]:
    """Return the queues that any of these workers serves."""
    return {queue for worker in workers for queue in worker.queues.split(",")}


def why_unserved(pool: str, workers: Sequence[Worker]) -> str:
    """Return why nobody takes what waits in a pool, and what to do; "" where one of the live ``workers`` takes it."""
    return _why_unserved(pool, queues_of(working(workers)), queues_of(workers))


def is_served(pool: str, queues: set[str]) -> bool:
    """Return whether any of these queues is one of the pool; a pool that is not configured has none."""
    return pool in pools.names() and not queues.isdisjoint(pools.queue_names(pool))


def _why_unserved(pool: str, served: set[str], quiet: set[str]) -> str:
    """``served`` are the queues of workers that take jobs, ``quiet`` those of the others too."""
    if is_served(pool, served):
        return ""
    if is_served(pool, quiet):
        text = _("all its workers are quiet: they were ordered to take no new jobs, and jobs of it wait. %(advice)s")
        return say(text, code="workers_quiet", advice=say(RESUME))
    return say(_("no live worker, and jobs of it wait. Start `%(command)s`."), code="no_worker", command=_command(pool))


def _command(pool: str) -> str:
    return f"manage.py jobs_worker{'' if pool == DEFAULT_POOL else f' --pool {pool}'}"


def _examine(pool: str, types: Sequence[str], served: set[str], quiet: set[str]) -> Finding:
    """``served`` are the queues of workers that take jobs, ``quiet`` those of the others too."""
    subject = f"pool {pool}"
    problem = _why_unserved(pool, served, quiet)
    if not problem:
        text = say("has workers; job types: %(types)d.", code="served", types=len(types))
        return Finding(level=OK, subject=subject, text=text)
    if _do_any_of_types_wait(types):
        return Finding(level=PROBLEM, subject=subject, text=problem)
    if is_served(pool, quiet):
        text = say(
            "all its workers are quiet: they were ordered to take no new jobs; no job of it waits. %(advice)s",
            code="workers_quiet",
            advice=RESUME,
        )
        return Finding(level=WARNING, subject=subject, text=text)
    text = say("no live worker; no job of it waits. Start `%(command)s`.", code="no_worker", command=_command(pool))
    return Finding(level=WARNING, subject=subject, text=text)


def _do_any_of_types_wait(types: Sequence[str]) -> bool:
    return (
        any(any(store().count_waiting([types], 1, delayed=delayed)) for delayed in (False, True))
        or jobs().filter(status=Status.QUEUED, job_type_id__in=types).exists()
    )


def _tell_unknown(pool: str, types: Sequence[str]) -> Finding:
    rest = len(types) - MAX_NAMED_POOLS
    text = _(
        "is not in DJANGO_JOBS['POOLS'], but is that of the job types %(types)s: their jobs wait. Add it there and "
        "start `%(command)s`, or give these types another pool."
    )
    if rest > 0:
        text = _(
            "is not in DJANGO_JOBS['POOLS'], but is that of the job types %(types)s and %(rest)s more: their jobs "
            "wait. Add it there and start `%(command)s`, or give these types another pool."
        )
    values = {
        "types": ", ".join(types[:MAX_NAMED_POOLS]),
        "rest": rest,
        "command": f"manage.py jobs_worker --pool {pool}",
    }
    return Finding(level=PROBLEM, subject=f"pool {pool}", text=say(text, code="unknown_pool", **values))


# Diagnostics of what waits: whether jobs wait for long that nothing holds back, while workers of their pool are free.
#
# A busy system looks neglected for moments: between the end of a job and the start of the next one a slot and a place
# are free, and a rate lets one more go before the scheduler comes to it. So what one look finds counts only if a second
# one finds it too, and nothing has moved between them.


WAITING_JOBS: Final = "waiting jobs"
#: Seconds. If a due job waits longer while workers are free, something is wrong.
STUCK_SECONDS: Final = 60
#: Seconds between two looks. In less, a scheduler makes two ticks as a rule.
PAUSE_SECONDS: Final = 2.5
#: Of what started between them so many entries of the history are read, the newest.
MAX_STARTS: Final = 5_000
#: What to do.
LOOK: Final = "Look at the workers' logs, and whether RQ is suspended (`rq resume`)."
START: Final = "Start workers."


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

    ``workers`` are those that live. Take PAUSE_SECONDS longer where there is something to report.
    """
    slots = read_slots(workers)
    first = look_for_neglected(slots)
    if not first:
        return Finding(level=OK, subject=WAITING_JOBS, text=_nothing(slots))
    last = newest_entry()
    time.sleep(PAUSE_SECONDS)
    slots = read_slots(live_workers())
    again = {place: count for place, count in look_for_neglected(slots).items() if place in first}
    started = Started(last)
    stuck = {place: count for place, count in again.items() if not started.is_moving(place, slots)}
    if not stuck:
        return Finding(level=OK, subject=WAITING_JOBS, text=_nothing(slots))
    return Finding(level=PROBLEM, subject=WAITING_JOBS, text=_tell(stuck, slots))


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


def look_for_neglected(slots: Sequence[LiveWorker], seconds: float = STUCK_SECONDS) -> Counter[QueuedType]:
    """Count what is neglected for so long, for the queues of which no worker is known, or one has a free slot."""
    queues, _busy = by_load(slots, set(pools.all_queues()))
    since = database.now() - dt.timedelta(seconds=seconds)
    return count_neglected(since, queues) if queues else Counter()


def newest_entry() -> int:
    """Return the key of the newest entry of the history; 0 where it is empty."""
    return ExecutionLog.primary.order_by("-pk").values_list("pk", flat=True).first() or 0


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


def _nothing(slots: Sequence[LiveWorker]) -> Text:
    if slots and not any(item.free for item in slots):
        return say("all %(slots)d slots are busy.", code="all_busy", slots=sum(item.total for item in slots))
    return say("none that a free worker should have taken.", code="none")


def _tell(stuck: Mapping[QueuedType, int], slots: Sequence[LiveWorker]) -> Text:
    """Say how many jobs of which pools wait, and what to do."""
    told: list[Text] = []
    advice: list[str] = []
    for pool in pools.names():
        of_pool = {place: count for place, count in stuck.items() if place.queue.pool == pool}
        if of_pool:
            queues = {place.queue for place in of_pool}
            mine = [item for item in slots if not queues.isdisjoint(item.queues)]
            free, total = sum(item.free for item in mine), sum(item.total for item in mine)
            told.append(
                say(
                    "%(jobs)d or more%(of_pool)s were due more than %(seconds)d s ago, and slots are free: %(free)d of "
                    "%(total)d.",
                    of_pool=f" of pool {pool}" if pools.configured() else "",
                    pool=pool,
                    jobs=sum(of_pool.values()),
                    free=free,
                    total=total,
                    seconds=STUCK_SECONDS,
                )
            )
            advice.append(LOOK if mine else START)
    facts = [{name: item.values[name] for name in ("pool", "jobs", "free", "total")} for item in told]
    text = " ".join([*told, *dict.fromkeys(advice)])
    return say("%(text)s", code="neglected", text=text, pools=facts)


# Diagnostics of the running setup: one finding for each subject. They change nothing at the broker.


#: So many of the newest jobs are looked at, whether they were submitted at a moment that is still to come.
NEWEST_JOBS: Final = 1_000


def examine() -> Iterator[Finding]:
    """Yield the findings. What cannot be read is a problem."""
    try:
        now = database.now()
        mine = installation_id()
    except Error as error:
        yield Finding(
            level=PROBLEM,
            subject="database",
            text=say(
                "cannot be read (%(error)s). Is it running, and has `manage.py migrate` been run?",
                code="unreadable",
                error=type(error).__name__,
            ),
        )
        return
    name = database.connection().display_name
    text = say("%(database)s answers; installation %(installation)s.", code="answers", database=name, installation=mine)
    yield Finding(level=OK, subject="database", text=text)
    yield from _examine_schema()
    yield from _examine_clock(now)
    if store().hides_changes():
        text = say("lets equal jobs be accepted twice (django_jobs.E020).", code="hides_changes")
        yield Finding(level=PROBLEM, subject="isolation level", text=text)
    yield from _examine_tenants()
    yield examine_shares()
    yield from _examine_broker(mine)
    workers = live_workers()
    yield from _examine_queues(workers)
    yield from examine_pools(workers)
    yield _examine_scheduler(leader(now))
    yield from _examine_duties(now)
    yield examine_waiting(workers)
    yield examine_batches(now)
    yield from examine_types()
    yield from examine_breakers()
    yield from examine_schedules()


def _examine_schema() -> Iterator[Finding]:
    """Yield what is wrong with the tables. A migration that only takes away what an older release needs may be late."""
    late = schema.unapplied_migrations()
    if late:
        level = PROBLEM if schema.lacks_columns() else WARNING
        yield Finding(level=level, subject="schema", text=schema.behind(late))


def _examine_clock(now: dt.datetime) -> Iterator[Finding]:
    """Yield a problem where moments that the database told before are still to come."""
    ahead = now + duties.SET_BACK
    newest = Job.primary.order_by("-pk").values_list("created_at", flat=True)[:NEWEST_JOBS]
    created = sum(moment > ahead for moment in newest)
    running = Job.primary.filter(status=Status.RUNNING, started_at__gt=ahead).count()
    fired = Schedule.primary.filter(last_fired_at__gt=ahead).count()
    if created or running or fired:
        text = say(
            "the database's clock was set back. Moments that are still to come: %(created)d of the newest jobs were "
            "submitted, %(running)d that run have started, %(fired)d schedules have fired. Wait until then, or go by "
            "the page on operations.",
            code="clock_set_back",
            created=created,
            running=running,
            fired=fired,
        )
        yield Finding(level=PROBLEM, subject="clock", text=text)


def _examine_tenants() -> Iterator[Finding]:
    before = swapped_from()
    if before is not None:
        text = say(
            "are those of another table than %(before)r, for which the tables were made (django_jobs.E019). Set "
            "DJANGO_JOBS_ORGANIZATION_MODEL back.",
            code="swapped",
            before=before,
        )
        yield Finding(level=PROBLEM, subject="organizations", text=text)


def _examine_broker(mine: str) -> Iterator[Finding]:
    checks: list[Callable[[], Finding]] = [_reachable, lambda: _owner(mine), _eviction, _foreign]
    for check in checks:
        try:
            yield check()
        except BrokerUnavailable as error:
            text = say(
                "%(error)s. Mend that, or correct the URL in RQ_QUEUES; until then jobs stay Pending.",
                code=error.code,
                error=str(error),
            )
            yield Finding(level=PROBLEM, subject="broker", text=text)
            return
        except ImproperlyConfigured as error:
            text = say("%(error)s", code="wrong_setting", error=str(error))
            yield Finding(level=PROBLEM, subject="broker", text=text)
            return


def _reachable() -> Finding:
    total = sum(get_broker().depths().values())
    text = say("answers; tickets waiting: %(tickets)d.", code="answers", tickets=total)
    return Finding(level=OK, subject="broker", text=text)


def _owner(mine: str) -> Finding:
    theirs = get_broker().installation()
    if theirs is None:
        text = say(
            "has no owner yet, or was emptied; the first worker or scheduler claims it for this database.",
            code="no_owner",
        )
        return Finding(level=WARNING, subject="broker owner", text=text)
    if theirs != mine:
        text = say(
            "belongs to installation %(installation)s. %(advice)s (RQ_QUEUES names N).",
            code=ForeignBroker.code,
            installation=theirs,
            advice=ForeignBroker.advice,
        )
        return Finding(level=PROBLEM, subject="broker owner", text=text)
    return Finding(level=OK, subject="broker owner", text=say("belongs to this database.", code="owned"))


def _eviction() -> Finding:
    policy, subject = get_broker().eviction_policy(), "eviction policy"
    if policy == "noeviction":
        return Finding(level=OK, subject=subject, text=say("noeviction.", code="no_eviction"))
    if not policy:
        text = say(
            "may not be asked (CONFIG is closed). See to it that maxmemory-policy is noeviction.", code="unreadable"
        )
        return Finding(level=WARNING, subject=subject, text=text)
    text = say(
        "is %(policy)s, which drops tickets when memory is short. Set maxmemory-policy to noeviction.",
        code="evicts",
        policy=policy,
    )
    return Finding(level=PROBLEM, subject=subject, text=text)


def _foreign() -> Finding:
    subject, waiting_ids, aside = "foreign jobs", get_broker().foreign_ids(), get_broker().set_aside()
    if not waiting_ids and not aside.count:
        return Finding(level=OK, subject=subject, text=say("none in our queues.", code="none"))
    text = f"set aside from our queues: {aside}"
    if aside.newest:
        text += f" (newest: {', '.join(aside.newest)})"
    if waiting_ids:
        text += f"; waiting there: {len(waiting_ids)} (first: {waiting_ids[0][:80]!a})"
    text += ". They are no tickets of ours. Give RQ jobs of yours queues of their own, and see who may write to Redis."
    found = say("%(found)s", code="foreign_jobs", found=text, waiting=len(waiting_ids), set_aside=aside.count)
    return Finding(level=WARNING, subject=subject, text=found)


def _examine_queues(workers: list[Worker]) -> Iterator[Finding]:
    """Tell for each queue who serves it. Of a pool without workers :func:`examine_pools` tells, in one finding."""
    names = _queues_to_examine(workers)
    plain = plain_workers(list(names))
    for name, option in names.items():
        subject = f"queue {name}"
        mine = [worker for worker in workers if name in worker.queues.split(",")]
        if count := len(working(mine)):
            text = say("worker processes: %(workers)d.", code="served", workers=count)
            if quiet := len(mine) - count:
                pattern = "worker processes: %(workers)d, and %(quiet)d that are quiet."
                text = say(pattern, code="served", workers=count, quiet=quiet)
            yield Finding(level=OK, subject=subject, text=text)
        elif mine:
            text = say(
                "worker processes: %(quiet)d, all of them quiet: they take no new jobs. %(advice)s",
                code="workers_quiet",
                quiet=len(mine),
                advice=RESUME,
            )
            yield Finding(level=PROBLEM if _do_any_of_queue_wait(name) else WARNING, subject=subject, text=text)
        elif plain.get(name):
            text = say(
                "served by plain rqworkers: %(workers)d in RQ's list. They are for a trial; run `jobs_worker`.",
                code="plain_workers",
                workers=plain[name],
            )
            yield Finding(level=WARNING, subject=subject, text=text)
        else:
            text = say(
                "no live worker takes its jobs. Start `%(command)s`, or one with `--queues %(queue)s`.",
                code="no_worker",
                command=f"manage.py jobs_worker{option}",
                queue=name,
            )
            yield Finding(level=PROBLEM, subject=subject, text=text)


def _do_any_of_queue_wait(name: str) -> bool:
    """Return whether a job of this queue's priority waits, of whichever pool."""
    priority = pools.by_queue_name()[name].priority
    queued = jobs().filter(status=Status.QUEUED, priority=priority)
    return waiting().filter(priority=priority).exists() or queued.exists()


def _queues_to_examine(workers: list[Worker]) -> dict[str, str]:
    """Return the queues of the default pool, and of each other one that has a worker, with the option that names it."""
    served = {queue for worker in workers for queue in worker.queues.split(",")}
    found = dict.fromkeys(jobs_settings.QUEUES.values(), "")
    for pool in pools.configured():
        if names := pools.queue_names(pool) if not served.isdisjoint(pools.queue_names(pool)) else []:
            found |= dict.fromkeys(names, f" --pool {pool}")
    return found


def plain_workers(queues: list[str]) -> Mapping[str, int]:
    """Return how many of RQ's own workers take from each queue; nothing if the broker cannot be asked."""
    try:
        return get_broker().other_workers(queues)
    except (BrokerUnavailable, ImproperlyConfigured):
        return {}


def _examine_duties(now: dt.datetime) -> Iterator[Finding]:
    for item in duties.stalled_duties(now):
        seconds = (now - item.since).total_seconds()
        text = say(
            "%(duty)s of %(scheduler)s has made no round for %(seconds).0f s. Its log says where it hangs.",
            code="duty_stalled",
            duty=item.duty,
            scheduler=item.scheduler,
            seconds=seconds,
        )
        yield Finding(level=PROBLEM, subject="scheduler", text=text)


def _examine_scheduler(found: Leader) -> Finding:
    since = found.seconds_since_tick
    if found.is_alive:
        holder = found.holder or "none leads now"
        text = say("%(holder)s, ticked %(seconds).0f s ago.", code="ticks", holder=holder, seconds=since)
        return Finding(level=OK, subject="scheduler", text=text)
    text = say(
        "%(last)s: no retries, no rescue. Run `manage.py jobs_worker` without --no-scheduler, or `jobs_scheduler`.",
        code="never_ticked" if since is None else "silent",
        last="never ticked" if since is None else f"last ticked {since:.0f} s ago",
        seconds=since,
    )
    return Finding(level=PROBLEM, subject="scheduler", text=text)
