"""Acting on all jobs that a filter names: at its rate, once each, with an honest account."""

from __future__ import annotations

import datetime as dt
from typing import Any
from unittest.mock import Mock

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import DataError, connection

from django_jobs import retry_job, submit_job
from django_jobs.exceptions import InvalidOperation, OperationOver
from django_jobs.models import ExecutionLog, Job, JobType, Operation
from django_jobs.statuses import Status
from tests.support import verbs
from tests.support.brokers import end, raised, reread, start
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.operations import begin, dead, finish, later, work_off
from tests.support.operations import start as start_on
from tests.support.refusals import refused
from tests.support.statements import statements_of
from tests.support.ticks import WholeScheduler
from tests.support.tuning import Tuning
from tests.support.verbs import ActRights, Interpose, JobFilter, Scheduler, Scope

pytestmark = pytest.mark.usefixtures("broker")


def statuses(jobs: list[Job]) -> list[str]:
    return [reread(job).status for job in jobs]


def test_a_group_comes_to_life_again(kind: JobType, system_admin: User) -> None:
    jobs = dead(kind, 3)
    operation = finish(begin(jobs[0], system_admin))
    assert Status.DEAD_LETTER not in statuses(jobs)
    assert (operation.state, operation.total, operation.changed, operation.refused) == ("done", 3, 3, {})
    assert operation.ended_at is not None


def test_retried_jobs_get_all_their_retries_and_lose_their_error(kind: JobType, system_admin: User) -> None:
    (job,) = dead(kind, 1)
    finish(begin(job, system_admin))
    fresh = reread(job)
    assert (fresh.retry_count, fresh.error_message, fresh.error_fingerprint, fresh.attempt) == (0, "", "", 1)


def test_the_log_says_who_did_it(kind: JobType, system_admin: User) -> None:
    (job,) = dead(kind, 1)
    operation = finish(begin(job, system_admin))
    log = ExecutionLog.objects.get(job=job, from_status="Dead Letter")
    assert (log.actor, log.to_status, log.message.endswith(f" {operation.pk}")) == ("system_admin", "Pending", True)


def test_other_groups_stay_dead(kind: JobType, system_admin: User) -> None:
    (job,) = dead(kind, 1)
    (other_type,) = dead(make_job_type(), 1)
    other_error = end(raised(start(submit_job(kind, make_organization())), "Permanent", text="of something else"))
    finish(begin(job, system_admin))
    assert statuses([other_type, other_error]) == [Status.DEAD_LETTER] * 2


def test_what_died_after_the_start_stays_dead(kind: JobType, system_admin: User) -> None:
    jobs = dead(kind, 2)
    operation = begin(jobs[0], system_admin)
    (late,) = dead(kind, 1)
    assert finish(operation).changed == 2
    assert reread(late).status == Status.DEAD_LETTER


def test_a_job_that_dies_again_is_not_retried_again(kind: JobType, system_admin: User) -> None:
    jobs = dead(kind, 2)
    operation = begin(jobs[0], system_admin, rate=1)
    work_off()
    end(raised(start(reread(jobs[0])), "Permanent"))
    assert finish(operation).changed == 2
    assert statuses(jobs) == [Status.DEAD_LETTER, Status.PENDING]


@pytest.fixture
def still_time(interpose: Interpose) -> None:
    """Let no next second begin meanwhile, however long the machine takes."""
    now = verbs.now()
    interpose("now", lambda: now)


@pytest.mark.usefixtures("still_time")
def test_the_rate_is_kept(kind: JobType, system_admin: User) -> None:
    jobs = dead(kind, 6)
    operation = begin(jobs[0], system_admin, rate=60)
    assert work_off() == 1
    assert work_off() == 0
    later(operation, 2)
    assert work_off() == 2


@pytest.mark.usefixtures("still_time")
def test_neither_a_pause_nor_the_time_at_another_rate_is_caught_up_in_a_rush(kind: JobType, system_admin: User) -> None:
    jobs = dead(kind, 8)
    operation = begin(jobs[0], system_admin, rate=60)
    later(operation, 3600)
    assert work_off() == 5
    assert work_off() == 0
    later(operation, 3600)
    verbs.pause_operation(operation)
    verbs.resume_operation(operation)
    assert work_off() == 0
    later(operation, 3600)
    verbs.set_operation_rate(operation, 120)
    assert work_off() == 0


def test_a_turn_takes_a_bounded_batch_in_as_many_statements_whatever_its_size(
    kind: JobType, system_admin: User, tuning: Tuning
) -> None:
    begin(dead(kind, 2)[0], system_admin)
    few = statements_of(work_off)
    other = make_job_type()
    later(begin(dead(other, 12)[0], system_admin), 10)
    tuning.set(operation_turn_jobs=10)
    begin(dead(make_job_type(), 1)[0], system_admin)
    Operation.objects.exclude(filters__job_type=[other.pk]).delete()
    assert statements_of(work_off) <= few + 4
    assert Operation.objects.get().changed == 10


def test_the_scheduler_works_it_off(kind: JobType, system_admin: User) -> None:
    (job,) = dead(kind, 1)
    begin(job, system_admin)
    assert WholeScheduler("one").tick()["operate"] == 1


def test_a_paused_one_waits_until_it_is_resumed(kind: JobType, system_admin: User) -> None:
    (job,) = dead(kind, 1)
    operation = begin(job, system_admin)
    assert verbs.pause_operation(operation)
    assert work_off() == 0
    assert verbs.resume_operation(operation)
    assert finish(operation).changed == 1


def test_a_stopped_one_leaves_the_rest_dead(kind: JobType, system_admin: User) -> None:
    jobs = dead(kind, 2)
    operation = begin(jobs[0], system_admin, rate=1)
    work_off()
    assert verbs.stop_operation(operation)
    later(operation, 600)
    assert work_off() == 0
    assert Status.DEAD_LETTER in statuses(jobs)


@pytest.mark.parametrize("act", [verbs.pause_operation, verbs.resume_operation, verbs.stop_operation])
def test_nothing_more_happens_to_one_that_is_done(act: Any, kind: JobType, system_admin: User) -> None:
    operation = finish(begin(dead(kind, 1)[0], system_admin))
    with refused(OperationOver, "over"):
        act(operation)


def test_of_jobs_that_wait_for_a_dead_parent_it_is_said(kind: JobType, system_admin: User) -> None:
    parent = submit_job(make_job_type(), tenant := make_organization())
    child = submit_job(kind, tenant, depends_on=[parent])
    end(raised(start(parent), "Permanent", text="boom"))
    verbs.follow_up()
    operation = finish(begin(reread(child), system_admin))
    assert operation.refused == {"dead_parent": 1}
    assert reread(child).status == Status.DEAD_LETTER


def test_a_retried_parent_revives_what_died_with_it(kind: JobType, system_admin: User) -> None:
    parent = submit_job(kind, tenant := make_organization())
    child = submit_job(make_job_type(), tenant, depends_on=[parent])
    dead_parent = end(raised(start(parent), "Permanent", text="boom"))
    verbs.follow_up()
    finish(begin(dead_parent, system_admin))
    Scheduler("one").tick()
    assert reread(child).status == Status.PENDING


def test_jobs_that_changed_meanwhile_are_told(kind: JobType, system_admin: User) -> None:
    jobs = dead(kind, 3)
    operation = begin(jobs[0], system_admin)
    retry_job(jobs[1])
    assert finish(operation).refused == {"changed": 1}


def test_a_group_can_be_deleted(kind: JobType, system_admin: User) -> None:
    jobs = dead(kind, 3)
    operation = finish(begin(jobs[0], system_admin, action="delete"))
    assert operation.changed == 3
    assert not Job.objects.filter(pk__in=[job.pk for job in jobs]).exists()


@pytest.mark.parametrize("change", [{"status": "Completed"}, {"error_fingerprint": "another"}], ids=str)
def test_what_left_the_group_since_it_was_listed_is_not_deleted(
    change: dict[str, str], kind: JobType, system_admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = dead(kind, 3)
    operation = begin(jobs[0], system_admin, action="delete")

    def may(*_: object) -> bool:  # it is asked after the look and before the deletion
        Job.objects.filter(pk=jobs[1].pk).update(**change)
        return True

    monkeypatch.setattr(ActRights, "may", may)
    done = finish(operation)
    assert (done.changed, done.refused) == (2, {"changed": 1})
    assert [job.pk for job in Job.objects.filter(pk__in=[job.pk for job in jobs])] == [jobs[1].pk]


def test_where_no_job_matches_nothing_is_started(kind: JobType, system_admin: User) -> None:
    with pytest.raises(InvalidOperation) as caught:
        start_on(JobFilter(job_type=(kind.pk,)), system_admin)
    assert list(caught.value.errors) == ["filters"]


@pytest.mark.parametrize("text", [" ", " timeout"])
def test_a_text_with_blanks_acts_on_no_more_jobs_than_were_counted(
    text: str, kind: JobType, system_admin: User
) -> None:
    jobs = dead(kind, 3)
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(error_message="timeout")
    Job.objects.filter(pk=jobs[2].pk).update(error_message=f"a{text}")
    operation = finish(start_on(JobFilter(error=text), system_admin, "delete"))
    assert (operation.total, operation.changed) == (1, 1)
    assert Job.objects.count() == 2


@pytest.mark.skipif(connection.vendor == "mysql", reason="does not tell a text from a number in a parameter")
def test_two_values_of_one_parameter_act_on_no_more_jobs_than_were_counted(system_admin: User) -> None:
    kind, tenant = make_job_type(), make_organization()
    dead(kind, 1, tenant, parameters={"a": 1})
    dead(kind, 1, tenant, parameters={"a": "1"})
    pairs = ((("a",), '"1"'), (("a",), "1"))
    operation = finish(start_on(JobFilter(parameters=pairs), system_admin, "delete"))
    assert (operation.total, operation.changed) == (1, 1)


@pytest.mark.parametrize("stored", [{}, {"error": None}, {"all": False}], ids=str)
def test_a_stored_filter_that_asks_for_nothing_never_runs(
    stored: dict[str, Any], kind: JobType, system_admin: User
) -> None:
    operation = begin(dead(kind, 2)[0], system_admin, action="delete")
    Operation.objects.filter(pk=operation.pk).update(filters=stored)
    work_off()
    operation.refresh_from_db()
    assert (operation.state, operation.reason, Job.objects.count()) == ("paused", "unknown_filter", 2)


def test_an_operation_is_stored_together_with_its_entry_in_the_history(
    kind: JobType, system_admin: User, interpose: Interpose
) -> None:
    (job,) = dead(kind, 1)
    interpose("record_act", Mock(side_effect=DataError))
    with pytest.raises(DataError):
        begin(job, system_admin)
    assert not Operation.objects.exists()


def test_an_operation_that_ended_long_ago_is_forgotten(kind: JobType, system_admin: User) -> None:
    (job, other) = dead(kind, 1) + dead(make_job_type(), 1)
    ended, recent = begin(job, system_admin), begin(other, system_admin)
    verbs.stop_operation(ended)
    verbs.stop_operation(recent)
    Operation.objects.filter(pk=ended.pk).update(ended_at=ended.started_at - dt.timedelta(days=31))
    assert verbs.forget_old_operations() == 1
    assert Operation.objects.get() == recent


def test_nobody_and_a_user_who_was_deactivated_see_no_operations(kind: JobType, system_admin: User) -> None:
    of_code, own = (begin(job, who) for job, who in zip(dead(kind, 2), (None, system_admin), strict=True))
    user = make_user()
    Operation.objects.filter(pk=own.pk).update(user=user)
    assert list(Scope(user).operations()) == [own]
    assert set(Scope(system_admin).operations()) == {of_code, own}
    user.is_active = False
    assert not Scope(user).operations()
    assert not Scope(AnonymousUser()).operations()
