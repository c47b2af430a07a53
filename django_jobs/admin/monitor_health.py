"""Whether scheduler, workers and broker are alive, and what the workers run."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _

from django_jobs.admin import monitor_notices as notices
from django_jobs.admin.durations import brief_duration
from django_jobs.admin.news import Notice
from django_jobs.engine import timing
from django_jobs.engine.insight.inspection import Leader, jobs
from django_jobs.engine.ports import get_broker
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import Job, Worker
from django_jobs.statuses import Status

#: How many worker processes are counted, and how many of them the monitor shows.
MAX_WORKERS: Final = 1_000
WORKERS_SHOWN: Final = 20
#: So many running jobs are read for those that the monitor shows, and for all processes. The others are counted.
MAX_RUNNING: Final = 300
MAX_RUNNING_OF_ALL: Final = 3_000
RUNNING_SHOWN: Final = 5


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
    moment: dt.datetime,
    found: Leader,
    *,
    is_empty: bool,
    waiting: int,
    running_by: Mapping[str, int],
    types: Collection[str] | None,
) -> Health:
    """Return the health, read in a constant number of statements and two calls of the broker. ``found`` leads.

    With ``types``, notices are about these job types only, and nothing is told that belongs to no tenant.
    """
    workers, has_more = read_workers(moment, running_by)
    alive = [item.worker for item in workers if item.is_alive]
    tickets = _read_tickets()
    told = [
        *notices.about_broker(tickets),
        *notices.about_workers(alive, waiting),
        *notices.about_pools(alive, types),
        *(notices.about_set_aside() if types is None and tickets is not None else []),
        *notices.about_charts(is_empty=is_empty),
        *notices.about_types(types),
    ]
    return Health(workers=workers, has_more_workers=has_more, leader=found, tickets=tickets, notices=told)


def read_workers(
    now: dt.datetime, running_by: Mapping[str, int], jobs_shown: int | None = None
) -> tuple[list[WorkerLoad], bool]:
    """Return the first workers by name, each with the newest jobs that it runs, and whether there are more workers.

    ``running_by`` counts what runs by worker. With ``jobs_shown`` all workers tell so many jobs each; without it the
    first WORKERS_SHOWN tell RUNNING_SHOWN each, and the others none.
    """
    workers = list(Worker.primary.order_by("name")[: MAX_WORKERS + 1])
    running: dict[str, list[Job]] = defaultdict(list)
    telling, most, bound = MAX_WORKERS, jobs_shown, MAX_RUNNING_OF_ALL
    if most is None:
        telling, most, bound = WORKERS_SHOWN, RUNNING_SHOWN, MAX_RUNNING
    shown_names = [worker.name for worker in workers[:telling]]
    rows = jobs().filter(status=Status.RUNNING, worker_name__in=shown_names)
    shown = ("created_at", "started_at", "job_type_id", "worker_name", "organization_name")
    for job in rows.order_by("-pk").only(*shown)[:bound]:
        running[job.worker_name].append(job)
    loads = [_load(item, running[item.name], running_by.get(item.name, 0), now, most) for item in workers[:MAX_WORKERS]]
    return loads, len(workers) > MAX_WORKERS


def _load(worker: Worker, running: list[Job], count: int, now: dt.datetime, most: int) -> WorkerLoad:
    seconds = max(0.0, (now - worker.last_seen).total_seconds())
    return WorkerLoad(
        worker=worker,
        is_alive=seconds <= timing.WORKER_GONE_SECONDS,
        seconds_since_beat=seconds,
        jobs=running[:most],
        more=max(0, max(count, len(running)) - min(len(running), most)),
    )


def _read_tickets() -> int | None:
    """Return how many tickets the broker holds; None if it does not answer."""
    try:
        return sum(get_broker().depths().values())
    except BrokerUnavailable:
        return None


def scheduler_words(found: Leader) -> tuple[str, Any]:
    """Return who leads and how long ago it ticked, in words."""
    since = found.seconds_since_tick
    ago = _("never") if since is None else _("%(duration)s ago") % {"duration": brief_duration(since)}
    return found.holder or _("nobody"), ago
