"""Settling what no handler ended: attempts that are lost, killed or requeued."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs import cancel_job
from django_jobs.models import ExecutionLog
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.brokers import WORKER, end, raised, reread, returned, running_job, start
from tests.support.factories import make_job_type

pytestmark = pytest.mark.usefixtures("broker")


def test_the_end_of_a_lost_attempt_is_refused() -> None:
    job, claimed = running_job()
    verbs.settle_lost([(job.pk, claimed.attempt)], "lost", WORKER)
    second = start(reread(job), "worker-2")
    assert verbs.settle([returned(claimed, {"stale": True})], WORKER) == []
    assert verbs.settle([raised(claimed)], WORKER) == []
    row = reread(job)
    assert (row.status, row.attempt, row.result) == ("Running", second.attempt, None)


def test_a_job_whose_worker_died_runs_again_at_once_the_first_time() -> None:
    job, claimed = running_job()
    verbs.settle_lost([(job.pk, claimed.attempt)], "killed", WORKER)
    row = reread(job)
    assert (row.status, row.error_type, row.retry_count) == ("Failed", "Transient", 1)
    assert row.ready_at
    assert row.ready_at <= verbs.now()


def test_after_the_second_loss_the_back_off_decides() -> None:
    job, claimed = running_job()
    verbs.settle_lost([(job.pk, claimed.attempt)], "lost", WORKER)
    second = start(reread(job))
    verbs.settle_lost([(job.pk, second.attempt)], "lost", WORKER)
    row = reread(job)
    assert row.ready_at
    assert row.ready_at > verbs.now() + dt.timedelta(seconds=60)


def test_a_first_loss_after_other_failures_runs_again_at_once_too(reasons: Reasons) -> None:
    job, claimed = running_job()
    end(raised(claimed, text="the provider is away"))
    second = start(reread(job))
    verbs.settle_lost([(job.pk, second.attempt)], "killed", WORKER)
    row = reread(job)
    assert (row.status, row.retry_count, reasons(job)) == ("Failed", 2, ["worker_lost"])
    assert "killed" in row.error_message
    assert row.ready_at
    assert row.ready_at <= verbs.now()


def test_a_job_that_kills_its_workers_ends_as_a_dead_letter() -> None:
    job, claimed = running_job(job_type=make_job_type(max_retries=1))
    verbs.settle_lost([(job.pk, claimed.attempt)], "lost", WORKER)
    second = start(reread(job))
    verbs.settle_lost([(job.pk, second.attempt)], "lost", WORKER)
    assert reread(job).status == "Dead Letter"


def test_a_lost_job_whose_cancel_was_requested_is_canceled() -> None:
    job, claimed = running_job()
    cancel_job(job)
    verbs.settle_lost([(job.pk, claimed.attempt)], "lost", WORKER)
    assert reread(job).status == "Canceled"


def test_a_killed_overrun_is_timed_out(reasons: Reasons) -> None:
    job, claimed = running_job()
    verbs.settle_timed_out([(job.pk, claimed.attempt)], WORKER, tracebacks={(job.pk, 1): "its stacks"})
    assert (reread(job).status, reasons(job)) == ("Timed Out", ["timed_out_killed"])
    assert "300" in reread(job).error_message
    assert ExecutionLog.objects.filter(job=job).latest("id").traceback == "its stacks"


def test_a_job_that_is_requeued_pays_nothing() -> None:
    job, claimed = running_job()
    verbs.requeue([(job.pk, claimed.attempt)], "Requeued", WORKER)
    assert (reread(job).status, reread(job).retry_count) == ("Queued", 0)
