"""Worker processes."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs import pools
from django_jobs.admin.pages import Links, News, SeesJobs, Switch, is_system_admin, sentence, view
from django_jobs.admin.writing import ago, brief_duration, line, zone_of
from django_jobs.engine import timing
from django_jobs.engine.control.switches import Order, give_order, live_worker
from django_jobs.engine.insight import reasons
from django_jobs.engine.insight.inspection import Leader, jobs, leader
from django_jobs.engine.insight.reasons import REASONS
from django_jobs.engine.pausing import set_paused
from django_jobs.engine.ports import get_broker
from django_jobs.engine.store import database
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import Worker, WorkerOrder
from django_jobs.statuses import Status
from django_jobs.texts import comma, in_clauses, listed

# The page of workers: what each runs, and the buttons that order their supervisors to be quiet, resume or stop.


#: What the orders mean.
MEANING: Final = gettext_lazy(
    "Quiet: it takes no new jobs, and finishes what runs, however long that takes. Stop: it takes no new jobs, gives "
    "what runs the grace of a shutdown, hands back the rest, and exits; whatever started it (systemd, Docker, "
    "Kubernetes) may start it again. A worker that is started anew takes jobs."
)
SWITCHES: Final = {
    "quiet": Switch(
        label=Order.QUIET.label,
        code="quiet_ordered",
        perform=lambda order, user: set_paused("worker", order.pk, True, user=user),
    ),
    "resume": Switch(
        label=Order.RESUME.label,
        code="resume_ordered",
        perform=lambda order, user: set_paused("worker", order.pk, False, user=user),
    ),
    "stop": Switch(
        label=Order.STOP.label,
        code="stop_ordered",
        asks=lambda _order: [MEANING],
        perform=lambda order, user: give_order(order.pk, Order.STOP, user),
    ),
}


@admin.register(Worker)
class WorkerAdmin(SeesJobs):
    """The list of supervisors with their processes, and the views that order them. For system admins alone."""

    ordering = ("name",)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Hosts and processes are shared by all tenants: they are for those who run the system.
        return is_system_admin(request)

    only_own = True
    switches = SWITCHES

    @view("", "changelist")
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        fleet = read_fleet(self.links, database.now())
        title = capfirst(_("workers"))
        return self.page(
            request,
            "worker/list.html",
            title,
            title,
            fleet=fleet,
            news=news_of(fleet),
            no_worker=REASONS["no_worker"].long,
            meaning=MEANING,
        )

    def find(self, request: HttpRequest, object_id: str) -> WorkerOrder | None:
        """Return the order that a supervisor may get, not stored; None where it has left, or is silent."""
        worker = live_worker(unquote(object_id))
        if worker is None:
            return None
        return WorkerOrder(pk=worker.supervisor, hostname=worker.hostname, supervisor_pid=worker.supervisor_pid)

    def home_of(self, pk: Any) -> str:
        return self.url_of("changelist")


# What the page of workers shows: supervisors with their processes, what these run, and what became of orders.


#: So many jobs of one process are shown, of so many that are read. The others are counted.
JOBS_SHOWN: Final = 20
MAX_RUNNING: Final = 3_000
#: What became of so many orders to supervisors that are gone is told.
GONE_SHOWN: Final = 20
#: So many workers that do not work are named when the page is read out.
NAMED: Final = 3


def read_fleet(links: Links, now: dt.datetime) -> dict[str, Any]:
    """Return what the page shows, read in six statements and one call of the broker.

    ``gone`` are codes and sentences of what became of others that were ordered something. ``plain`` counts the plain
    rqworkers of each queue; None if Redis does not answer.
    """
    loads, has_more = read_workers(now, _running_by(), telling=MAX_WORKERS, jobs_shown=JOBS_SHOWN, bound=MAX_RUNNING)
    orders = {order.pk: order for order in WorkerOrder.primary.order_by("-ordered_at")[: 10 * GONE_SHOWN]}
    groups = sorted(loads, key=_group_of)
    rows = [_supervisor(links, list(group), orders) for _key, group in groupby(groups, key=_group_of)]
    known = {load.worker.supervisor for load in loads}
    found = leader(now)
    sums = {name: sum(row[name] for row in rows) for name in ("running", "slots")}
    return {
        "supervisors": rows,
        "has_more": has_more,
        "gone": [_farewell(order) for order in orders.values() if order.pk not in known][:GONE_SHOWN],
        "leader": found,
        "leader_tick": last_tick(found),
        "no_scheduler": reasons.told("no_scheduler", {"since": last_tick(found)}),
        "plain": _plain(),
        "sums": reasons.told("", {**sums, "quiet": sum(row["state"].is_quiet for row in rows) or ""}),
    }


def news_of(fleet: Mapping[str, Any]) -> News:
    """Return how many workers work, which do not and why, and whether the scheduler is silent."""
    others = [row for row in fleet["supervisors"] if not row["state"].works]
    parts = [f"{capfirst(_('workers'))}: {reasons.counted(len(fleet['supervisors']) - len(others))}"]
    parts += [f"{row['title']}: {row['state'].word}" for row in others[:NAMED]]
    parts += [_("and %(count)s more") % {"count": len(others) - NAMED}] if len(others) > NAMED else []
    text = sentence(in_clauses(parts), "" if fleet["leader"].is_alive else str(REASONS["no_scheduler"].short))
    return News(text=text, state=text)


def _running_by() -> Mapping[str, int]:
    rows = jobs().filter(status=Status.RUNNING).values_list("worker_name")
    return Counter(dict(rows.annotate(count=Count("pk"))))


def _group_of(load: WorkerLoad) -> tuple[str, int, str]:
    return load.worker.hostname, load.worker.supervisor_pid or 0, load.worker.supervisor


def _supervisor(links: Links, loads: list[WorkerLoad], orders: Mapping[str, WorkerOrder]) -> dict[str, Any]:
    """Return one supervisor; ``key`` is empty if it cannot be ordered."""
    workers = [load.worker for load in loads]
    first = workers[0]
    state = state_of(loads, orders.get(first.supervisor))
    slots = sum(load.worker.slots for load in loads if load.is_alive)
    running = sum(len(load.jobs) + load.more for load in loads)
    return {
        "key": first.supervisor,
        "title": _title(first.hostname, first.supervisor_pid),
        "state": state,
        "started": ago(min(worker.started_at for worker in workers)),
        "serves": served_in_words(",".join(sorted({name for worker in workers for name in worker.queues.split(",")}))),
        "release": listed(sorted({worker.release for worker in workers if worker.release})),
        "memory": megabytes(sum(worker.memory or 0 for worker in workers)),
        "slots": slots,
        "running": running,
        "in_use": reasons.of_all(running, slots),
        "processes": loads,
        "buttons": [(verb, Order(verb).label, links.page(f"worker_{verb}", first.supervisor)) for verb in state.verbs],
    }


def _title(hostname: str, pid: int | None) -> str:
    if pid is None:
        return hostname
    return _("%(host)s, process %(pid)d") % {"host": hostname, "pid": pid}


def _farewell(order: WorkerOrder) -> tuple[str, str]:
    """Return the code and the text of what became of a supervisor that was ordered something, and is gone."""
    code = "left" if order.left_at else "gone" if order.obeyed_at else "gone_unobeyed"
    since = clock(order.left_at) if order.left_at else ""
    return code, f"{order}: {_orders(order)} {reasons.told('', {'left': since})}".rstrip()


def _plain() -> list[tuple[str, int]] | None:
    try:
        counts = get_broker().other_workers(list(pools.queue_names()))
    except BrokerUnavailable:
        return None
    return [(name, count) for name, count in counts.items() if count]


# What a supervisor does, in words: it works, was ordered something, is quiet, stops, or fell silent.


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A word and its color, a sentence that says more, and the orders that can be given now.

    ``code`` tells states apart that have the same word. ``is_quiet``: it takes no new jobs.
    """

    code: str
    word: str
    slug: str
    text: str = ""
    verbs: tuple[str, ...] = ()
    is_quiet: bool = False

    @property
    def works(self) -> bool:
        """Return whether it takes new jobs, as far as is known."""
        return self.slug == "completed"


def state_of(loads: Sequence[WorkerLoad], order: WorkerOrder | None) -> State:
    """Return what a supervisor of these processes does, which was ordered this last."""
    alive = [load for load in loads if load.is_alive]
    if not alive:
        return _silent(min(load.seconds_since_beat for load in loads), order)
    if order is not None and order.order == Order.STOP:
        return _stopping(order, sum(len(load.jobs) + load.more for load in alive))
    quiet = [load.worker.quiet_since for load in alive if load.worker.quiet_since is not None]
    if len(quiet) == len(alive):
        running = sum(len(load.jobs) + load.more for load in alive)
        is_to_resume = order is not None and order.order == Order.RESUME
        return _quiet(min(quiet), running, order if is_to_resume else None)
    if order is not None and order.order == Order.QUIET:
        text = _orders(order)
        return State(code="quiet_ordered", word=_("works"), slug="completed", text=text, verbs=("resume", "stop"))
    return State(code="works", word=_("works"), slug="completed", verbs=("quiet", "stop"))


def _orders(order: WorkerOrder) -> str:
    """Return who ordered what and when, and where that has not been obeyed, that."""
    facts = {"ordered": listed([str(order.get_order_display()), order.ordered_by, clock(order.ordered_at)])}
    return sentence(reasons.told("", facts), "" if order.obeyed_at else _("Not obeyed yet."))


def _silent(seconds: float, order: WorkerOrder | None) -> State:
    text = _("No sign for %(duration)s: what it ran starts again elsewhere when its leases end.")
    text %= {"duration": brief_duration(seconds)}
    if order is None or order.obeyed_at is not None:
        return State(code="silent", word=_("silent"), slug="dead-letter", text=text)
    return State(code="silent_unobeyed", word=_("silent"), slug="dead-letter", text=sentence(text, _orders(order)))


def _stopping(order: WorkerOrder, running: int) -> State:
    text = _orders(order)
    if order.obeyed_at is None:
        return State(code="stop_ordered", word=_("works"), slug="completed", text=text, verbs=("stop",))
    facts = {"since": clock(order.obeyed_at), "running": running or ""}
    text = sentence(text, reasons.told("", facts))
    return State(code="stops", word=_("stops"), slug="timed-out", text=text, is_quiet=True)


def _quiet(since: dt.datetime, running: int, resume: WorkerOrder | None) -> State:
    code, verbs = "quiet", ("resume", "stop")
    text = reasons.told("", {"since": clock(since), "running": running or ""})
    if resume is not None:
        code, verbs, text = "resume_ordered", ("quiet", "stop"), sentence(text, _orders(resume))
    return State(code=code, word=_("quiet"), slug="timed-out", text=text, verbs=verbs, is_quiet=True)


def clock(moment: dt.datetime) -> str:
    """Return the time of a moment with its zone, and with its day if that is another one than today."""
    local, today = localtime(moment), localtime()
    time = f"{date_format(local, 'TIME_FORMAT')} {zone_of(local)}"
    return time if local.date() == today.date() else f"{date_format(local, 'SHORT_DATE_FORMAT')}{comma()}{time}"


# Worker processes with what they run, for the monitor too.


#: How many worker processes are counted.
MAX_WORKERS: Final = 1_000
#: What a worker serves is shown up to so many characters; a tooltip has the rest.
MOST_SERVED: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLoad:
    """A worker process, the newest few of the jobs that it runs, and how many more it runs.

    Each job has ``ran``, the seconds since its attempt began.
    """

    worker: Worker
    is_alive: bool
    seconds_since_beat: float
    jobs: list[Any]
    more: int

    @property
    def serves(self) -> SafeString | str:
        """Return which pools the worker serves, in words."""
        return served_in_words(self.worker.queues)

    @property
    def memory(self) -> str:
        """Return how much memory it has, for people."""
        return megabytes(self.worker.memory)


def read_workers(
    now: dt.datetime, running_by: Mapping[str, int], *, telling: int, jobs_shown: int, bound: int
) -> tuple[list[WorkerLoad], bool]:
    """Return the first workers by name, and whether there are more.

    ``running_by`` counts what runs by worker. The first ``telling`` workers have the newest ``jobs_shown`` jobs that
    they run, of ``bound`` that are read; the others none.
    """
    workers = list(Worker.primary.order_by("name")[: MAX_WORKERS + 1])
    running: dict[str, list[Any]] = defaultdict(list)
    rows = jobs().filter(status=Status.RUNNING, worker_name__in=[worker.name for worker in workers[:telling]])
    shown = ("created_at", "started_at", "job_type_id", "worker_name")
    found: list[Any] = list(rows.order_by("-pk").only(*shown)[:bound])
    for job in found:
        job.ran = (now - job.started_at).total_seconds()
        running[job.worker_name].append(job)
    loads = []
    for worker in workers[:MAX_WORKERS]:
        seconds, own = max(0.0, (now - worker.last_seen).total_seconds()), running[worker.name]
        loads.append(
            WorkerLoad(
                worker=worker,
                is_alive=seconds <= timing.WORKER_GONE_SECONDS,
                seconds_since_beat=seconds,
                jobs=own[:jobs_shown],
                more=max(running_by.get(worker.name, 0), len(own)) - len(own[:jobs_shown]),
            )
        )
    return loads, len(workers) > MAX_WORKERS


def served_in_words(queues: str) -> SafeString | str:
    """Return which pools a worker with these queues serves, such as ``default, gpu (Critical, High)``.

    A pool of which it serves some queues only is told with their priorities, a queue of no configured pool by its name.
    """
    names = [name for name in queues.split(",") if name]
    words = []
    for pool in pools.names():
        own = pools.queues_of(pool)
        labels = [label for label, name in own.items() if name in names]
        if labels:
            words.append(pool if len(labels) == len(own) else f"{pool} ({listed(labels)})")
    known = pools.queue_names()
    return line(listed([*words, *(name for name in names if name not in known)]), MOST_SERVED)


def megabytes(memory: int | None) -> str:
    """Return an amount of memory for people; empty where it is not known."""
    return _("%(megabytes)d MB") % {"megabytes": memory} if memory else ""


def last_tick(found: Leader) -> str:
    """Return how long ago the scheduler ticked, in words."""
    since = found.seconds_since_tick
    return _("never") if since is None else _("%(duration)s ago") % {"duration": brief_duration(since)}
