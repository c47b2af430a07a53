"""Attempts that are cut off from the database, or from whoever renews their leases."""

from __future__ import annotations

import datetime as dt

import psutil
import pytest

from django_jobs.models import EngineLease, Job
from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, Stage, freeze, messages_of, wait_for_status
from tests.support import verbs
from tests.support.databases import DistantDatabase
from tests.support.factories import make_job_type
from tests.support.verbs import ATTEMPT_LOST
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

LEASE = {"LEASE_SECONDS": 2}
#: How much of a lease of ten seconds is left when the line is mended: time in which a busy machine renews it.
LEFT = dt.timedelta(seconds=6)


@pytest.mark.parametrize(
    ("handler", "options"),
    [
        ("record_and_wait", ["--processes", "1"]),
        ("record_and_wait", ["--processes", "1", "--threads", "2"]),
        ("record_and_wait_async", ["--processes", "1"]),
        ("record_and_wait_async", ["--processes", "1", "--threads", "2"]),
    ],
    ids=["main thread", "threads", "coroutine", "coroutine in a thread"],
)
def test_an_attempt_that_is_cut_off_from_the_database_is_told_when_its_lease_is_over(
    processes: ProcessPool, stage: Stage, distant: DistantDatabase, handler: str, options: list[str]
) -> None:
    recorded = stage.submit_recorded(make_job_type(handler))
    worker = processes.worker(*options, settings=LEASE, environ={"DATABASE_URL": distant.url})
    recorded.wait_for("start", attempt=1)

    distant.silence()
    recorded.wait_for("stopped", attempt=1)
    assert wait_for_status(recorded.job, Status.RUNNING).attempt == 1
    distant.mend()

    recorded.let_go()
    status = wait_for_status(recorded.job, Status.COMPLETED)
    assert (status.attempt, status.retry_count) == (2, 0)
    assert recorded.lines() == [("start", 1), ("stopped", 1), ("start", 2), ("end", 2)]
    assert messages_of(recorded.job, Status.QUEUED)[-1] == ATTEMPT_LOST
    assert "event=lease_over" in worker.log()


def test_an_attempt_that_is_cut_off_for_less_than_its_lease_goes_on(
    processes: ProcessPool, stage: Stage, distant: DistantDatabase
) -> None:
    recorded = stage.submit_recorded(make_job_type("record_and_wait"))
    worker = processes.worker(settings={"LEASE_SECONDS": 10}, environ={"DATABASE_URL": distant.url})
    recorded.wait_for("start", attempt=1)
    rows = Job.objects.filter(pk=recorded.job.pk)
    distant.silence()
    before = rows.values_list("lease_expires_at", flat=True).get()
    assert before
    wait_until(lambda: verbs.now() > before - LEFT, PATIENCE, "two renewals to fail")
    distant.mend()
    wait_until(lambda: rows.exclude(lease_expires_at=before).exists(), PATIENCE, "the lease to be renewed")

    recorded.let_go()
    assert wait_for_status(recorded.job, Status.COMPLETED).attempt == 1
    assert "event=lease_over" not in worker.log()


def test_an_orphan_that_is_cut_off_from_the_database_is_told_too(
    processes: ProcessPool, stage: Stage, distant: DistantDatabase
) -> None:
    recorded = stage.submit_recorded(make_job_type("record_and_wait"))
    worker = processes.worker(settings=LEASE, environ={"DATABASE_URL": distant.url})
    recorded.wait_for("start", attempt=1)
    worker.popen.kill()
    worker.wait(PATIENCE)
    wait_until(lambda: "event=supervisor_gone" in worker.log(), PATIENCE, "the child to notice")

    distant.silence()
    recorded.wait_for("stopped", attempt=1)


def test_an_attempt_whose_supervisor_is_frozen_is_told_when_its_lease_is_over(
    processes: ProcessPool, stage: Stage
) -> None:
    recorded = stage.submit_recorded(make_job_type("record_and_wait"))
    frozen = processes.worker(settings=LEASE)
    recorded.wait_for("start", attempt=1)
    freeze(psutil.Process(frozen.pid))
    recorded.wait_for("stopped", attempt=1)

    EngineLease.objects.filter(pk="scheduler").update(expires_at=verbs.now())  # it lasts for ten seconds
    processes.worker(settings=LEASE)
    recorded.let_go()
    status = wait_for_status(recorded.job, Status.COMPLETED)
    assert (status.attempt, status.retry_count) == (2, 0)
