"""Steps and checkpoints of jobs whose workers are killed, frozen and stopped."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from django_jobs.models import JobStep
from django_jobs.statuses import Status
from tests.acceptance.steps import RecordedJob, Stage, freeze, wait_for_status
from tests.support.factories import make_job_type
from tests.support.workers import ProcessPool

WAYS = {
    "in the main thread": ("take_steps", ()),
    "in threads": ("take_steps", ("--threads", "2")),
    "a coroutine": ("take_steps_async", ()),
    "coroutines beside others": ("take_steps_async", ("--threads", "2")),
}


def ways(*names: str) -> pytest.MarkDecorator:
    """These ways to run a handler: a step is one function for those that are coroutines, and one for all others."""
    return pytest.mark.parametrize(("handler", "options"), [WAYS[name] for name in names], ids=names)


def attempts_of_steps(recorded: RecordedJob) -> dict[str, int]:
    """By which attempt each step was stored."""
    return dict(JobStep.objects.filter(job=recorded.job).values_list("name", "attempt"))


@ways("in the main thread", "coroutines beside others")
def test_what_was_done_before_the_kill_of_a_process_is_not_done_again(
    processes: ProcessPool, stage: Stage, handler: str, options: tuple[str, ...]
) -> None:
    recorded = stage.submit_recorded(make_job_type(handler))
    processes.worker("--processes", "2", *options)
    recorded.wait_for("wait", attempt=1)

    os.kill(recorded.pid(attempt=1), signal.SIGKILL)
    recorded.let_go()
    wait_for_status(recorded.job, Status.COMPLETED)
    assert recorded.lines() == [
        ("start", 1), ("charge", 1), ("wait", 1), ("start", 2), ("wait", 2), ("book", 2), ("mail", 2),
    ]  # fmt: skip
    assert attempts_of_steps(recorded) == {"charge": 1, "book": 2, "mail": 2}


@ways("in threads", "a coroutine")
def test_a_step_of_an_attempt_that_was_frozen_past_its_lease_is_refused_and_it_stops(
    processes: ProcessPool, stage: Stage, handler: str, options: tuple[str, ...]
) -> None:
    recorded = stage.submit_recorded(make_job_type(handler), shield=True)
    processes.worker("--processes", "2", *options, settings={"LEASE_SECONDS": 2})
    recorded.wait_for("wait", attempt=1)
    frozen = recorded.pid(attempt=1)

    freeze(psutil.Process(frozen))
    recorded.wait_for("wait", attempt=2)
    recorded.let_go(attempt=1)
    os.kill(frozen, signal.SIGCONT)
    recorded.wait_for("stopped", attempt=1)
    assert attempts_of_steps(recorded) == {"charge": 1}

    recorded.let_go(attempt=2)
    wait_for_status(recorded.job, Status.COMPLETED)
    assert ("mail", 1) not in recorded.lines()
    assert attempts_of_steps(recorded) == {"charge": 1, "book": 2, "mail": 2}


@ways(*WAYS)
def test_a_worker_that_is_told_to_stop_saves_the_checkpoint(
    processes: ProcessPool, stage: Stage, handler: str, options: tuple[str, ...]
) -> None:
    recorded = stage.submit_recorded(make_job_type(handler))
    worker = processes.worker("--processes", "1", *options, settings={"SHUTDOWN_GRACE_SECONDS": 0.2})
    recorded.wait_for("wait", attempt=1)
    assert worker.stop() == 0

    recorded.let_go()
    processes.worker("--processes", "1", *options)
    status = wait_for_status(recorded.job, Status.COMPLETED)
    assert status.result == {"attempt": 2, "charged_by": 1}
    assert status.retry_count == 0
