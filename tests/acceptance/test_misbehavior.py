"""Handlers that do what no handler should: their job ends as it must, and the next one in the same worker is fine."""

from __future__ import annotations

import pytest

from django_jobs.models import Job, Organization
from django_jobs.statuses import LogReason, Status
from tests.acceptance.steps import Stage, path_of, reasons_of, wait_for_all, wait_for_status
from tests.support.factories import make_job_type
from tests.support.workers import ProcessPool


def test_a_handler_that_ends_its_process_with_success_is_a_lost_worker(processes: ProcessPool, stage: Stage) -> None:
    job = stage.submit(make_job_type("misbehave", max_retries=1, retry_delay=0), how="os._exit")
    neighbours = [stage.submit(make_job_type()) for _ in range(5)]
    worker = processes.worker("--processes", "1")

    status = wait_for_status(job, Status.DEAD_LETTER)
    wait_for_all(neighbours)
    assert (status.retry_count, status.error_type) == (1, "Transient")
    assert status.error_message.endswith("exited with code 0")
    assert reasons_of(job, Status.FAILED) == [LogReason.WORKER_LOST] * 2
    assert worker.is_running()


@pytest.mark.parametrize("how", ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "BaseException"])
def test_a_handler_that_raises_what_is_no_exception_fails_and_ends_no_worker(
    processes: ProcessPool, stage: Stage, how: str
) -> None:
    job = stage.submit(make_job_type("misbehave", max_retries=0), how=how)
    worker = processes.worker("--processes", "1")

    status = wait_for_status(job, Status.DEAD_LETTER)
    assert (status.error_message, status.error_type) == ({"BaseException": "Fatal"}.get(how, how), "Transient")
    wait_for_status(stage.submit(make_job_type()), Status.COMPLETED)
    assert not {"event=child_ended", "event=slot_failed", "event=run_failed"} & set(worker.log().split())


def test_what_a_handler_does_to_its_connections_is_no_trouble_of_the_next_jobs(
    processes: ProcessPool, stage: Stage
) -> None:
    kind = make_job_type("misbehave")
    ways = ["open transaction", "broken transaction", "closed connection", "many threads"]
    jobs = [stage.submit(kind, how=how) for how in [*ways, *reversed(ways), *ways]]
    worker = processes.worker("--processes", "1")

    wait_for_all(jobs)
    # Nothing but an attempt that has not begun goes back: one claimed ahead, behind a handler that takes long.
    assert {status for job in jobs for status in path_of(job)} == {"Pending", "Queued", "Running", "Completed"}
    assert set(Job.objects.values_list("retry_count", flat=True)) == {0}
    assert not Organization.objects.filter(name__in=[job.name for job in jobs]).exists()
    assert "event=child_ended" not in worker.log()


def test_a_thread_that_a_handler_left_behind_writes_nothing_and_keeps_no_worker_from_leaving(
    processes: ProcessPool, stage: Stage
) -> None:
    job = stage.submit(make_job_type("misbehave"), how="thread")
    worker = processes.worker("--processes", "1", settings={"SHUTDOWN_GRACE_SECONDS": 300})

    status = wait_for_status(job, Status.COMPLETED)
    wait_for_status(stage.submit(make_job_type()), Status.COMPLETED)
    assert (status.progress, path_of(job)[-1]) == (100, Status.COMPLETED)
    assert worker.stop() == 0
