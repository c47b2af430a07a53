"""Keeping the activity rows: every move counted once, in bounded batches, and old rows forgotten."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import transaction

from django_jobs.models import EngineLease, ExecutionLog, Job, OrganizationActivity, Span, TypeActivity
from tests.support import verbs
from tests.support.activity import MOMENT, at, counts, of_organization, of_type, roll_up
from tests.support.brokers import job_in, pending_job
from tests.support.factories import make_organization
from tests.support.statements import before_statement
from tests.support.tuning import Tuning
from tests.support.verbs import LogHorizon, Scheduler

pytestmark = pytest.mark.usefixtures("broker", "alone")


def test_nothing_is_counted_twice() -> None:
    job = job_in("Completed")
    at(MOMENT)
    assert (roll_up() > 0, roll_up()) == (True, 0)
    assert of_type(job).completed == 1


def test_jobs_that_were_deleted_before_are_passed_over() -> None:
    job = job_in("Completed")
    Job.objects.filter(pk=job.pk).delete()
    other = pending_job()
    roll_up()
    assert TypeActivity.objects.filter(span=Span.MINUTE).get().job_type == other.job_type_id


def test_a_batch_is_bounded_and_the_next_one_goes_on(tuning: Tuning) -> None:
    tuning.set(rollup_rows=2)
    pending_job()
    roll_up()
    job = job_in("Completed")
    at(MOMENT)
    assert [verbs.roll_up() for _ in range(3)] == [2, 2, 0]
    assert counts(of_type(job)) == {"submitted": 1, "started": 1, "completed": 1}
    assert verbs.rollups_behind() == 0


def test_catching_up_ends_with_its_time(tuning: Tuning) -> None:
    tuning.set(rollup_rows=1, rollup_seconds=0.0)
    pending_job()
    roll_up()
    job_in("Completed")
    assert (roll_up(), verbs.rollups_behind()) == (1, 3)


def test_a_failure_counts_nothing_and_is_made_good() -> None:
    job = job_in("Completed")
    at(MOMENT)
    with before_statement("INSERT", OrganizationActivity, lambda: 1 / 0), pytest.raises(ZeroDivisionError):
        roll_up()
    assert not TypeActivity.objects.exists()
    roll_up()
    assert of_type(job).completed == of_organization(job).completed == 1


def test_a_log_whose_ids_begin_high_is_not_far_behind() -> None:
    job = pending_job()
    ExecutionLog.objects.update(id=3_000_000)
    assert verbs.rollups_behind() == 1
    roll_up()
    assert (of_type(job).submitted, verbs.rollups_behind()) == (1, 0)


def test_a_rolled_back_move_is_not_waited_for() -> None:
    with transaction.atomic():
        job_in("Completed")
        transaction.set_rollback(True)
    job = pending_job()
    roll_up()
    assert of_type(job).submitted == 1


def test_what_may_still_become_visible_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    job = pending_job()
    monkeypatch.setattr(type(verbs.store()), "log_horizon", lambda _: LogHorizon(8, 5))
    assert roll_up() == 0
    pending_job(job.job_type, job.organization)
    monkeypatch.setattr(type(verbs.store()), "log_horizon", lambda _: LogHorizon(12, 8))
    roll_up()
    assert (of_type(job).submitted, verbs.rollups_behind()) == (1, 1)


def test_a_mark_of_another_server_is_made_anew() -> None:
    EngineLease.objects.create(name="rollups", state={"marked": 1, "marked_at": 1e18})
    job = pending_job()
    roll_up()
    assert of_type(job).submitted == 1


@pytest.mark.parametrize(("span", "days"), [(Span.MINUTE, 2), (Span.HOUR, 60), (Span.DAY, 1_100)])
def test_rows_are_forgotten_when_they_are_old(span: Span, days: int) -> None:
    now = verbs.now()
    organization = make_organization()
    for age in (days - 1, days + 1):
        fields: dict[str, Any] = {"span": span, "starts_at": now - dt.timedelta(days=age), "job_type": "x"}
        TypeActivity.objects.create(**fields)
        OrganizationActivity.objects.create(organization=organization, organization_name="o", **fields)
    assert (verbs.forget_old_rollups(), verbs.forget_old_rollups()) == (2, 0)
    assert (TypeActivity.objects.count(), OrganizationActivity.objects.count()) == (1, 1)


def test_forgetting_is_bounded(tuning: Tuning) -> None:
    tuning.set(rollup_forgotten_rows=2)
    for minute in range(3):
        moment = verbs.now() - dt.timedelta(days=9, minutes=minute)
        TypeActivity.objects.create(span=Span.MINUTE, starts_at=moment, job_type="x")
    assert [verbs.forget_old_rollups() for _ in range(3)] == [2, 1, 0]


def test_the_scheduler_rolls_up() -> None:
    job = pending_job()
    done = Scheduler("s").tick()
    assert done["roll_up"] > 0
    assert of_type(job).submitted == 1


def test_the_scheduler_forgets() -> None:
    TypeActivity.objects.create(span=Span.MINUTE, starts_at=verbs.now() - dt.timedelta(days=9), job_type="x")
    assert Scheduler("s").tick()["forget_activity"] == 1
