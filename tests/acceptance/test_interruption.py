"""Handlers that run too long, are canceled, or are in the way of a worker that is told to stop."""

from __future__ import annotations

import pytest
import redis
from rq import Queue

from django_jobs import cancel_job, get_job_status, submit_jobs
from django_jobs.statuses import Status
from tests.acceptance.steps import (
    Stage,
    messages_of,
    path_of,
    wait_for_all,
    wait_for_message,
    wait_for_status,
)
from tests.support.factories import make_job_type
from tests.support.tuning import SHORT_GRACE, tuned
from tests.support.verbs import IGNORED_CANCEL
from tests.support.waiting import wait_until
from tests.support.workers import STOP_TIMEOUT, ProcessPool

SWIFT = {"CANCEL_GRACE_SECONDS": 1, "SHUTDOWN_GRACE_SECONDS": 1, "LEASE_SECONDS": 6}
INTERRUPTED_AT_ONCE = pytest.mark.slots("one", "coroutines", reason="nothing interrupts a thread that waits in C code")


@INTERRUPTED_AT_ONCE
def test_a_handler_that_never_looks_is_stopped_at_its_timeout_retried_and_then_dead_letter(
    processes: ProcessPool, stage: Stage
) -> None:
    kind = make_job_type("wait_without_checkpoints", default_timeout=1, max_retries=1, retry_delay=0)
    job = stage.submit(kind)
    processes.worker()

    status = wait_for_status(job, Status.DEAD_LETTER)
    assert path_of(job)[2:] == [
        Status.RUNNING, Status.TIMED_OUT, Status.QUEUED, Status.RUNNING, Status.TIMED_OUT, Status.DEAD_LETTER,
    ]  # fmt: skip
    assert (status.attempt, status.retry_count) == (2, 1)
    assert messages_of(job, Status.TIMED_OUT) == ["Ran longer than 1 seconds"] * 2


def test_a_handler_that_swallows_its_timeout_is_killed_with_its_process(processes: ProcessPool, stage: Stage) -> None:
    job = stage.submit(make_job_type("swallow_everything", default_timeout=1, max_retries=0))
    processes.worker("--processes", "1", environ=tuned(**SHORT_GRACE))

    status = wait_for_status(job, Status.DEAD_LETTER)
    assert path_of(job)[2:] == [Status.RUNNING, Status.TIMED_OUT, Status.DEAD_LETTER]
    assert status.error_type == "Transient"
    wait_for_status(stage.submit(make_job_type()), Status.COMPLETED)


def test_a_timeout_is_enforced_in_threads_too(processes: ProcessPool, stage: Stage) -> None:
    kind = make_job_type("record_and_wait", default_timeout=1, max_retries=0)
    recorded = stage.submit_recorded(kind)
    processes.worker("--processes", "1", "--threads", "2")

    wait_for_status(recorded.job, Status.DEAD_LETTER)
    assert recorded.lines() == [("start", 1), ("stopped", 1)]


def test_a_timeout_works_after_a_foreign_job_ran_in_the_same_child(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis
) -> None:
    done = stage.directory / "foreign"
    Queue("jobs-normal", connection=redis_client).enqueue("tests.support.handlers.foreign_work", str(done))
    processes.worker("--processes", "1", settings={"FOREIGN_RQ_JOBS": "run"})
    wait_until(done.exists, 30, "the foreign job")

    job = stage.submit(make_job_type("wait_without_checkpoints", default_timeout=1, max_retries=0))
    wait_for_status(job, Status.DEAD_LETTER)
    assert path_of(job)[2:] == [Status.RUNNING, Status.TIMED_OUT, Status.DEAD_LETTER]


@INTERRUPTED_AT_ONCE
def test_canceling_stops_a_running_handler_without_checkpoints(processes: ProcessPool, stage: Stage) -> None:
    job = stage.submit(make_job_type("wait_without_checkpoints"))
    worker = processes.worker()
    wait_for_message(job, "waiting")

    assert get_job_status(cancel_job(job.name).name).cancel_requested
    status = wait_for_status(job, Status.CANCELED)
    assert status.canceled_at is not None
    assert "event=child_ended" not in worker.log()


def test_canceling_stops_a_running_handler_at_its_checkpoint(processes: ProcessPool, stage: Stage) -> None:
    job = stage.submit(make_job_type("wait_with_checkpoints"))
    worker = processes.worker()
    wait_for_message(job, "waiting")

    cancel_job(job.name)
    wait_for_status(job, Status.CANCELED)
    assert path_of(job)[-2:] == [Status.RUNNING, Status.CANCELED]
    assert "event=child_ended" not in worker.log()


def test_canceling_stops_a_handler_in_a_thread(processes: ProcessPool, stage: Stage) -> None:
    recorded = stage.submit_recorded(make_job_type("record_and_wait"))
    processes.worker("--processes", "1", "--threads", "2")
    recorded.wait_for("start", attempt=1)

    cancel_job(recorded.job.name)
    wait_for_status(recorded.job, Status.CANCELED)
    assert recorded.lines() == [("start", 1), ("stopped", 1)]


def test_a_handler_that_swallows_its_cancel_is_killed_and_the_job_is_canceled(
    processes: ProcessPool, stage: Stage
) -> None:
    job = stage.submit(make_job_type("swallow_everything"))
    worker = processes.worker("--processes", "1", settings=SWIFT)
    wait_for_message(job, "waiting")

    cancel_job(job.name)
    status = wait_for_status(job, Status.CANCELED)
    assert (status.attempt, status.retry_count) == (1, 0)
    assert path_of(job)[-2:] == [Status.RUNNING, Status.CANCELED]
    assert IGNORED_CANCEL in worker.log()
    wait_for_status(stage.submit(make_job_type()), Status.COMPLETED)


def test_handlers_that_let_nothing_else_run_are_canceled_while_others_submit(
    processes: ProcessPool, stage: Stage
) -> None:
    kind, other = make_job_type("hold_the_interpreter"), make_job_type()
    processes.worker(settings={**SWIFT, "SHUTDOWN_GRACE_SECONDS": 600})  # which nobody else could use
    for _ in range(4):  # whether another thread of the child writes just then is chance
        job, *others = submit_jobs(
            [{"job_type": each, "organization": stage.organization} for each in (kind, *[other] * 30)]
        )
        wait_for_status(job, Status.RUNNING)
        others.append(stage.submit(other))
        cancel_job(job.name)
        wait_for_status(job, Status.CANCELED)
        wait_for_all(others)


def test_jobs_in_other_threads_of_a_process_that_is_killed_for_a_neighbour_pay_nothing(
    processes: ProcessPool, stage: Stage
) -> None:
    stubborn = stage.submit(make_job_type("swallow_everything"))
    neighbour = stage.submit_recorded(make_job_type("record_and_wait"))
    processes.worker("--processes", "1", "--threads", "2", settings=SWIFT)
    wait_for_message(stubborn, "waiting")
    neighbour.wait_for("start", attempt=1)

    cancel_job(stubborn.name)
    wait_for_status(stubborn, Status.CANCELED)
    neighbour.wait_for("start", attempt=2)
    neighbour.let_go()
    status = wait_for_status(neighbour.job, Status.COMPLETED)
    assert (status.attempt, status.retry_count) == (2, 0)


def test_a_neighbours_timeout_costs_them_nothing_either(processes: ProcessPool, stage: Stage) -> None:
    stubborn = stage.submit(make_job_type("swallow_everything", default_timeout=5, max_retries=0))
    neighbour = stage.submit_recorded(make_job_type("record_and_wait", max_retries=0))
    processes.worker("--processes", "1", "--threads", "2", settings=SWIFT, environ=tuned(**SHORT_GRACE))
    wait_for_message(stubborn, "waiting")
    neighbour.wait_for("start", attempt=1)

    wait_for_status(stubborn, Status.DEAD_LETTER)
    neighbour.wait_for("start", attempt=2)
    neighbour.let_go()
    status = wait_for_status(neighbour.job, Status.COMPLETED)
    assert (status.attempt, status.retry_count) == (2, 0)
    assert Status.TIMED_OUT not in path_of(neighbour.job)
    assert path_of(stubborn)[2:] == [Status.RUNNING, Status.TIMED_OUT, Status.DEAD_LETTER]


def test_a_worker_told_to_stop_gives_its_job_the_grace_then_hands_it_back_for_nothing(
    processes: ProcessPool, stage: Stage
) -> None:
    recorded = stage.submit_recorded(make_job_type("record_and_wait"))
    worker = processes.worker(settings=SWIFT)
    recorded.wait_for("start", attempt=1)

    assert worker.stop() == 0
    status = get_job_status(recorded.job.name)
    assert (status.status, status.attempt, status.retry_count) == (Status.QUEUED, 1, 0)
    assert path_of(recorded.job)[-2:] == [Status.RUNNING, Status.QUEUED]
    assert recorded.lines() == [("start", 1), ("stopped", 1)]

    processes.worker()
    recorded.let_go()
    status = wait_for_status(recorded.job, Status.COMPLETED)
    assert (status.attempt, status.retry_count, status.result) == (2, 0, {"attempt": 2})


def test_a_worker_told_to_stop_lets_a_job_end_that_ends_within_the_grace(processes: ProcessPool, stage: Stage) -> None:
    recorded = stage.submit_recorded(make_job_type("record_and_wait"))
    worker = processes.worker()
    recorded.wait_for("start", attempt=1)

    worker.popen.terminate()
    worker.wait_for_log("event=stopping")
    recorded.let_go()
    assert worker.wait(STOP_TIMEOUT) == 0
    status = get_job_status(recorded.job.name)
    assert (status.status, status.attempt) == (Status.COMPLETED, 1)
