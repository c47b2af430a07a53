"""Limits of job types with real workers, judged by what the handlers themselves wrote down."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Final

from django_jobs import submit_jobs
from django_jobs.models import Job, JobType
from tests.acceptance.steps import PATIENCE, wait_for_all
from tests.support import record as records
from tests.support.factories import make_job_type, make_organization
from tests.support.overlaps import Crowd, Run, runs_of, worst_crowd
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

HANDLER: Final = "tests.support.recorded_handlers.work"
KEYS: Final = 5
JOBS_OF_EACH_TYPE: Final = 50


def test_never_one_too_many_runs_though_a_child_is_killed(processes: ProcessPool, tmp_path: Path) -> None:
    total = make_job_type(handler_method=HANDLER, max_running=2)
    tenant = make_job_type(handler_method=HANDLER, max_running_per_organization=1)
    keyed = make_job_type(handler_method=HANDLER, concurrency_key="account", max_running_per_key=1)
    jobs = {job.pk: job for job in submit_some(total, tenant, keyed)}
    record = tmp_path / "record"
    processes.worker("--processes", "2", "--threads", "3", environ={records.VARIABLE: str(record)})

    wait_until(lambda: len(records.read(record)) > JOBS_OF_EACH_TYPE, PATIENCE, "work to be done")
    victim = records.read(record)[-1].pid
    killed = {victim: time.monotonic()}
    os.kill(victim, signal.SIGKILL)
    wait_for_all(list(jobs.values()))
    runs = runs_of(records.read(record), killed, until=time.monotonic())

    def most(job_type: JobType, limit: int, group: Callable[[Job], Hashable]) -> Crowd:
        own = [run for run in runs if jobs[run.pk].job_type_id == job_type.pk]
        return worst_crowd(own, lambda run: group(jobs[run.pk]), limit)

    assert most(total, 2, lambda _: None) == Crowd(most=2, excess=0)
    assert most(tenant, 1, lambda job: job.organization_id) == Crowd(most=1, excess=0)
    assert most(keyed, 1, key_of) == Crowd(most=1, excess=0)
    assert {run.pk for run in runs if is_complete(run)} == set(jobs)


def submit_some(*kinds: JobType) -> list[Job]:
    """Short jobs of two organizations and a few keys, as many of each type."""
    organizations = [make_organization(), make_organization()]
    return submit_jobs(
        [
            {
                "job_type": kind,
                "organization": organizations[number % 2],
                "parameters": {"account": f"account {number % KEYS}", "number": number, "seconds": 0.05},
            }
            for number in range(JOBS_OF_EACH_TYPE)
            for kind in kinds
        ]
    )


def key_of(job: Job) -> tuple[int, str]:
    """What a job of a type with a key is counted with."""
    return job.organization_id, job.input_parameters["account"]


def is_complete(run: Run) -> bool:
    return run.how == records.RETURNED
