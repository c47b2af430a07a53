"""What these benchmarks run on: types with limits, workers of two pools, the handlers' record, children that die."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from django_jobs import submit_jobs
from django_jobs.conf import DEFAULT_POOL
from django_jobs.models import Job, JobType, Organization, Worker
from lab.benchmarks import setting
from tests.support import record as records
from tests.support.overlaps import Run, runs_of
from tests.support.waiting import RARE_SECONDS, wait_until
from tests.support.worker_children import children_of

#: Seconds after which workers have started, or a step hangs, however slow the machine.
PATIENCE: Final = 120.0
SUBMITTED_AT_ONCE: Final = 2_000
HANDLERS: Final = "lab.benchmarks.flow.handlers"


class Crew(NamedTuple):
    """The processes of one ``jobs_worker``, and the jobs that each runs at once."""

    processes: int
    threads: int
    pool: str = DEFAULT_POOL

    @property
    def slots(self) -> int:
        return self.processes * self.threads


class Kill(NamedTuple):
    """A child that was killed: when, by the monotonic clock, and whose it was."""

    at: float
    pid: int
    pool: str


def reset(kinds: Mapping[str, Mapping[str, Any]], *, handler: str = "work", is_paused: bool = True) -> None:
    """Leave no job, no organization, and these types with these fields. Paused, they wait for :func:`begin`."""
    setting.reset()
    JobType.objects.all().delete()
    Organization.objects.all().delete()
    for name, fields in kinds.items():
        values = {"handler_method": f"{HANDLERS}.{handler}", "default_timeout": 60, "deduplication_window": 0}
        JobType.objects.create(pk=name, is_paused=is_paused, **(values | dict(fields)))


def organizations(count: int, prefix: str = "FLOW") -> list[Organization]:
    """Make so many organizations."""
    Organization.objects.bulk_create([Organization(name=f"{prefix}-{number:05}") for number in range(count)])
    return list(Organization.objects.filter(name__startswith=f"{prefix}-").order_by("name"))


class Item(NamedTuple):
    """A job to be submitted."""

    kind: str
    organization: str
    parameters: dict[str, Any]


def submit(items: Iterable[Item]) -> None:
    """Submit many jobs, in calls of moderate size."""
    waiting = iter(items)
    while part := list(itertools.islice(waiting, SUBMITTED_AT_ONCE)):
        submit_jobs(
            [{"job_type": item.kind, "organization": item.organization, "parameters": item.parameters} for item in part]
        )


def begin() -> float:
    """Let the types' jobs start; return when."""
    moment = time.monotonic()
    JobType.objects.update(is_paused=False)
    return moment


class Workers:
    """Workers at work, and what their handlers write down."""

    def __init__(self, supervisors: Mapping[str, psutil.Process], path: Path) -> None:
        self._supervisors = supervisors
        self._path = path
        self.kills: list[Kill] = []
        #: The pool that each child is of, by its pid.
        self.pools: dict[int, str] = {}

    def events(self) -> list[records.Event]:
        return records.read(self._path)

    def runs(self) -> list[Run]:
        """Return the runs so far. What runs now ends now."""
        self._look()
        now = time.monotonic()
        killed = {kill.pid: kill.at for kill in self.kills}
        return runs_of(self.events(), killed, now)

    def _look(self) -> None:
        for pool, supervisor in self._supervisors.items():
            self.pools.update(dict.fromkeys((child.pid for child in children_of(supervisor)), pool))

    def kill_one(self) -> None:
        """Kill a child with SIGKILL. The moment is taken before: what it held ends no later than this tells."""
        self._look()
        pool, supervisor = random.choice(list(self._supervisors.items()))
        if children := children_of(supervisor):
            child = random.choice(children)
            self.kills.append(Kill(time.monotonic(), child.pid, pool))
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)

    @contextlib.contextmanager
    def killing(self, pause: float) -> Iterator[None]:
        """Kill a child every so many seconds."""
        is_over = threading.Event()

        def kill() -> None:
            while not is_over.wait(pause):
                self.kill_one()

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            yield
        finally:
            is_over.set()
            killer.join()


@contextlib.contextmanager
def workers(*crews: Crew) -> Iterator[Workers]:
    """Start a ``jobs_worker`` for each crew, and wait until all its children are ready."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="flow-"))
        os.environ[records.VARIABLE] = str(Path(directory, "record"))
        supervisors = {
            crew.pool: stack.enter_context(setting.workers(crew.processes, crew.threads, *_pool_options(crew.pool)))
            for crew in crews
        }
        wanted = sum(crew.processes for crew in crews)
        wait_until(lambda: Worker.objects.count() >= wanted, PATIENCE, "the workers to start", pause=RARE_SECONDS)
        yield Workers(supervisors, Path(directory, "record"))


def _pool_options(pool: str) -> tuple[str, ...]:
    return () if pool == DEFAULT_POOL else ("--pool", pool)


class Place(NamedTuple):
    """Where a job stands: what limits count it by."""

    kind: str
    organization: str
    key: str
    priority: int


def places() -> dict[int, Place]:
    """Return the place of each job, by its primary key."""
    rows = Job.objects.values_list("pk", "job_type_id", "organization_name", "input_parameters__account", "priority")
    return {pk: Place(kind, name, key or "", priority) for pk, kind, name, key, priority in rows.iterator()}
