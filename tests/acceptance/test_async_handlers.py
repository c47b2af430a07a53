"""Async handlers in real workers: they run, ask the database, and stop when they are told to."""

from __future__ import annotations

from pathlib import Path

import pytest

from django_jobs import cancel_job, submit_job
from django_jobs.models import Organization
from django_jobs.statuses import Status
from tests.acceptance.steps import Stage, path_of, wait_for_message, wait_for_status
from tests.support.factories import make_job_type
from tests.support.workers import ProcessPool

THREADS = pytest.mark.parametrize("threads", ["1", "2"])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@THREADS
def test_an_async_handler_asks_the_database(processes: ProcessPool, stage: Stage, threads: str) -> None:
    kind = make_job_type("count_async")
    jobs = [stage.submit(kind) for _ in range(5)]
    processes.worker("--processes", "1", "--threads", threads)
    results = [wait_for_status(job, Status.COMPLETED).result for job in jobs]
    assert results == [{"count": Organization.objects.count()}] * 5


@THREADS
@pytest.mark.parametrize("handler", ["gather", "gather_async"])
def test_a_handler_reads_what_its_parent_returned(
    processes: ProcessPool, stage: Stage, handler: str, threads: str
) -> None:
    parent = stage.submit(make_job_type("echo"), a=1)
    child = submit_job(make_job_type(handler), stage.organization, depends_on=parent)
    processes.worker("--processes", "1", "--threads", threads)
    result = wait_for_status(child, Status.COMPLETED).result
    assert result == {"parents": {parent.name: {"echo": {"a": 1}}}, "still_owned": True}


@THREADS
def test_canceling_stops_an_async_handler_which_cleans_up(
    processes: ProcessPool, stage: Stage, log: Path, threads: str
) -> None:
    job = stage.submit(make_job_type("wait_async"), log=str(log))
    worker = processes.worker("--processes", "1", "--threads", threads)
    wait_for_message(job, "waiting")

    cancel_job(job.name)
    wait_for_status(job, Status.CANCELED, timeout=15)
    assert log.read_text() == "cleaned 1\n"
    assert "event=child_ended" not in worker.log()


@THREADS
def test_an_async_handler_is_stopped_at_its_timeout(
    processes: ProcessPool, stage: Stage, log: Path, threads: str
) -> None:
    job = stage.submit(make_job_type("wait_async", default_timeout=1, max_retries=0), log=str(log))
    worker = processes.worker("--processes", "1", "--threads", threads)

    wait_for_status(job, Status.DEAD_LETTER)
    assert path_of(job)[2:] == [Status.RUNNING, Status.TIMED_OUT, Status.DEAD_LETTER]
    assert log.read_text() == "cleaned 1\n"
    assert "event=child_ended" not in worker.log()


def test_an_async_handler_whose_thread_hangs_is_left_behind(processes: ProcessPool, stage: Stage) -> None:
    job = stage.submit(make_job_type("wait_async_in_a_thread", default_timeout=1, max_retries=0))
    worker = processes.worker("--processes", "1")

    wait_for_status(job, Status.DEAD_LETTER, timeout=15)
    assert path_of(job)[2:] == [Status.RUNNING, Status.TIMED_OUT, Status.DEAD_LETTER]
    assert "event=child_ended" not in worker.log()
    wait_for_status(stage.submit(make_job_type("count_async")), Status.COMPLETED)
