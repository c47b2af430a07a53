"""Whether scheduler, workers and broker are alive, and what to do if one is not."""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django_jobs.admin.durations import brief_duration
from django_jobs.engine.dispatch.window import FRESH_SECONDS
from django_jobs.engine.insight.findings import PROBLEM
from django_jobs.engine.insight.inspection import Leader, jobs, leader
from django_jobs.engine.insight.pool_diagnostics import examine_pools
from django_jobs.engine.insight.rollups import LEASE, behind
from django_jobs.engine.ports import get_broker
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import EngineLease, Job, JobType, Worker
from django_jobs.statuses import Status

#: How many worker processes are counted, and how many of them are shown.
MAX_WORKERS: Final = 1_000
WORKERS_SHOWN: Final = 100
MAX_RUNNING: Final = 300
RUNNING_SHOWN: Final = 5
#: The charts are called late if more events than this are still to be counted.
LATE_EVENTS: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that is wrong.

    ``level`` is one of Django's message tags; ``advice`` is for those who run the system. ``links`` are words and
    addresses of pages that tell more, ``buttons`` those of pages that ask before they act.
    """

    level: str
    text: str
    advice: str = ""
    links: tuple[tuple[str, str], ...] = ()
    buttons: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLoad:
    """A worker process, the newest few of the jobs that it runs, and how many more it runs."""

    worker: Worker
    is_alive: bool
    seconds_since_beat: float
    jobs: list[Job]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is known of the engine's processes.

    ``workers`` are the first MAX_WORKERS. With ``has_more_workers`` there are others, of which nothing is known here.
    """

    workers: list[WorkerLoad]
    has_more_workers: bool
    leader: Leader
    tickets: int | None
    notices: list[Notice]

    @property
    def alive(self) -> list[WorkerLoad]:
        """Return the workers that have been heard of lately."""
        return [item for item in self.workers if item.is_alive]

    @property
    def slots(self) -> int:
        """Return how many jobs the live workers can run at once."""
        return sum(item.worker.slots for item in self.alive)

    def running_elsewhere(self, running_by: Mapping[str, int]) -> int:
        """Return how many of these running jobs, counted by worker, are with workers that are silent or unknown."""
        known = {item.worker.name for item in self.alive}
        return sum(count for name, count in running_by.items() if name not in known)


def read_health(
    moment: dt.datetime, *, is_empty: bool, waiting: int, running_by: Mapping[str, int], types: Collection[str] | None
) -> Health:
    """Return the health, read in a constant number of statements and two calls of the broker.

    With ``types``, notices are about these job types only, and nothing is told that belongs to no tenant.
    """
    workers, has_more = _read_workers(moment, running_by)
    found = leader(moment)
    tickets = _read_tickets()
    notices = [
        *_about_broker(tickets),
        *_about_scheduler(found),
        *_about_workers([item for item in workers if item.is_alive], waiting),
        *_about_pools([item.worker for item in workers if item.is_alive], types),
        *(_about_set_aside() if types is None and tickets is not None else []),
        *_about_charts(is_empty=is_empty),
        *_about_types(types),
    ]
    return Health(workers=workers, has_more_workers=has_more, leader=found, tickets=tickets, notices=notices)


def _read_workers(now: dt.datetime, running_by: Mapping[str, int]) -> tuple[list[WorkerLoad], bool]:
    workers = list(Worker.primary.order_by("name")[: MAX_WORKERS + 1])
    running: dict[str, list[Job]] = defaultdict(list)
    shown_names = [worker.name for worker in workers[:WORKERS_SHOWN]]
    rows = jobs().filter(status=Status.RUNNING, worker_name__in=shown_names)
    shown = ("created_at", "started_at", "job_type_id", "worker_name", "organization_name")
    for job in rows.order_by("-pk").only(*shown)[:MAX_RUNNING]:
        running[job.worker_name].append(job)
    loads = [_load(item, running[item.name], running_by.get(item.name, 0), now) for item in workers[:MAX_WORKERS]]
    return loads, len(workers) > MAX_WORKERS


def _load(worker: Worker, running: list[Job], count: int, now: dt.datetime) -> WorkerLoad:
    seconds = max(0.0, (now - worker.last_seen).total_seconds())
    return WorkerLoad(
        worker=worker,
        is_alive=seconds <= FRESH_SECONDS,
        seconds_since_beat=seconds,
        jobs=running[:RUNNING_SHOWN],
        more=max(0, max(count, len(running)) - min(len(running), RUNNING_SHOWN)),
    )


def _read_tickets() -> int | None:
    """Return how many tickets the broker holds; None if it does not answer."""
    try:
        return sum(get_broker().depths().values())
    except BrokerUnavailable:
        return None


def _about_broker(tickets: int | None) -> list[Notice]:
    if tickets is not None:
        return []
    text = "Redis cannot be reached. Jobs are still accepted and wait in the database; none starts until it is back."
    return [Notice(level="error", text=text, advice="Start Redis, or correct the URL in RQ_QUEUES.")]


def _about_set_aside() -> list[Notice]:
    try:
        aside = get_broker().set_aside()
    except BrokerUnavailable:
        return []
    if not aside.count:
        return []
    text = f"Set aside from our queues, and not run: {aside} entries that are no tickets."
    advice = (
        "Give RQ jobs of yours queues of their own, and see who may write to Redis. “manage.py jobs_check” names the "
        "newest; “Entries that are not ours” in docs/operations.md says how to look at them and forget them."
    )
    return [Notice(level="warning", text=text, advice=advice)]


def _about_scheduler(found: Leader) -> list[Notice]:
    if found.is_alive:
        return []
    since = found.seconds_since_tick
    text = "The scheduler has never run" if since is None else f"The scheduler is silent for {brief_duration(since)}"
    return [
        Notice(
            level="error",
            text=f"{text}. Retries, delayed jobs, the rescue of lost ones, replays and these charts stand still.",
            advice="Run “manage.py jobs_worker”, which has one, or “manage.py jobs_scheduler”, and look at its log.",
        )
    ]


def _about_workers(alive: list[WorkerLoad], waiting: int) -> list[Notice]:
    if alive:
        return []
    text = "No worker is alive: what is submitted waits."
    if waiting:
        text = "No worker is alive: nothing runs, and jobs wait."
    return [Notice(level="error", text=text, advice="Start “manage.py jobs_worker”, and look at its log if it ends.")]


def _about_pools(alive: list[Worker], types: Collection[str] | None) -> list[Notice]:
    """Return a notice for each pool whose jobs wait in vain, as `jobs_check` finds them."""
    found = [item for item in examine_pools(alive, types) if item.level == PROBLEM]
    texts = [f"{item.subject.capitalize()}: {item.text}" for item in found]
    return [Notice(level="error", text=re.sub("`([^`]*)`", r"“\1”", text)) for text in texts]


def _about_charts(*, is_empty: bool) -> list[Notice]:
    """Return a notice if the charts cannot be trusted, since counting follows the history by more than some seconds."""
    count = behind()
    lease = EngineLease.primary.filter(pk=LEASE).first()
    if is_empty:
        return []
    if lease is None or not lease.state.get("done"):
        text = (
            "Nothing is counted yet: the charts and the table of job types stay empty until the scheduler has done it."
        )
        return [Notice(level="warning", text=text, advice="That takes some seconds once a scheduler runs.")]
    if count > LATE_EVENTS:
        text = f"The charts are late: {count:,} events are still to be counted. What waits and runs is up to date."
        advice = "The scheduler catches up by itself; a transaction that stays open for long can hold it up."
        return [Notice(level="warning", text=text, advice=advice)]
    return []


def _about_types(types: Collection[str] | None) -> list[Notice]:
    rows = JobType.primary.filter(is_enabled=True, is_paused=True).order_by("pk")
    if types is not None:
        rows = rows.filter(pk__in=list(types))
    names = list(rows.values_list("pk", flat=True)[:6])
    if not names:
        return []
    shown = ", ".join(names[:5]) + (" and others" if len(names) > 5 else "")  # noqa: PLR2004  (one more was read)
    return [Notice(level="warning", text=f"Paused on purpose: {shown}. Their jobs wait until the type is resumed.")]


def scheduler_words(found: Leader) -> tuple[str, Any]:
    """Return who leads and how long ago it ticked, in words."""
    since = found.seconds_since_tick
    return found.holder or "nobody", "never" if since is None else f"{brief_duration(since)} ago"
