"""An operation acts on each job once and counts it once, however many schedulers work at it and whoever interferes."""

from __future__ import annotations

import datetime as dt
from functools import partial

import pytest
from django.db import connection

from django_jobs import retry_job
from django_jobs.exceptions import InvalidTransition
from django_jobs.models import ExecutionLog, Job, Operation
from django_jobs.statuses import Status
from tests.concurrency.crowd import is_small, run_crowd
from tests.concurrency.held import held
from tests.support import verbs
from tests.support.attempts import raising
from tests.support.brokers import job_in
from tests.support.factories import make_system_admin
from tests.support.job_copies import copies
from tests.support.operations import group_of, start
from tests.support.statements import before_statement
from tests.support.tuning import Tuning
from tests.support.verbs import OperationWork
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("broker")


def dead_group(count: int) -> list[Job]:
    first = job_in(Status.DEAD_LETTER)
    copies(first, count - 1)
    return list(Job.objects.order_by("pk"))


def begin(job: Job) -> Operation:
    return start(group_of(job), make_system_admin("root"))


def is_over(pk: int) -> bool:
    OperationWork().do_round()
    return Operation.objects.get(pk=pk).state == Operation.State.DONE


def work_until(work: OperationWork, operation: Operation, **expected: object) -> None:
    """Do rounds until the operation is as expected: whatever else was in the way of one is tried again in the next."""

    def is_so() -> bool:
        work.do_round()
        operation.refresh_from_db()
        return {name: getattr(operation, name) for name in expected} == expected

    wait_until(is_so, 30, f"the operation to be {expected}")


def lives() -> list[int]:
    """Which jobs came to life again, each as often as it did."""
    rows = ExecutionLog.objects.filter(from_status=Status.DEAD_LETTER, to_status=Status.PENDING)
    return sorted(rows.values_list("job_id", flat=True))


def test_several_schedulers_retry_each_job_once() -> None:
    jobs = dead_group(20 if is_small() else 120)
    operation = begin(jobs[0])
    run_crowd([lambda: wait_until(lambda: is_over(operation.pk), 60, "the end of the operation")] * 4)
    operation.refresh_from_db()
    assert lives() == [job.pk for job in jobs]
    assert (operation.changed, operation.refused) == (len(jobs), {})


def test_people_who_retry_the_same_jobs_are_counted_apart() -> None:
    jobs = dead_group(10 if is_small() else 60)
    operation = begin(jobs[0])
    by_hand: list[int] = []

    def interfere() -> None:
        for job in reversed(jobs):
            try:
                retry_job(job)
            except InvalidTransition:
                return
            by_hand.append(job.pk)

    run_crowd([lambda: wait_until(lambda: is_over(operation.pk), 60, "the end of the operation"), interfere])
    operation.refresh_from_db()
    assert lives() == [job.pk for job in jobs]
    assert operation.changed == len(jobs) - len(by_hand)
    assert operation.refusals == len(by_hand)


def test_two_operations_on_the_same_jobs_change_each_once() -> None:
    jobs = dead_group(10 if is_small() else 60)
    first, second = begin(jobs[0]), start(group_of(jobs[0]), None)
    run_crowd([partial(wait_until, partial(is_over, pk), 60, "the end") for pk in (first.pk, second.pk)])
    first.refresh_from_db()
    second.refresh_from_db()
    assert lives() == [job.pk for job in jobs]
    assert first.changed + second.changed == len(jobs)
    assert first.refusals + second.refusals == len(jobs)


def test_of_a_retry_and_a_deletion_each_job_meets_one_alone() -> None:
    jobs = dead_group(10 if is_small() else 60)
    root = make_system_admin("root")
    retry, delete = (start(group_of(jobs[0]), root, action) for action in ("retry", "delete"))
    run_crowd([partial(wait_until, partial(is_over, pk), 60, "the end") for pk in (retry.pk, delete.pk)])
    retry.refresh_from_db()
    delete.refresh_from_db()
    left = sorted(Job.objects.values_list("pk", flat=True))
    assert lives() == left
    assert (retry.changed, delete.changed) == (len(left), len(jobs) - len(left))
    assert retry.changed + delete.changed == len(jobs)


def test_a_scheduler_that_dies_in_the_midst_of_a_batch_leaves_nothing_half_done() -> None:
    jobs = dead_group(5)
    operation = begin(jobs[0])
    with before_statement("UPDATE", Operation, raising(SystemExit())), pytest.raises(SystemExit):
        OperationWork().do_round()
    assert lives() == []
    wait_until(lambda: is_over(operation.pk), 60, "the end")
    operation.refresh_from_db()
    assert (operation.changed, lives()) == (5, [job.pk for job in jobs])


@pytest.mark.skipif(connection.vendor == "sqlite", reason="has one lock for all rows")
def test_a_row_that_somebody_holds_is_taken_up_later(tuning: Tuning) -> None:
    tuning.set(operation_held_seconds=3_600.0)
    jobs = dead_group(3)
    operation = begin(jobs[0])
    work = OperationWork()
    with held(jobs[1], progress=1):
        work_until(work, operation, changed=2)
        assert (operation.state, operation.refused) == ("running", {})
    work_until(work, operation, state="done")
    assert (operation.changed, operation.refused) == (3, {})


@pytest.mark.skipif(connection.vendor == "sqlite", reason="has one lock for all rows")
def test_a_row_that_somebody_holds_is_taken_up_by_the_next_leader(tuning: Tuning) -> None:
    tuning.set(operation_held_seconds=3_600.0)
    jobs = dead_group(3)
    operation = begin(jobs[0])
    with held(jobs[1], progress=1):
        work_until(OperationWork(), operation, changed=2)
    work_until(OperationWork(), operation, state="done")
    assert (operation.changed, operation.refused, operation.total) == (3, {}, 3)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="has one lock for all rows")
def test_time_without_a_leader_does_not_count_for_a_row_that_somebody_holds() -> None:
    jobs = dead_group(2)
    operation = begin(jobs[0])
    long_ago = {str(jobs[1].pk): 0.0}
    with held(jobs[1], progress=1):
        work_until(OperationWork(), operation, changed=1)
        next_leader = OperationWork()
        Operation.objects.update(held=long_ago)
        next_leader.do_round()
        operation.refresh_from_db()
        assert (operation.state, operation.refused) == ("running", {})
        verbs.pause_operation(operation)
        next_leader.do_round()
        verbs.resume_operation(operation)
        Operation.objects.update(held=long_ago)
        next_leader.do_round()
        operation.refresh_from_db()
        assert (operation.state, operation.refused) == ("running", {})
        Operation.objects.update(held=long_ago)
        work_until(next_leader, operation, state="done")
    assert (operation.changed, operation.refusals, operation.total) == (1, 1, 2)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="has one lock for all rows")
def test_of_two_leaders_that_come_to_a_held_row_one_counts_it(tuning: Tuning) -> None:
    tuning.set(operation_held_seconds=3_600.0)
    jobs = dead_group(3)
    operation = start(group_of(jobs[0]), make_system_admin("root"), rate=60)
    Operation.objects.update(released_until=operation.started_at - dt.timedelta(minutes=1))
    with held(jobs[1], progress=1):
        work_until(OperationWork(), operation, changed=2)
    with before_statement("SELECT", Operation, lambda: run_crowd([OperationWork().do_round]), words="SKIP LOCKED"):
        work_until(OperationWork(), operation, state="done")
    assert (operation.changed, operation.refusals, operation.total) == (3, 0, 3)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="has one lock for all rows")
def test_rows_that_somebody_holds_count_for_the_rate_and_outlast_a_pause() -> None:
    jobs = dead_group(3)
    operation = start(group_of(jobs[0]), make_system_admin("root"), rate=1)
    work = OperationWork()
    with held(jobs[0], progress=1):
        assert work.do_round() == 1
        verbs.pause_operation(operation)
        work.do_round()
    verbs.resume_operation(operation)
    Operation.objects.update(released_until=operation.started_at - dt.timedelta(minutes=1))
    assert work.do_round() == 1
    assert lives() == [jobs[0].pk]
