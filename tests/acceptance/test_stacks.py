"""A handler that is killed, or that crashes, leaves its stacks in the Execution Log; one that fails, its exception."""

from __future__ import annotations

import os
from typing import Final

import psutil
import pytest

from django_jobs import cancel_job
from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, Stage, freeze, messages_of, wait_for_message, wait_for_status
from tests.support.factories import make_job_type
from tests.support.tuning import SHORT_GRACE, tuned
from tests.support.verbs import IGNORED_TIMEOUT, KILLED, OWN_THREAD, SHUT_DOWN, STOPPED
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

# Leases are renewed, and cancels seen, six times in their seconds.
SWIFT: Final = {"CANCEL_GRACE_SECONDS": 1, "SHUTDOWN_GRACE_SECONDS": 1, "LEASE_SECONDS": 6}
SHOWN: Final = pytest.mark.slots("one", "threads", reason="no thread's stack shows a coroutine that awaits")


def traceback_of(job: Job, status: str) -> str:
    """The first log row with this status, once it is there."""
    rows = ExecutionLog.objects.filter(job=job, to_status=status)
    wait_until(rows.exists, PATIENCE, f"{job.name} to be {status}")
    return rows.earliest("id").traceback


@pytest.mark.slots("one", reason="each child has one of the jobs")
def test_handlers_that_are_killed_at_their_timeout_leave_their_stacks_and_a_frozen_process_none(
    processes: ProcessPool, stage: Stage
) -> None:
    handlers = ("swallow_everything", "hold_the_interpreter")
    jobs = {handler: stage.submit(make_job_type(handler, default_timeout=1, max_retries=0)) for handler in handlers}
    recorded = stage.submit_recorded(make_job_type("record_and_wait", default_timeout=6, max_retries=0))
    processes.worker("--processes", "3", settings={**SWIFT, "LEASE_SECONDS": 60}, environ=tuned(**SHORT_GRACE))
    freeze(psutil.Process(recorded.pid(attempt=1)))
    for handler, job in jobs.items():
        text = traceback_of(job, Status.TIMED_OUT)
        assert text.startswith(IGNORED_TIMEOUT)
        own = text.partition(OWN_THREAD)[2].partition("\n\n")[0]
        assert f" in {handler}" in own
        (message,) = messages_of(job, Status.TIMED_OUT)
        assert ("1" in message, message.endswith(KILLED)) == (True, True)
    text = traceback_of(recorded.job, Status.TIMED_OUT)
    assert text.startswith(IGNORED_TIMEOUT)
    assert 'File "' not in text


@SHOWN
def test_a_handler_that_is_killed_for_a_cancel_leaves_them_with_its_thread_named(
    processes: ProcessPool, stage: Stage
) -> None:
    job = stage.submit(make_job_type("swallow_everything"))
    neighbour = stage.submit_recorded(make_job_type("record_and_wait"))
    processes.worker("--processes", "1", "--threads", "2", settings=SWIFT)
    wait_for_message(job, "waiting")
    neighbour.wait_for("start", attempt=1)
    cancel_job(job.name)
    text = traceback_of(job, Status.CANCELED)
    own = text.partition(OWN_THREAD)[2].partition("\n\n")[0]
    assert (" in swallow_everything" in own, " in record_and_wait" in own) == (True, False)
    assert messages_of(job, Status.CANCELED) == [f"{STOPPED}: {KILLED}"]
    wait_until(lambda: messages_of(neighbour.job, Status.QUEUED)[1:], PATIENCE, "the neighbour to be requeued")
    rows = ExecutionLog.objects.filter(job=neighbour.job)
    assert set(rows.values_list("traceback", flat=True)) == {""}
    neighbour.let_go()


@SHOWN
def test_a_handler_that_outstays_the_grace_of_a_shutdown_leaves_them(processes: ProcessPool, stage: Stage) -> None:
    job = stage.submit(make_job_type("swallow_everything"))
    worker = processes.worker("--processes", "1", settings=SWIFT, environ=tuned(**SHORT_GRACE))
    wait_for_message(job, "waiting")
    assert worker.stop() == 0
    rows = ExecutionLog.objects.filter(job=job, to_status=Status.QUEUED, from_status=Status.RUNNING)
    text = rows.get().traceback
    assert text.startswith(SHUT_DOWN)
    assert " in swallow_everything" in text


def test_a_handler_that_crashes_leaves_what_the_interpreter_says(processes: ProcessPool, stage: Stage) -> None:
    job = stage.submit(make_job_type("crash", max_retries=0))
    processes.worker("--processes", "1")
    text = traceback_of(job, Status.FAILED)
    assert "SIGSEGV" in text
    assert "Segmentation fault" in text
    assert " in crash" in text


@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_failed_attempt_is_told_in_the_worker_process(processes: ProcessPool, stage: Stage, threads: str) -> None:
    log = stage.directory / "log"
    job = stage.submit(make_job_type("fail_and_tell", max_retries=1, retry_delay=1), log=str(log))
    worker = processes.worker("--processes", "1", "--threads", threads)
    wait_for_status(job, Status.DEAD_LETTER)
    wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == 2, PATIENCE, "both attempts to be told")
    told = [line.split() for line in log.read_text().splitlines()]
    assert [(status, attempt) for status, attempt, *_ in told] == [("Failed", "1"), ("Dead_Letter", "2")]
    assert {(name, kind) for *_, name, kind in told} == {("fail_and_tell", "ValueError")}
    assert str(os.getpid()) not in {pid for _, _, pid, *_ in told}
    # Each attempt's exception once in the log, with the record of what became of the job.
    lines = worker.log()
    assert lines.count("ValueError: no such invoice") == 2
    assert wait_for_status(job, Status.DEAD_LETTER).attempt == 2
