"""Limits and rates of types in the workers of two pools, judged by what the handlers themselves wrote down."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from django_jobs import submit_jobs
from django_jobs.models import ExecutionLog, Job, JobType
from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, wait_for_all
from tests.support import record as records
from tests.support.factories import make_job_type, make_organization
from tests.support.overlaps import Crowd, Run, most_starts, runs_of, worst_crowd
from tests.support.tuning import forget_everything
from tests.support.waiting import wait_until
from tests.support.workers import ManagedProcess, ProcessPool

HANDLER: Final = "tests.support.recorded_handlers.work"
POOLS: Final[dict[str, Any]] = {"POOLS": {"gpu": {}}}
KEYS: Final = 4
JOBS_OF_EACH_TYPE: Final = 40
#: Starts of a type, and of each of its keys, in so many seconds.
RATE: Final = 20
KEY_RATE: Final = 4
WINDOW: Final = 2


@pytest.fixture(autouse=True)
def _pools(transactional_db: None, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **POOLS}
    forget_everything()


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "record"


def start_workers(processes: ProcessPool, record: Path) -> list[ManagedProcess]:
    """Two supervisors, one for each pool, with two children of three threads each."""
    options, environ = ("--processes", "2", "--threads", "3"), {records.VARIABLE: str(record)}
    default = processes.worker(*options, settings=POOLS, environ=environ)
    return [default, processes.worker(*options, "--pool", "gpu", settings=POOLS, environ=environ)]


def submit_some(kinds: Sequence[JobType], count: int = JOBS_OF_EACH_TYPE, seconds: float = 0.05) -> dict[int, Job]:
    """Jobs of two organizations and a few accounts, as many of each type."""
    organizations = [make_organization(), make_organization()]
    jobs = submit_jobs(
        [
            {
                "job_type": kind,
                "organization": organizations[number % 2],
                "parameters": {"account": f"account {number % KEYS}", "number": number, "seconds": seconds},
            }
            for number in range(count)
            for kind in kinds
        ]
    )
    return {job.pk: job for job in jobs}


def runs_to_the_end(jobs: dict[int, Job], record: Path, killed: dict[int, float]) -> list[Run]:
    """What ran, once all of these jobs have completed."""
    wait_for_all([*jobs.values()])
    runs = runs_of(records.read(record), killed, until=time.monotonic())
    assert {run.pk for run in runs if run.how == records.RETURNED} == set(jobs)
    return runs


def of_type(runs: Sequence[Run], jobs: dict[int, Job], kind: JobType) -> list[Run]:
    return [run for run in runs if jobs[run.pk].job_type_id == kind.pk]


def key_of(job: Job) -> tuple[int, str]:
    """What a job of a type with a key is counted with."""
    return job.organization_id, job.input_parameters["account"]


def kill_one_of(worker: ManagedProcess, record: Path) -> dict[int, float]:
    """Kill the child of this worker that wrote the last line, once there is work; when it was, by its pid."""

    def busy() -> list[int]:
        children = {child.pid for child in worker.children()}
        return [event.pid for event in records.read(record) if event.pid in children and event.what == "alive"]

    wait_until(lambda: len(busy()) > JOBS_OF_EACH_TYPE // 4, PATIENCE, f"work of {worker}")
    victim = busy()[-1]
    killed = {victim: time.monotonic()}
    os.kill(victim, signal.SIGKILL)
    return killed


def test_never_one_too_many_runs_in_two_pools_though_a_child_is_killed(processes: ProcessPool, record: Path) -> None:
    total = make_job_type(handler_method=HANDLER, max_running=2)
    keyed = make_job_type(handler_method=HANDLER, concurrency_key="account", pool="gpu")
    jobs = submit_some([total, keyed])
    default, gpu = start_workers(processes, record)

    killed = kill_one_of(gpu, record)
    runs = runs_to_the_end(jobs, record, killed)

    def most(kind: JobType, limit: int, group: Callable[[Job], Hashable]) -> Crowd:
        return worst_crowd(of_type(runs, jobs, kind), lambda run: group(jobs[run.pk]), limit)

    assert most(total, 2, lambda _: None) == Crowd(most=2, excess=0)
    assert most(keyed, 1, key_of) == Crowd(most=1, excess=0)
    assert default.is_running()
    assert gpu.is_running()


def test_a_type_that_changes_its_pool_keeps_its_limits(processes: ProcessPool, record: Path) -> None:
    """What is in flight in both pools counts together while it moves."""
    kind = make_job_type(handler_method=HANDLER, max_running=3, concurrency_key="account")
    jobs = submit_some([kind])
    start_workers(processes, record)

    wait_until(lambda: len(records.read(record)) > JOBS_OF_EACH_TYPE // 2, PATIENCE, "work to be done")
    JobType.objects.filter(pk=kind.pk).update(pool="gpu")
    runs = runs_to_the_end(jobs, record, {})

    assert worst_crowd(runs, lambda _: None, 3).excess == 0
    assert worst_crowd(runs, lambda run: key_of(jobs[run.pk]), 1) == Crowd(most=1, excess=0)


def claims(jobs: Sequence[Job]) -> list[float]:
    """When workers claimed them, by the database's clock. A handler begins a moment later, on a busy machine much."""
    rows = ExecutionLog.objects.filter(job__in=jobs, to_status=Status.RUNNING).order_by("pk")
    return [moment.timestamp() for moment in dict(rows.values_list("job_id", "timestamp")).values()]


def test_no_window_has_more_starts_than_may_be(processes: ProcessPool, record: Path) -> None:
    rated = make_job_type(handler_method=HANDLER, max_starts=RATE, max_starts_window=WINDOW)
    keyed = make_job_type(
        handler_method=HANDLER,
        pool="gpu",
        concurrency_key="account",
        max_running_per_key=99,
        max_starts_per_key=KEY_RATE,
        max_starts_window=WINDOW,
    )
    jobs = submit_some([rated, keyed], seconds=0)
    start_workers(processes, record)

    runs_to_the_end(jobs, record, {})
    assert most_starts(claims([job for job in jobs.values() if job.job_type_id == rated.pk]), WINDOW) <= RATE
    keys: dict[Hashable, list[Job]] = defaultdict(list)
    for job in jobs.values():
        if job.job_type_id == keyed.pk:
            keys[key_of(job)].append(job)
    assert max(most_starts(claims(members), WINDOW) for members in keys.values()) <= KEY_RATE
