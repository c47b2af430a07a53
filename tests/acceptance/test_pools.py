"""Workers of two pools, as operators run them."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest

from django_jobs.models import Job, JobType, Worker
from django_jobs.pools import not_configured
from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, Stage, assert_stays, messages_of, status_of, wait_for_status
from tests.support import verbs
from tests.support.factories import make_job_type
from tests.support.tuning import forget_everything
from tests.support.verbs import SYSTEM, Moved
from tests.support.waiting import wait_until
from tests.support.workers import ManagedProcess, ProcessPool

POOLS: Final[dict[str, Any]] = {"POOLS": {"gpu": {}}}
DEFAULT_QUEUES: Final = ("jobs-critical", "jobs-high", "jobs-normal", "jobs-low")


@pytest.fixture
def gpu(stage: Stage, settings: Any) -> JobType:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **POOLS}
    forget_everything()
    return make_job_type("echo", pool="gpu")


def move_to(kind: JobType, pool: str) -> None:
    """Change the pool by a door of which no process hears."""
    JobType.objects.filter(pk=kind.pk).update(pool=pool)


def ran_in(job: Job) -> str:
    """The pool of the worker that ran the job."""
    name = Job.objects.get(pk=job.pk).worker_name
    return name.partition("@")[0] if "@" in name else "default"


def started(worker: ManagedProcess, pool: str) -> None:
    """Wait until a child of the pool's is known."""
    rows = Worker.objects.filter(queues__contains="jobs-gpu-low" if pool == "gpu" else "jobs-low")
    wait_until(rows.exists, PATIENCE, f"a worker of {pool}")
    assert worker.is_running()


def test_jobs_run_in_workers_of_their_pools(processes: ProcessPool, stage: Stage, gpu: JobType) -> None:
    started(processes.worker(settings=POOLS), "default")
    kind = make_job_type("echo")
    ours, others = [stage.submit(gpu) for _ in range(20)], [stage.submit(kind) for _ in range(20)]
    for job in others:
        wait_for_status(job, Status.COMPLETED)
    assert {status_of(job) for job in ours} <= {Status.PENDING, Status.QUEUED}

    processes.worker("--pool", "gpu", "--no-scheduler", settings=POOLS)
    for job in ours:
        wait_for_status(job, Status.COMPLETED)
    assert {ran_in(job) for job in ours} == {"gpu"}
    assert {ran_in(job) for job in others} == {"default"}


def test_a_change_of_the_pool_moves_what_waits(processes: ProcessPool, stage: Stage, gpu: JobType) -> None:
    jobs = [stage.submit(gpu) for _ in range(20)]  # some of them with tickets
    assert {status_of(job) for job in jobs} == {Status.PENDING, Status.QUEUED}
    move_to(gpu, "default")
    started(processes.worker("--pool", "gpu", settings=POOLS), "gpu")
    assert_stays(jobs[0], {Status.PENDING, Status.QUEUED}, 1.5)

    processes.worker("--no-scheduler", settings=POOLS)
    for job in jobs:
        wait_for_status(job, Status.COMPLETED)
    assert {ran_in(job) for job in jobs} == {"default"}


def test_a_ticket_that_is_out_when_the_pool_changes_runs_nowhere_else(
    processes: ProcessPool, stage: Stage, gpu: JobType
) -> None:
    kind = make_job_type("echo")
    job = stage.submit(kind)
    assert status_of(job) == Status.QUEUED
    move_to(kind, "gpu")
    assert processes.worker("--burst", "--no-scheduler", settings=POOLS).wait(2 * PATIENCE) == 0
    assert processes.start("rqworker", *DEFAULT_QUEUES, "--burst", settings=POOLS).wait(2 * PATIENCE) == 0
    assert status_of(job) == Status.QUEUED

    processes.worker("--pool", "gpu", settings=POOLS)
    wait_for_status(job, Status.COMPLETED)
    assert ran_in(job) == "gpu"


def test_a_plain_rqworker_runs_no_ticket_that_lies_in_two_pools_queues(
    processes: ProcessPool, stage: Stage, gpu: JobType
) -> None:
    kind = make_job_type("echo")
    job = stage.submit(kind)
    move_to(kind, "gpu")
    forget_everything()
    verbs.push_tickets([_moved(job)])
    assert processes.start("rqworker", *DEFAULT_QUEUES, "--burst", settings=POOLS).wait(2 * PATIENCE) == 0
    assert status_of(job) == Status.QUEUED
    assert processes.start("rqworker", "jobs-gpu-normal", "--burst", settings=POOLS).wait(2 * PATIENCE) == 0
    assert status_of(job) == Status.COMPLETED


def _moved(job: Job) -> Moved:
    """What a move of the job to Queued tells."""
    return Moved(
        pk=job.pk,
        from_status="Pending",
        to_status="Queued",
        attempt=0,
        job_type=job.job_type_id,
        organization_name="",
        priority=job.priority,
        year=job.created_at.year,
        message="",
        actor=SYSTEM,
        worker_name="",
    )


def test_jobs_of_a_pool_that_is_removed_wait_until_it_is_there_again(
    processes: ProcessPool, stage: Stage, gpu: JobType
) -> None:
    job = stage.submit(gpu)
    assert status_of(job) == Status.QUEUED
    worker = processes.worker(settings={})
    wait_for_status(job, Status.PENDING)
    assert_stays(job, {Status.PENDING}, 1.5)
    assert messages_of(job, Status.PENDING)[-1] == not_configured("gpu")
    worker.stop()

    assert processes.worker("--pool", "gpu", "--burst", settings=POOLS).wait(2 * PATIENCE) == 0
    assert status_of(job) == Status.COMPLETED
    assert ran_in(job) == "gpu"


def test_a_pool_that_is_not_there_is_refused_with_those_that_are(processes: ProcessPool, stage: Stage) -> None:
    worker = processes.worker("--pool", "tpu", settings=POOLS)
    assert worker.wait(PATIENCE) == 1
    assert re.search(r"--pool: .*'tpu'.* default, gpu\b", worker.log())
