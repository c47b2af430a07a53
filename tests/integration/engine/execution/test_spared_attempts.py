"""Attempts that fail while the breaker of their type is open: what they cost, and when their jobs are tried again."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs import get_job_history
from django_jobs.models import ExecutionLog, Job, JobType
from django_jobs.statuses import BreakerState, LogReason, Priority
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.breakers import (
    FAILURES,
    PAUSE,
    attempts,
    breaker_of,
    claim_try,
    let_pass,
    make_fragile_type,
    open_by_failures,
)
from tests.support.brokers import WORKER, end, pending_job, raised, returned

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def fragile() -> JobType:
    return make_fragile_type()


def test_what_failed_behind_the_opening_pays_nothing(fragile: JobType) -> None:
    claimed = attempts(fragile, FAILURES + 2)
    assert verbs.settle([raised(item) for item in claimed], WORKER) == []
    jobs = Job.objects.order_by("pk")
    assert [(job.status, job.retry_count) for job in jobs] == [("Failed", 1)] * FAILURES + [("Pending", 0)] * 2


def test_a_job_that_is_spared_is_ready_and_tells_its_error(fragile: JobType, reasons: Reasons) -> None:
    (claimed,) = attempts(fragile, 1)
    open_by_failures(fragile)
    job = end(raised(claimed, text="it failed, too", traceback="its lines"))
    assert (job.status, job.retry_count, job.next_retry_at, job.error_message) == ("Pending", 0, None, "it failed, too")
    assert job.ready_at
    assert job.ready_at <= verbs.now()
    assert (job.lease_expires_at, job.worker_name, job.is_delayed) == (None, "", False)
    last = get_job_history(job)[-1]
    assert (reasons(job), "it failed, too" in last["message"]) == (["spared"], True)


def test_a_job_without_a_retry_left_is_spared(fragile: JobType) -> None:
    (claimed,) = attempts(fragile, 1)
    Job.objects.update(max_retries=0)
    open_by_failures(fragile)
    assert end(raised(claimed)).status == "Pending"


def test_a_requested_cancel_is_not_spared(fragile: JobType) -> None:
    (claimed,) = attempts(fragile, 1)
    open_by_failures(fragile)
    Job.objects.filter(pk=claimed.pk).update(cancel_requested_at=verbs.now())
    assert end(raised(claimed)).status == "Canceled"


def test_a_try_that_fails_pays_nothing_and_leaves_it_open(fragile: JobType) -> None:
    open_by_failures(fragile)
    pending_job(fragile)
    claimed = claim_try(fragile)
    before = breaker_of(fragile)
    job = end(raised(claimed, text="another error"))
    assert (job.status, job.retry_count) == ("Pending", 0)
    row = breaker_of(fragile)
    assert (row.state, row.opened_at, row.next_try_at) == (BreakerState.OPEN, before.opened_at, before.next_try_at)


def test_failures_while_it_recovers_open_it_again_and_pay_nothing(fragile: JobType) -> None:
    open_by_failures(fragile)
    pending_job(fragile)
    end(returned(claim_try(fragile)))
    let_pass(fragile, 2)
    rows = [end(raised(claimed)) for claimed in attempts(fragile, FAILURES)]
    assert [(job.status, job.retry_count) for job in rows] == [("Pending", 0)] * FAILURES
    assert breaker_of(fragile).state == BreakerState.OPEN


def test_after_the_recovery_failures_pay_again(fragile: JobType) -> None:
    open_by_failures(fragile)
    pending_job(fragile)
    end(returned(claim_try(fragile)))
    let_pass(fragile, verbs.BREAKER_RECOVERY_SECONDS)
    assert end(raised(attempts(fragile, 1)[0])).status == "Failed"
    assert breaker_of(fragile).state == BreakerState.CLOSED


def delay_after(kind: JobType) -> float:
    """For how many seconds the next job that tries has to wait after it failed."""
    job = end(raised(claim_try(kind)))
    assert (job.status, job.priority) == ("Pending", Priority.CRITICAL)
    assert job.ready_at
    delay = (job.ready_at - verbs.now()).total_seconds()
    Job.objects.filter(pk=job.pk).update(ready_at=job.created_at, is_delayed=False)
    return round(delay / PAUSE, 1)


def test_a_job_that_always_fails_lets_ever_more_others_try(fragile: JobType) -> None:
    open_by_failures(fragile)
    pending_job(fragile, priority="Critical")
    assert [delay_after(fragile), delay_after(fragile)] == [0.0, 0.0]  # alone
    pending_job(fragile)
    assert [delay_after(fragile), delay_after(fragile)] == [6.0, 12.0]


def test_a_job_with_a_head_start_lets_others_go_first_though_it_was_no_try(fragile: JobType) -> None:
    ahead, plain = attempts(fragile, 2)
    Job.objects.filter(pk=ahead.pk).update(head_start=49)
    open_by_failures(fragile)
    pending_job(fragile)
    jobs = [end(raised(claimed)) for claimed in (ahead, plain)]
    assert [(job.status, job.is_delayed) for job in jobs] == [("Pending", True), ("Pending", False)]
    assert jobs[0].ready_at
    assert jobs[0].ready_at > verbs.now()


def test_a_job_is_spared_for_a_day_and_then_pays_and_is_spared_again(fragile: JobType) -> None:
    open_by_failures(fragile)
    job = pending_job(fragile)
    for payment in (1, 2):
        spared = end(raised(claim_try(fragile)))
        assert (spared.status, spared.retry_count) == ("Pending", payment - 1)
        logs = ExecutionLog.objects.filter(job_id=job.pk, reason=LogReason.SPARED)
        logs.update(timestamp=verbs.now() - verbs.SPARED_FOR - dt.timedelta(seconds=1))
        failed = end(raised(claim_try(fragile)))
        assert (failed.status, failed.retry_count) == ("Failed", payment)
        Job.objects.filter(pk=job.pk).update(ready_at=failed.created_at, is_delayed=False)
    assert end(raised(claim_try(fragile))).status == "Pending"
