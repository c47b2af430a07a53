"""Async handlers in real workers: they run, ask the database, and stop when they are told to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from django_jobs import cancel_job, submit_job, submit_jobs
from django_jobs.models import Job, Organization
from django_jobs.statuses import Status
from tests.acceptance.steps import (
    PATIENCE,
    Stage,
    path_of,
    wait_for_idle_workers,
    wait_for_message,
    wait_for_status,
)
from tests.support.factories import make_job_type
from tests.support.tuning import SHORT_GRACE, tuned
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

THREADS = pytest.mark.parametrize("threads", ["1", "2"])


def test_coroutines_of_one_process_run_together_in_one_loop(processes: ProcessPool, stage: Stage) -> None:
    kind = make_job_type("meet_async")
    jobs = [stage.submit(kind, together=50, number=number) for number in range(50)]
    worker = processes.worker("--processes", "1", "--threads", "50")
    for job in jobs:
        wait_for_status(job, Status.COMPLETED)
    assert worker.stop() == 0


def test_five_hundred_coroutines_wait_at_once_in_a_process_of_less_than_250_megabytes(
    processes: ProcessPool, stage: Stage, settings: Any
) -> None:
    many = {"MAX_IN_FLIGHT_PER_ORGANIZATION": 1000}
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **many}
    kind = make_job_type("meet_async")
    jobs = submit_jobs(
        {"job_type": kind, "organization": stage.organization, "parameters": {"together": 500, "number": number}}
        for number in range(500)
    )
    worker = processes.worker("--processes", "1", "--threads", "500", settings=many)
    worker.wait_for_log("event=child_started")
    (child,) = wait_for_idle_workers(worker, 1)
    held: list[int] = []

    def is_over() -> bool:
        held.append(child.memory_info().rss)
        return not Job.objects.exclude(status=Status.COMPLETED).exists()

    wait_until(is_over, 2 * PATIENCE, "500 coroutines that wait for each other")
    assert len(jobs) == 500
    assert max(held) < 250 * 1_048_576


def test_a_coroutine_that_blocks_its_loop_is_named_and_killed_at_its_timeout_and_its_neighbors_pay_nothing(
    processes: ProcessPool, stage: Stage
) -> None:
    neighbor = stage.submit_recorded(make_job_type("record_and_wait_async", max_retries=0))
    worker = processes.worker(
        "--processes", "1", "--threads", "2", settings={"SHUTDOWN_GRACE_SECONDS": 1}, environ=tuned(**SHORT_GRACE)
    )
    neighbor.wait_for("start", attempt=1)
    guilty = stage.submit(make_job_type("block_async", default_timeout=6, max_retries=0))
    worker.wait_for_log("event=loop_blocked")
    assert "in block_async" in worker.log()

    status = wait_for_status(guilty, Status.DEAD_LETTER, timeout=30)
    assert status.error_message
    assert path_of(guilty)[2:] == [Status.RUNNING, Status.TIMED_OUT, Status.DEAD_LETTER]
    neighbor.wait_for("start", attempt=2)
    neighbor.let_go()
    ended = wait_for_status(neighbor.job, Status.COMPLETED)
    assert (ended.attempt, ended.retry_count) == (2, 0)


@THREADS
def test_async_handlers_ask_the_database_and_read_what_their_parent_returned(
    processes: ProcessPool, stage: Stage, threads: str
) -> None:
    kind = make_job_type("count_async")
    jobs = [stage.submit(kind) for _ in range(5)]
    parent = stage.submit(make_job_type("echo"), a=1)
    children = [
        submit_job(make_job_type(handler), stage.organization, depends_on=parent)
        for handler in ("gather", "gather_async")
    ]
    processes.worker("--processes", "1", "--threads", threads)
    results = [wait_for_status(job, Status.COMPLETED).result for job in jobs]
    assert results == [{"count": Organization.objects.count()}] * 5
    gathered = [wait_for_status(child, Status.COMPLETED).result for child in children]
    assert gathered == [{"parents": {parent.name: {"echo": {"a": 1}}}, "still_owned": True}] * 2


@THREADS
def test_an_async_handler_is_stopped_by_a_cancel_and_at_its_timeout_and_cleans_up(
    processes: ProcessPool, stage: Stage, tmp_path: Path, threads: str
) -> None:
    canceled = stage.submit(make_job_type("wait_async"), log=str(tmp_path / "canceled"))
    worker = processes.worker("--processes", "1", "--threads", threads)
    wait_for_message(canceled, "waiting")
    cancel_job(canceled.name)
    wait_for_status(canceled, Status.CANCELED)
    assert (tmp_path / "canceled").read_text() == "cleaned 1\n"

    late = stage.submit(make_job_type("wait_async", default_timeout=1, max_retries=0), log=str(tmp_path / "late"))
    wait_for_status(late, Status.DEAD_LETTER)
    assert path_of(late)[2:] == [Status.RUNNING, Status.TIMED_OUT, Status.DEAD_LETTER]
    assert (tmp_path / "late").read_text() == "cleaned 1\n"
    assert "event=child_ended" not in worker.log()


def test_an_async_handler_whose_thread_hangs_is_left_behind(processes: ProcessPool, stage: Stage) -> None:
    job = stage.submit(make_job_type("wait_async_in_a_thread", default_timeout=1, max_retries=0))
    worker = processes.worker("--processes", "1")

    wait_for_status(job, Status.DEAD_LETTER)
    assert path_of(job)[2:] == [Status.RUNNING, Status.TIMED_OUT, Status.DEAD_LETTER]
    assert "event=child_ended" not in worker.log()
    wait_for_status(stage.submit(make_job_type("count_async")), Status.COMPLETED)
