"""A database that is restarted, or away for a while, under busy workers."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from django.db import connection

from django_jobs import cancel_job, submit_jobs
from django_jobs.models import Job
from django_jobs.statuses import Status
from tests.acceptance.steps import (
    Stage,
    assert_stays,
    path_of,
    status_of,
    wait_for_all,
    wait_for_message,
    wait_for_status,
)
from tests.concurrency.crowd import assert_histories_are_chains
from tests.support.databases import DistantDatabase, cut_connections
from tests.support.factories import make_job_type
from tests.support.workers import ProcessPool


def cut_often(times: int, pause: float) -> int:
    """Cut all connections again and again; how many were cut in all."""
    beat = threading.Event()
    total = 0
    for _ in range(times):
        total += cut_connections()
        beat.wait(pause)
    return total


def test_a_running_jobs_result_is_stored_though_its_workers_connections_were_cut(
    processes: ProcessPool, stage: Stage
) -> None:
    recorded = stage.submit_recorded(make_job_type("record_and_wait"))
    worker = processes.worker("--processes", "1")
    recorded.wait_for("start", attempt=1)

    cut_connections()
    recorded.let_go()
    status = wait_for_status(recorded.job, Status.COMPLETED)
    assert (status.attempt, status.retry_count, status.result) == (1, 0, {"attempt": 1})
    assert recorded.lines() == [("start", 1), ("end", 1)]
    assert "event=child_ended" not in worker.log()


def test_nothing_is_lost_when_connections_are_cut_again_and_again_while_jobs_are_claimed_and_settled(
    processes: ProcessPool, stage: Stage
) -> None:
    kind = make_job_type("echo")
    items = [{"job_type": kind, "organization": stage.organization, "parameters": {"number": n}} for n in range(600)]
    jobs = submit_jobs(items)
    worker = processes.worker("--processes", "2")
    wait_for_status(jobs[0], Status.COMPLETED)

    cut = cut_often(times=20, pause=0.05)
    assert (cut > 0) == (connection.vendor != "sqlite")
    wait_for_all(jobs)

    results = Job.objects.filter(job_type=kind).order_by("pk").values_list("result", flat=True)
    assert list(results) == [{"echo": {"number": number}} for number in range(600)]
    assert set(Job.objects.filter(job_type=kind).values_list("retry_count", flat=True)) == {0}
    assert_histories_are_chains()
    assert "event=child_ended" not in worker.log()


def test_progress_and_cancel_still_work_after_connections_were_cut(processes: ProcessPool, stage: Stage) -> None:
    job = stage.submit(make_job_type("wait_with_checkpoints"))
    processes.worker("--processes", "1")
    wait_for_message(job, "waiting")

    cut_connections()
    Job.objects.filter(pk=job.pk).update(progress_message="")
    wait_for_message(job, "waiting")
    cancel_job(job)
    wait_for_status(job, Status.CANCELED)
    assert path_of(job).count(Status.RUNNING) == 1


def test_a_database_that_is_away_for_longer_than_the_leases_costs_no_job_a_retry(
    processes: ProcessPool, stage: Stage, distant: DistantDatabase
) -> None:
    kind = make_job_type("record_and_wait")
    ends_meanwhile, goes_on = [stage.submit_recorded(kind, name) for name in ("first", "second")]
    environ = {"DATABASE_URL": distant.url}
    worker = processes.worker("--processes", "2", settings={"LEASE_SECONDS": 2}, environ=environ)
    for recorded in (ends_meanwhile, goes_on):
        recorded.wait_for("start", attempt=1)

    distant.cut()
    ends_meanwhile.let_go()
    ends_meanwhile.wait_for("end", attempt=1)
    assert_stays(goes_on.job, {Status.RUNNING}, 2.5)
    assert status_of(ends_meanwhile.job) == Status.RUNNING
    distant.mend()

    assert wait_for_status(ends_meanwhile.job, Status.COMPLETED).result == {"attempt": 1}
    wait_for_status(stage.submit(make_job_type()), Status.COMPLETED)
    # Nobody could tell it whether its job was still its own.
    goes_on.wait_for("stopped", attempt=1)
    goes_on.let_go()
    wait_for_status(goes_on.job, Status.COMPLETED)
    assert set(Job.objects.filter(job_type=kind).values_list("attempt", "retry_count")) == {(1, 0), (2, 0)}
    assert "event=child_ended" not in worker.log()


@pytest.mark.parametrize("command", ["jobs_worker", "jobs_scheduler"])
def test_sigterm_is_an_orderly_end_for_who_waits_for_the_database(
    processes: ProcessPool, tmp_path: Path, command: str
) -> None:
    nowhere = f"sqlite:///{tmp_path}/nowhere/db.sqlite3"
    waiting = processes.start(command, environ={"DATABASE_URL": nowhere})
    waiting.wait_for_log("(OperationalError: ")
    assert waiting.stop() == 0
    assert "Traceback" not in waiting.log()
