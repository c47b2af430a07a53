"""What became of the jobs that an operation acted on, trying one first, and stopping when too many fail."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from unittest.mock import Mock

import pytest
from django.contrib.auth.models import User
from django.db import DataError

from django_jobs import cancel_job, retry_job
from django_jobs.models import Job, JobType, Operation
from django_jobs.statuses import Status
from tests.support import verbs
from tests.support.brokers import end, raised, reread, returned, start
from tests.support.factories import make_job_type
from tests.support.operations import begin, dead, finish, later, work_off
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose, OutcomeCounts

pytestmark = pytest.mark.usefixtures("broker")


def complete(job: Job) -> None:
    end(returned(start(reread(job))))


def fail(job: Job) -> None:
    end(raised(start(reread(job)), "Permanent"))


def counted(operation: Operation) -> Operation:
    row = Operation.objects.get(pk=operation.pk)
    verbs.count_outcomes(row)
    return Operation.objects.get(pk=operation.pk)


def test_it_is_told_how_many_completed_and_how_many_died_again(kind: JobType, system_admin: User) -> None:
    jobs = dead(kind, 3)
    operation = finish(begin(jobs[0], system_admin))
    complete(jobs[0])
    fail(jobs[1])
    row = counted(operation)
    assert (row.outcome, row.is_settled) == ({"Completed": 1, "Dead Letter": 1, "Pending": 1}, False)


def test_the_outcome_stands_once_all_have_ended(kind: JobType, system_admin: User) -> None:
    (job,) = dead(kind, 1)
    operation = finish(begin(job, system_admin))
    complete(job)
    assert counted(operation).is_settled
    Job.objects.all().delete()
    work_off()
    assert Operation.objects.get().outcome == {"Completed": 1}


def test_what_a_person_retries_again_counts_no_longer(kind: JobType, system_admin: User) -> None:
    jobs = dead(kind, 2)
    operation = finish(begin(jobs[0], system_admin))
    fail(jobs[0])
    retry_job(reread(jobs[0]))
    assert counted(operation).outcome == {"Pending": 1}


def test_of_two_operations_on_the_same_jobs_the_later_one_has_them(kind: JobType, system_admin: User) -> None:
    (job,) = dead(kind, 1)
    first = finish(begin(job, system_admin))
    fail(job)
    second = finish(begin(reread(job), system_admin))
    assert (counted(first).outcome, counted(second).outcome) == ({}, {"Pending": 1})


def test_one_is_tried_first_and_the_others_follow_when_it_completed(kind: JobType, system_admin: User) -> None:
    jobs = dead(kind, 3)
    operation = begin(jobs[0], system_admin, try_first=True)
    work_off()
    later(operation, 60)
    work_off()
    assert [reread(job).status for job in jobs] == [Status.PENDING, Status.DEAD_LETTER, Status.DEAD_LETTER]
    complete(jobs[0])
    assert finish(operation).changed == 3


@pytest.mark.parametrize(("spoil", "status"), [(fail, "Dead Letter"), (lambda job: cancel_job(job.name), "Canceled")])
def test_one_that_fails_again_pauses_the_operation_which_says_why(
    kind: JobType, system_admin: User, spoil: Callable[[Job], object], status: str
) -> None:
    jobs = dead(kind, 2)
    operation = begin(jobs[0], system_admin, try_first=True)
    work_off()
    spoil(jobs[0])
    later(operation, 60)
    work_off()
    row = Operation.objects.get()
    assert (row.state, row.reason) == ("paused", "first_failed")
    assert row.note.startswith(f"{jobs[0].name}: {status}.")
    assert verbs.resume_operation(row)
    assert finish(row).changed == 2


def test_it_stops_by_itself_when_too_many_fail(kind: JobType, system_admin: User) -> None:
    jobs = dead(kind, 70)
    operation = begin(jobs[0], system_admin, rate=None, stop_above=0.2)
    work_off()
    assert Operation.objects.get().changed == verbs.OUTCOMES_UNDER_WAY
    for job in jobs[:7]:
        complete(job)
    for job in jobs[7:10]:
        fail(job)
    work_off()
    row = Operation.objects.get(pk=operation.pk)
    assert (row.state, row.reason, row.note) == ("stopped", "too_many_failed", "3 / 10")


def test_it_goes_on_while_few_enough_fail(kind: JobType, system_admin: User) -> None:
    jobs = dead(kind, 60)
    operation = begin(jobs[0], system_admin, rate=None, stop_above=0.5)
    work_off()
    for job in jobs[:10]:
        complete(job)
    work_off()
    row = Operation.objects.get(pk=operation.pk)
    assert (row.state, row.changed) == ("done", 60)


def test_a_count_that_takes_long_is_made_less_often(kind: JobType, system_admin: User, tuning: Tuning) -> None:
    begin(dead(kind, 1)[0], system_admin)
    tuning.set(operation_rest_factor=1e9)
    counts = OutcomeCounts()
    assert counts.count_due() == 1
    Operation.objects.update(counted_at=None)
    assert counts.count_due() == 0


def test_a_count_that_fails_holds_up_no_other(
    kind: JobType, system_admin: User, interpose: Interpose, tuning: Tuning
) -> None:
    begin(dead(kind, 1)[0], system_admin)
    other = begin(dead(make_job_type(), 1)[0], system_admin)
    tuning.set(operation_rest_factor=1e9)
    interpose("read_outcome_counts", Mock(side_effect=[DataError, {}]))
    counts = OutcomeCounts()
    with pytest.raises(DataError):
        counts.count_due()
    counts.count_due()
    other.refresh_from_db()
    assert other.counted_at is not None


@pytest.mark.parametrize(("hours", "counted"), [(0, 1), (2, 0)])
def test_a_paused_one_that_nobody_touched_for_long_is_counted_seldom(
    hours: int, counted: int, kind: JobType, system_admin: User
) -> None:
    operation = begin(dead(kind, 1)[0], system_admin)
    verbs.pause_operation(operation)
    now = verbs.now()
    Operation.objects.update(released_until=now - dt.timedelta(hours=hours), counted_at=now - dt.timedelta(seconds=10))
    assert OutcomeCounts().count_due() == counted


def test_between_two_counts_what_was_taken_up_meanwhile_is_under_way(
    kind: JobType, system_admin: User, interpose: Interpose
) -> None:
    operation = begin(dead(kind, 1)[0], system_admin, stop_above=0.5)
    reads = Mock(return_value={"Pending": 10})
    interpose("read_outcome_counts", reads)
    counts = OutcomeCounts()
    assert counts.allowed(operation) == verbs.OUTCOMES_UNDER_WAY - 10
    operation.changed += 30
    assert counts.allowed(operation) == verbs.OUTCOMES_UNDER_WAY - 40
    assert reads.call_count == 1


def test_one_that_has_just_ended_is_counted_at_once(kind: JobType, system_admin: User) -> None:
    operation = begin(dead(kind, 3)[0], system_admin, rate=None)
    work_off()
    Operation.objects.filter(pk=operation.pk).update(outcome={"Pending": 1}, counted_at=verbs.now(), is_settled=False)
    Operation.objects.filter(pk=operation.pk).update(ended_at=verbs.now())
    assert OutcomeCounts().count_due() == 1
    operation.refresh_from_db()
    assert operation.outcome == {"Pending": 3}
    assert OutcomeCounts().count_due() == 0
