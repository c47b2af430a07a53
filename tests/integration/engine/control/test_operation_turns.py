"""Which operations get a turn: none takes it from the others, whether it waits, is held up, or fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DataError, OperationalError

from django_jobs.models import Job, JobType, Operation
from tests.support import verbs
from tests.support.factories import make_job_type
from tests.support.operations import begin, dead, finish, start, work_off
from tests.support.tuning import Tuning
from tests.support.verbs import ActRights, Interpose, JobFilter, OperationWork

pytestmark = pytest.mark.usefixtures("broker")


def fail_for(kind: JobType, error: Exception) -> Callable[..., list[Job]]:
    read = ActRights.read

    def read_or_fail(self: Any, rows: Any) -> list[Job]:
        jobs = read(self, rows)
        if any(job.job_type_id == kind.pk for job in jobs):
            raise error
        return jobs

    return read_or_fail


def test_operations_that_wait_take_no_turn_from_the_others(system_admin: User) -> None:
    for _ in range(verbs.OPERATIONS_AT_ONCE):
        begin(dead(make_job_type(), 2)[0], system_admin, rate=None, try_first=True)
    work = OperationWork()
    work.do_round()
    other = begin(dead(make_job_type(), 1)[0], system_admin, rate=None)
    Operation.objects.exclude(pk=other.pk).update(released_until=other.released_until)
    work.do_round()
    work.do_round()
    other.refresh_from_db()
    assert other.changed == 1


def test_a_statement_that_fails_holds_up_no_other_operation_and_no_count(
    kind: JobType, system_admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing, fine = begin(dead(kind, 1)[0], system_admin), begin(dead(make_job_type(), 1)[0], system_admin)
    monkeypatch.setattr(ActRights, "read", fail_for(kind, DataError("too long")))
    assert work_off() == 1
    fine.refresh_from_db()
    failing.refresh_from_db()
    assert (fine.changed, failing.state) == (1, "running")
    assert fine.counted_at is not None


def test_one_whose_statement_fails_again_and_again_is_paused(
    kind: JobType, system_admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = begin(dead(kind, 1)[0], system_admin)
    monkeypatch.setattr(ActRights, "read", fail_for(kind, DataError("too long")))
    work = OperationWork()
    for _ in range(verbs.OPERATION_FAILURES):
        work.do_round()
    failing.refresh_from_db()
    assert (failing.state, failing.reason, failing.note) == ("paused", "error", "DataError")


@pytest.mark.parametrize("ends", ["was_too_slow", "is_lost_race"])
def test_a_statement_that_took_too_long_or_lost_a_race_is_tried_later(
    ends: str, kind: JobType, system_admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(dead(kind, 1)[0], system_admin)
    error = OperationalError("canceled")
    with monkeypatch.context() as patch:
        patch.setattr(ActRights, "read", fail_for(kind, error))
        Interpose(patch)(ends, lambda found: found is error)
        assert work_off() == 0
    assert work_off() == 1


def test_a_lost_connection_ends_the_round_and_the_others_come_first_in_the_next(
    kind: JobType, system_admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(dead(kind, 1)[0], system_admin)
    other = begin(dead(make_job_type(), 1)[0], system_admin)
    monkeypatch.setattr(ActRights, "read", fail_for(kind, OperationalError("gone")))
    work = OperationWork()
    for _ in range(2):
        with pytest.raises(OperationalError):
            work.do_round()
    other.refresh_from_db()
    assert (other.changed, other.counted_at is not None) == (1, True)


def test_what_no_index_finds_is_looked_for_in_bounded_stretches(
    kind: JobType, system_admin: User, tuning: Tuning
) -> None:
    jobs = dead(kind, 6)
    Job.objects.filter(pk=jobs[4].pk).update(error_message="a timeout")
    Job.objects.filter(pk=jobs[0].pk).delete()
    operation = start(JobFilter(error="timeout"), system_admin)
    Operation.objects.update(last_id=jobs[5].pk)
    tuning.set(operation_stretch_rows=2)
    work = OperationWork()
    assert [work.do_round() for _ in range(4)] == [1, 1, 0, 0]
    operation.refresh_from_db()
    assert (operation.state, operation.changed, operation.position) == ("done", 1, jobs[4].pk)


def test_what_is_too_much_to_count_is_counted_on_the_way(kind: JobType, system_admin: User, tuning: Tuning) -> None:
    jobs = dead(kind, 3)
    operation = start(JobFilter(error=jobs[0].error_message), system_admin)
    Operation.objects.update(total=1, has_more=True)
    tuning.set(operation_counted_rows=0, operation_turn_jobs=2)
    work = OperationWork()
    work.do_round()
    operation.refresh_from_db()
    assert (operation.total, operation.has_more) == (2, True)
    work.do_round()
    operation.refresh_from_db()
    assert (operation.state, operation.total, operation.has_more, operation.refused) == ("done", 3, False, {})


def test_jobs_that_were_held_are_counted_once_where_two_schedulers_try_them_again(
    kind: JobType, system_admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = dead(kind, 2)
    operation = begin(jobs[0], system_admin, rate=60)
    later_on = verbs.now().timestamp() + 60
    Operation.objects.update(position=jobs[1].pk, held={str(job.pk): later_on for job in jobs})
    may, meanwhile = ActRights.may, iter([work_off])

    def ask(rights: ActRights, job: Job) -> bool:
        for do in meanwhile:
            do()
        return may(rights, job)

    monkeypatch.setattr(ActRights, "may", ask)
    work_off()
    row = finish(operation)
    assert (row.state, row.changed, row.refused) == ("done", 2, {})
