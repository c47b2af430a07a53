"""What each action of operations does to the jobs that it fits, and what their Execution Logs say of it."""

from __future__ import annotations

import datetime as dt
from typing import Final

import pytest
from django.contrib.auth.models import User

from django_jobs import submit_job
from django_jobs.models import ExecutionLog, Job, JobType, Operation, TypeActivity
from django_jobs.statuses import Priority, Status
from tests.support import verbs
from tests.support.brokers import MemoryBroker, end, job_in, pending_job, raised, reread, start
from tests.support.factories import make_job_type
from tests.support.operations import finish
from tests.support.operations import start as start_on
from tests.support.verbs import JobFilter

LATER: Final = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def kind() -> JobType:
    return make_job_type(type_name="mails")


@pytest.fixture(autouse=True)
def _broker(broker: MemoryBroker) -> None:
    """A broker in memory."""


def do(action: str, system_admin: User, value: str | None = None) -> Operation:
    return finish(start_on(JobFilter(job_type=("mails",)), system_admin, action, value=value))


def told(job: Job, operation: Operation) -> list[tuple[str, str, bool]]:
    """What happened to the job since its submission, and whether the log names the operation."""
    rows = ExecutionLog.objects.filter(job=job).order_by("pk")[1:]
    return [(row.from_status, row.to_status, row.message.endswith(f" {operation.pk}")) for row in rows]


def test_what_waits_is_canceled_and_what_runs_is_asked_to_stop(kind: JobType, system_admin: User) -> None:
    waiting, running = pending_job(job_type=kind), job_in(Status.RUNNING, job_type=kind)
    operation = do("cancel", system_admin)
    assert (operation.changed, operation.asked) == (2, 1)
    assert reread(waiting).status == Status.CANCELED
    assert reread(running).cancel_requested_at is not None
    assert told(waiting, operation) == [("Pending", "Canceled", True)]


def test_a_job_that_was_asked_already_is_not_asked_again(kind: JobType, system_admin: User) -> None:
    job_in(Status.RUNNING, job_type=kind)
    waiting = pending_job(job_type=kind)
    do("cancel", system_admin)
    pending_job(job_type=kind)
    assert do("cancel", system_admin).total == 1
    assert reread(waiting).status == Status.CANCELED


def test_a_waiting_job_gets_another_priority_and_its_log_says_so(kind: JobType, system_admin: User) -> None:
    job = pending_job(job_type=kind)
    operation = do("set_priority", system_admin, "High")
    assert reread(job).priority == Priority.HIGH
    assert told(job, operation) == [("Pending", "Pending", True)]
    assert "High" in ExecutionLog.objects.filter(job=job).latest("pk").message


def test_a_queued_job_goes_back_and_gets_a_ticket_of_its_new_priority(
    kind: JobType, system_admin: User, broker: MemoryBroker
) -> None:
    job = job_in(Status.QUEUED, job_type=kind)
    do("set_priority", system_admin, "Critical")
    assert (reread(job).status, reread(job).queued_at) == (Status.PENDING, None)
    assert reread(job).priority == Priority.CRITICAL
    verbs.dispatch()
    assert reread(job).status == Status.QUEUED


def test_jobs_that_have_the_priority_are_left_out(kind: JobType, system_admin: User) -> None:
    pending_job(job_type=kind, priority="High")
    pending_job(job_type=kind)
    assert do("set_priority", system_admin, "High").total == 1


def test_a_job_that_waits_for_a_moment_becomes_due(kind: JobType, system_admin: User) -> None:
    job = pending_job(job_type=kind, run_at=LATER)
    operation = do("run_now", system_admin)
    fresh = reread(job)
    assert fresh.ready_at is not None
    assert fresh.ready_at < LATER
    assert not fresh.is_delayed
    assert told(job, operation) == [("Pending", "Pending", True)]


def test_a_job_that_waits_for_another_one_as_well_goes_on_waiting_for_that(kind: JobType, system_admin: User) -> None:
    parent = job_in(Status.RUNNING)
    child = submit_job(kind, parent.organization, depends_on=[parent], run_at=LATER)
    assert do("run_now", system_admin).changed == 1
    assert reread(child).ready_at is None
    assert reread(child).run_at != LATER


def test_a_job_that_waits_for_its_retry_becomes_due_and_keeps_its_retries(kind: JobType, system_admin: User) -> None:
    job = end(raised(start(pending_job(job_type=kind)), "Transient"))
    do("run_now", system_admin)
    fresh = reread(job)
    assert (fresh.status, fresh.retry_count, fresh.is_delayed) == (Status.FAILED, 1, False)
    verbs.dispatch()
    assert reread(job).status == Status.QUEUED


def test_what_did_not_change_its_status_counts_as_no_failure(kind: JobType, system_admin: User) -> None:
    end(raised(start(pending_job(job_type=kind)), "Transient"))
    do("run_now", system_admin)
    verbs.catch_up_rollups()
    verbs.catch_up_rollups()
    rows = TypeActivity.objects.filter(job_type=kind.pk)
    assert max(rows.values_list("failed", flat=True), default=0) <= 1
