"""What is asked of a job while it waits or runs: to be canceled, to be retried, and by its handler to run later."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from django_jobs import cancel_job, get_job_history, get_job_status, retry_job
from django_jobs.exceptions import JobNotFound
from django_jobs.models import Job, JobType
from tests.support import verbs
from tests.support.brokers import (
    WORKER,
    MemoryBroker,
    end,
    job_in,
    pending_job,
    raised,
    reread,
    returned,
    running_job,
    start,
    ticket_of,
)
from tests.support.factories import make_job_type
from tests.support.midflight import come_due, postponed, try_to_run
from tests.support.verbs import Interpose, outcomes

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def kind() -> JobType:
    return make_job_type(retry_delay=0)


# -- what people do to it -----------------------------------------------------------------------------------------


def test_a_cancel_while_a_job_asked_to_run_later_is_at_once_and_for_good(kind: JobType) -> None:
    job = postponed(pending_job(kind))
    cancel_job(job)
    row = try_to_run(job)
    assert (row.status, row.ready_at, row.attempt) == ("Canceled", None, 1)


def test_a_cancel_while_a_retry_is_waited_for_takes_the_retry_away() -> None:
    job = cancel_job(job_in("Failed"))
    assert (try_to_run(job).status, job.next_retry_at, job.error_message) == ("Canceled", None, "it failed")


def test_a_cancel_of_a_due_retry_that_has_its_ticket_makes_the_ticket_void(kind: JobType) -> None:
    job = job_in("Failed", job_type=kind)
    verbs.dispatch()
    cancel_job(job)
    assert verbs.claim([ticket_of(job)], WORKER) == []
    assert reread(job).status == "Canceled"


def test_a_cancel_that_comes_after_the_end_is_refused_or_already_true(kind: JobType) -> None:
    job, claimed = running_job(job_type=kind)
    cancel_job(job)
    end(outcomes.Canceled(claimed=claimed))
    assert cancel_job(job).status == "Canceled"
    assert len([row for row in get_job_history(job) if row["to_status"] == "Canceled"]) == 1


def test_a_job_that_is_deleted_while_it_is_canceled_is_told_as_not_there(kind: JobType, interpose: Interpose) -> None:
    job = pending_job(kind)

    members = verbs.act_members

    def deleted_before(*args: Any) -> Any:
        Job.objects.filter(pk=job.pk).delete()
        return members(*args)

    interpose("act_members", deleted_before)
    with pytest.raises(JobNotFound, match=job.name):
        cancel_job(job)


def test_a_new_life_remembers_no_cancel() -> None:
    job = job_in("Running", job_type=make_job_type(max_retries=0))
    Job.objects.filter(pk=job.pk).update(cancel_requested_at=verbs.now(), canceled_by="somebody")
    end(returned(start(retry_job(job_in("Dead Letter")))))
    revived = retry_job(job_in("Dead Letter"))
    assert (revived.cancel_requested_at, revived.canceled_by) == (None, "")


def test_a_retry_by_hand_does_not_wait_for_the_back_off(broker: MemoryBroker) -> None:
    job = job_in("Failed")
    assert verbs.dispatch() == 0
    row = retry_job(job)
    assert (row.next_retry_at, row.retry_count, row.attempt) == (None, 0, 1)
    assert (try_to_run(job).status, reread(job).attempt) == ("Running", 2)


def test_a_retry_by_hand_has_all_its_retries_again() -> None:
    kind = make_job_type(max_retries=1, retry_delay=0)
    job = end(raised(start(end(raised(start(pending_job(kind)))))))
    assert (job.status, job.retry_count) == ("Dead Letter", 1)
    again = end(raised(start(retry_job(job))))
    assert (again.status, again.retry_count, again.attempt) == ("Failed", 1, 3)


# -- RetryLater ---------------------------------------------------------------------------------------------------


def test_a_job_that_asks_to_run_later_waits_for_that_moment_and_says_so(kind: JobType) -> None:
    job = postponed(pending_job(kind))
    status = get_job_status(job)
    assert (status.status, status.waiting_for, status.error_message) == ("Pending", "run_at", "")
    assert status.run_at
    assert abs(status.run_at - verbs.now() - dt.timedelta(seconds=60)) < dt.timedelta(seconds=10)
    assert get_job_history(job)[-1]["message"] == "the office is closed"
    assert try_to_run(job).status == "Pending"
    come_due(job)
    assert (try_to_run(job).status, reread(job).attempt, reread(job).retry_count) == ("Running", 2, 0)


def test_a_job_may_ask_to_run_later_more_often_than_it_has_retries() -> None:
    job = pending_job(make_job_type(max_retries=1))
    for _ in range(5):
        job = postponed(job, delay=0.0)
    assert (job.status, job.attempt, job.retry_count) == ("Pending", 5, 0)


def test_asking_to_run_later_keeps_the_retries_that_were_spent(kind: JobType) -> None:
    job = postponed(end(raised(start(pending_job(kind)))))
    assert (job.retry_count, job.error_message) == (1, "it failed")
