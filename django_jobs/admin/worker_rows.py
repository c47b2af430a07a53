"""What the page of workers shows: supervisors with their processes, what these run, and what became of orders."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobs import pools
from django_jobs.admin.durations import brief_duration
from django_jobs.admin.formatting import ago, line
from django_jobs.admin.monitor_health import WorkerLoad, read_workers
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.monitor_pools import served_in_words
from django_jobs.admin.news import News, sentence
from django_jobs.admin.worker_states import State, clock, state_of
from django_jobs.engine.insight.inspection import Leader, jobs, leader
from django_jobs.engine.ports import get_broker
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import WorkerOrder
from django_jobs.statuses import Status
from django_jobs.texts import in_clauses, listed

#: So many jobs of one process are shown.
JOBS_SHOWN: Final = 20
#: What became of so many orders to supervisors that are gone is told.
GONE_SHOWN: Final = 20
#: So many workers that do not work are named when the page is read out.
NAMED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRow:
    """One worker process. Each job has its id, the address of its page, its type, and for how long it has run."""

    name: Any
    pid: int
    slots: int
    memory: str
    beat: str
    is_alive: bool
    is_quiet: bool
    jobs: list[tuple[str, str, Any, str]]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorRow:
    """One supervisor. ``buttons`` are verbs, their words and addresses; ``key`` is empty if it cannot be ordered."""

    key: str
    title: str
    state: State
    started: Any
    serves: Any
    release: str
    memory: str
    slots: int
    running: int
    processes: list[ProcessRow]
    buttons: list[tuple[str, str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All that works. ``gone`` are codes and sentences of what became of others that were ordered something.

    ``plain`` counts the plain rqworkers of each queue; None if Redis does not answer.
    """

    supervisors: list[SupervisorRow]
    has_more: bool
    gone: list[tuple[str, str]]
    leader: Leader
    leader_tick: str
    plain: list[tuple[str, int]] | None
    running: int
    slots: int
    quiet: int


def read_fleet(links: Links, now: dt.datetime) -> Fleet:
    """Return what the page shows, read in six statements and one call of the broker."""
    loads, has_more = read_workers(now, _running_by(), JOBS_SHOWN)
    orders = {order.pk: order for order in WorkerOrder.primary.order_by("-ordered_at")[: 10 * GONE_SHOWN]}
    groups = sorted(loads, key=_group_of)
    rows = [_supervisor(links, list(group), orders, now) for _key, group in groupby(groups, key=_group_of)]
    known = {load.worker.supervisor for load in loads}
    found = leader(now)
    since = found.seconds_since_tick
    return Fleet(
        supervisors=rows,
        has_more=has_more,
        gone=[_farewell(order) for order in orders.values() if order.pk not in known][:GONE_SHOWN],
        leader=found,
        leader_tick=_("never") if since is None else _("%(duration)s ago") % {"duration": brief_duration(since)},
        plain=_plain(),
        running=sum(row.running for row in rows),
        slots=sum(row.slots for row in rows),
        quiet=sum(row.state.is_quiet for row in rows),
    )


def news_of(fleet: Fleet) -> News:
    """Return how many workers work, which do not and why, and whether the scheduler is silent."""
    others = [row for row in fleet.supervisors if not row.state.works]
    count = len(fleet.supervisors) - len(others)
    parts = [ngettext("%(count)d worker works", "%(count)d workers work", count) % {"count": count}]
    parts += [f"{row.title}: {row.state.word}" for row in others[:NAMED]]
    if len(others) > NAMED:
        more = len(others) - NAMED
        parts.append(ngettext("%(more)s other does not", "%(more)s others do not", more) % {"more": more})
    text = sentence(in_clauses(parts), "" if fleet.leader.is_alive else _("The scheduler is silent."))
    return News(text=text, state=text)


def _running_by() -> Mapping[str, int]:
    rows = jobs().filter(status=Status.RUNNING).values_list("worker_name")
    return Counter(dict(rows.annotate(count=Count("pk"))))


def _group_of(load: WorkerLoad) -> tuple[str, int, str]:
    return load.worker.hostname, load.worker.supervisor_pid or 0, load.worker.supervisor


def _supervisor(
    links: Links, loads: list[WorkerLoad], orders: Mapping[str, WorkerOrder], now: dt.datetime
) -> SupervisorRow:
    workers = [load.worker for load in loads]
    first = workers[0]
    state = state_of(loads, orders.get(first.supervisor))
    memory = sum(worker.memory or 0 for worker in workers)
    return SupervisorRow(
        key=first.supervisor,
        title=_title(first.hostname, first.supervisor_pid),
        state=state,
        started=ago(min(worker.started_at for worker in workers)),
        serves=served_in_words(",".join(sorted({name for worker in workers for name in worker.queues.split(",")}))),
        release=listed(sorted({worker.release for worker in workers if worker.release})),
        memory=_megabytes(memory),
        slots=sum(load.worker.slots for load in loads if load.is_alive),
        running=sum(len(load.jobs) + load.more for load in loads),
        processes=[_process(links, load, now) for load in loads],
        buttons=_buttons(links, first.supervisor, state),
    )


def _title(hostname: str, pid: int | None) -> str:
    if pid is None:
        return hostname
    return _("%(host)s, process %(pid)d") % {"host": hostname, "pid": pid}


def _megabytes(memory: int | None) -> str:
    return _("%(megabytes)d MB") % {"megabytes": memory} if memory else ""


def _process(links: Links, load: WorkerLoad, now: dt.datetime) -> ProcessRow:
    return ProcessRow(
        name=line(load.worker.name, 60),
        pid=load.worker.pid,
        slots=load.worker.slots,
        memory=_megabytes(load.worker.memory),
        beat=brief_duration(load.seconds_since_beat),
        is_alive=load.is_alive,
        is_quiet=load.worker.quiet_since is not None,
        jobs=[
            (
                job.name,
                links.page("django_jobs_job_change", job.pk),
                line(job.job_type_id, 40),
                brief_duration((now - job.started_at).total_seconds()) if job.started_at else "",
            )
            for job in load.jobs
        ],
        more=load.more,
    )


def _buttons(links: Links, supervisor: str, state: State) -> list[tuple[str, str, str]]:
    words = {"quiet": _("Quiet"), "resume": _("Resume"), "stop": _("Stop…")}
    return [
        (
            verb,
            words[verb],
            links.page("django_jobs_worker_stop", supervisor)
            if verb == "stop"
            else links.page("django_jobs_worker_order", supervisor, verb),
        )
        for verb in state.verbs
    ]


def _farewell(order: WorkerOrder) -> tuple[str, str]:
    """Return the code and the text of what became of a supervisor that was ordered something, and is gone."""
    names = {
        "worker": order,
        "order": order.get_order_display(),
        "user": order.ordered_by,
        "ordered": clock(order.ordered_at),
    }
    if order.left_at is not None:
        names["left"] = clock(order.left_at)
        return "left", _("%(worker)s left at %(left)s, as %(user)s ordered at %(ordered)s.") % names
    if order.obeyed_at is not None:
        text = _("%(worker)s is gone. It had obeyed “%(order)s”, which %(user)s ordered at %(ordered)s.")
        return "gone", text % names
    text = _("%(worker)s was gone before it obeyed “%(order)s”, which %(user)s ordered at %(ordered)s.")
    return "gone_unobeyed", text % names


def _plain() -> list[tuple[str, int]] | None:
    try:
        counts = get_broker().other_workers(list(pools.queue_names()))
    except BrokerUnavailable:
        return None
    return [(name, count) for name, count in counts.items() if count]
