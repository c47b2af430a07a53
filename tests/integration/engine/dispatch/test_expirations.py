"""Jobs that must start by a certain time: no attempt begins after it, and whoever finds them late ends them."""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from django_jobs import get_job_history, get_job_status, retry_job, submit_job
from django_jobs.engine.dispatch import backlog
from django_jobs.models import Job, JobType, Organization
from django_jobs.statuses import WAITING
from django_jobs.testing import make_context, run_jobs
from tests.support import verbs
from tests.support.admin import fact_on, page_of
from tests.support.brokers import WORKER, MemoryBroker, end, job_in, queue_up, reread, returned, ticket_of
from tests.support.families import Submitter, statuses
from tests.support.tuning import Tuning
from tests.support.verbs import Scheduler, outcomes

pytestmark = pytest.mark.usefixtures("broker")

MINUTE = dt.timedelta(minutes=1)


def expiring(job: Job, after: dt.timedelta = -MINUTE) -> Job:
    """The job as one that expires so long from now."""
    Job.objects.filter(pk=job.pk).update(expires_at=verbs.now() + after)
    return reread(job)


def assert_expired(job: Job) -> None:
    row = reread(job)
    assert (row.status, row.canceled_by, row.error_message != "") == ("Canceled", "system", True)
    assert row.canceled_at is not None
    assert row.expires_at is not None
    assert row.canceled_at >= row.expires_at
    assert (row.ready_at, row.next_retry_at, row.error_type) == (None, None, "")
    assert get_job_history(job)[-1]["message"] == row.error_message


def test_an_expired_job_is_not_claimed() -> None:
    job = expiring(job_in("Queued"))
    assert verbs.claim([ticket_of(job)], WORKER) == []
    assert_expired(job)
    assert reread(job).attempt == 0


@pytest.mark.parametrize("status", ["Failed", "Timed Out"])
def test_a_retry_of_an_expired_job_is_not_claimed(status: str) -> None:
    job = expiring(queue_up(job_in(status)))
    assert verbs.claim([ticket_of(job)], WORKER) == []
    assert_expired(job)
    assert reread(job).attempt == 1


def test_an_expired_job_does_not_keep_like_jobs_from_running(kind: JobType, organization: Organization) -> None:
    jobs = [queue_up(submit_job(kind, organization)) for _ in range(3)]
    expiring(jobs[0])
    expiring(jobs[1], MINUTE)
    assert [item.pk for item in verbs.claim([ticket_of(job) for job in jobs], WORKER)] == [jobs[1].pk, jobs[2].pk]
    assert statuses(*jobs) == ["Canceled", "Running", "Running"]


def test_an_attempt_that_waited_behind_another_until_too_late_does_not_begin() -> None:
    job = expiring(job_in("Queued"), dt.timedelta(seconds=30))
    (claimed,) = verbs.claim([ticket_of(job)], WORKER)
    assert claimed.row.starts_before is not None
    assert 0 < claimed.row.starts_before - time.monotonic() <= 30
    claimed.row = claimed.row._replace(starts_before=time.monotonic())
    claimed.handler = pytest.fail
    ended = verbs.attempt(claimed, make_context())
    assert isinstance(ended, outcomes.Interrupted)
    verbs.settle([ended], WORKER)
    assert statuses(job) == ["Queued"]
    assert verbs.claim([ticket_of(expiring(job))], WORKER) == []
    assert_expired(job)


def test_an_attempt_that_began_in_time_may_end_late() -> None:
    job = expiring(job_in("Queued"), MINUTE)
    (claimed,) = verbs.claim([ticket_of(job)], WORKER)
    expiring(job)
    verbs.expire_jobs()
    assert end(returned(claimed)).status == "Completed"


@pytest.mark.parametrize("status", sorted(WAITING))
def test_the_scheduler_ends_what_waits_and_has_expired(status: str, broker: MemoryBroker) -> None:
    broker.is_down = True
    job = expiring(job_in(status))
    assert Scheduler("test").tick()["expire"] == 1
    assert_expired(job)
    assert get_job_history(job)[-1]["actor_kind"] == "scheduler"


@pytest.mark.parametrize("status", ["Running", "Completed", "Canceled", "Dead Letter"])
def test_what_does_not_wait_does_not_expire(status: str) -> None:
    job = expiring(job_in(status))
    assert verbs.expire_jobs() == 0
    assert statuses(job) == [status]


def test_what_has_no_such_moment_or_a_later_one_waits_on() -> None:
    job_in("Pending")
    expiring(job_in("Pending"), MINUTE)
    assert verbs.expire_jobs() == 0


def test_a_job_expires_while_it_waits_for_its_moment_and_for_others(submit: Submitter) -> None:
    later, parent = expiring(submit(run_at=verbs.now() + MINUTE)), submit()
    child = expiring(submit(parent))
    verbs.follow_up()
    assert get_job_status(child).waiting_for == "dependency"
    assert verbs.expire_jobs() == 2
    assert_expired(later)
    assert_expired(child)


def test_children_of_an_expired_job_are_canceled_with_it(submit: Submitter) -> None:
    job = submit()
    child = submit(job)
    verbs.follow_up()
    expiring(job)
    verbs.expire_jobs()
    verbs.follow_up()
    assert statuses(job, child) == ["Canceled"] * 2
    assert job.name in get_job_history(child)[-1]["message"]


def test_many_end_in_bounded_sets_within_one_call(kind: JobType, organization: Organization, tuning: Tuning) -> None:
    tuning.set(expired_jobs_at_once=3)
    for _ in range(8):
        expiring(submit_job(kind, organization))
    assert verbs.expire_jobs() == 8


def test_a_call_that_has_no_more_time_leaves_the_rest(
    kind: JobType, organization: Organization, tuning: Tuning
) -> None:
    tuning.set(expired_jobs_at_once=3, expirations_seconds=0.0)
    for _ in range(8):
        expiring(submit_job(kind, organization))
    assert verbs.expire_jobs() == 3


def test_a_job_whose_moment_was_taken_away_meanwhile_goes_on() -> None:
    job = job_in("Failed")
    assert backlog._end([job.pk]) == 0
    assert statuses(job) == ["Failed"]


@pytest.mark.parametrize("status", ["Failed", "Dead Letter"])
def test_who_retries_a_job_by_hand_wants_it_however_late(status: str) -> None:
    job = expiring(job_in(status))
    retry_job(job)
    assert reread(job).expires_at is None
    assert verbs.expire_jobs() == 0


def test_an_expired_job_is_logged_as_canceled_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    expiring(job_in("Pending"))
    with caplog.at_level(logging.DEBUG, "django_jobs"):
        verbs.expire_jobs()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_jobs_expire_in_a_hosts_tests_too(kind: JobType, organization: Organization) -> None:
    due = expiring(submit_job(kind, organization))
    later = expiring(submit_job(kind, organization, run_at=verbs.now() + MINUTE))
    run_jobs()
    assert_expired(due)
    assert_expired(later)


def plan_of_the_search() -> str:
    rows: Any = verbs.store().overdue_rows().values_list("pk", flat=True)[: verbs.EXPIRED_AT_ONCE]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:  # a small table is scanned, whatever there is
            cursor.execute("SET LOCAL enable_seqscan = off")
    return str(rows.explain())


def test_what_has_expired_is_found_by_the_index_of_those_that_wait() -> None:
    for _ in range(3):
        expiring(job_in("Completed"))
    expiring(job_in("Pending"))
    assert "djobs_expiring" in plan_of_the_search()
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM django_jobs_job WHERE expiring_at IS NOT NULL")
            assert cursor.fetchone()[0] == 1


def test_the_jobs_page_tells_when_it_expires(root: Client) -> None:
    job = expiring(job_in("Pending"), MINUTE)
    assert fact_on(page_of(root, job), "expires")
    assert not fact_on(page_of(root, job_in("Pending")), "expires")
