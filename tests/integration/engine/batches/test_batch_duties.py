"""What is done to batches by and by, and what must not stand in its way."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from pytest_django import Settings

from django_jobs import AccessPolicy, cancel_batch, create_batch, get_batch_status, retry_batch
from django_jobs.exceptions import InvalidTransition
from django_jobs.models import Batch, BatchChange, Job, JobType, Organization
from django_jobs.testing import run_jobs
from tests.support import verbs
from tests.support.batches import make_batch, state, tick
from tests.support.brokers import end, returned, start
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.plans import explained
from tests.support.replicas import lagging_replica
from tests.support.tuning import Tuning
from tests.support.verbs import REMEMBERED_LOOKS, BatchLooks

pytestmark = pytest.mark.usefixtures("broker")


def test_a_cancel_ends_a_retry_that_is_under_way(organization: Organization, tuning: Tuning) -> None:
    tuning.set(batch_page_jobs=1, batch_call_seconds=0.0)
    batch = make_batch(organization, *["Dead Letter"] * 4)
    run_jobs()
    retry_batch(batch)
    cancel_batch(batch)
    for _ in range(20):
        tick()
    assert not Job.objects.filter(batch=batch).exclude(status__in=["Dead Letter", "Canceled"]).exists()
    assert state(batch) == "Canceled"


def test_one_that_is_closed_amid_the_retry_of_its_jobs_does_not_end(
    organization: Organization, kind: JobType, tuning: Tuning
) -> None:
    tuning.set(batch_page_jobs=1, batch_call_seconds=0.0)
    batch = make_batch(organization, "Dead Letter", "Dead Letter", close=False, on_failure={"job_type": kind.pk})
    run_jobs()
    retry_batch(batch)
    end(returned(start(Job.objects.filter(batch=batch).exclude(status="Dead Letter").get())))
    batch.close()
    assert (state(batch), Batch.objects.get().completed_at) == ("Running", None)
    assert Batch.objects.get().on_failure_job_id is None


def test_one_of_which_jobs_are_still_to_be_retried_does_not_end(
    organization: Organization, kind: JobType, tuning: Tuning
) -> None:
    tuning.set(batch_page_jobs=1, batch_call_seconds=0.0)
    batch = make_batch(organization, "Dead Letter", "Dead Letter", close=False, on_failure={"job_type": kind.pk})
    run_jobs()
    retry_batch(batch)
    batch.close()
    end(returned(start(Job.objects.filter(batch=batch).exclude(status="Dead Letter").get())))
    verbs.count_batches()
    assert state(batch) == "Running"
    tick()
    end(returned(start(Job.objects.filter(batch=batch).exclude(status="Completed").get())))
    for _ in range(3):
        tick()
    assert state(batch) == "Completed"
    assert Batch.objects.get().on_failure_job_id is None


def test_one_whose_jobs_all_completed_is_not_canceled(organization: Organization, kind: JobType) -> None:
    batch = make_batch(organization, "Completed", then={"job_type": kind.pk})
    run_jobs()
    # As if nobody had added up the last end yet.
    Batch.objects.update(completed=0, completed_at=None, then_job_id=None)
    BatchChange.objects.create(batch_id=batch.pk, changed_at=verbs.now(), completed=1)
    with pytest.raises(InvalidTransition):
        cancel_batch(batch)
    tick()
    assert state(batch) == "Completed"
    assert Batch.objects.get().then_job_id is not None


def test_to_retry_one_that_ended_tells_no_second_end(
    organization: Organization, caplog: pytest.LogCaptureFixture
) -> None:
    batch = make_batch(organization, "Dead Letter")
    run_jobs()
    tick()
    caplog.clear()
    retry_batch(batch)
    assert "batch_ended" not in caplog.text


def test_changes_of_a_batch_that_is_gone_are_not_read_for_ever(organization: Organization, tuning: Tuning) -> None:
    tuning.set(batch_counting_changes=1)
    gone = make_batch(organization, "Completed")
    Batch.objects.filter(pk=gone.pk).delete()  # by code of the host's
    run_jobs()
    kept = make_batch(organization, "Completed", "Completed", close=False)
    tick()
    tick()
    assert Batch.objects.get(pk=kept.pk).total == 2
    assert not BatchChange.objects.exists()


def test_one_of_which_something_waits_to_be_submitted_is_not_forgotten(
    organization: Organization, kind: JobType
) -> None:
    batch = make_batch(organization, "Completed", then={"job_type": kind.pk})
    JobType.objects.filter(pk=kind.pk).update(is_enabled=False)
    run_jobs()
    assert get_batch_status(batch).fault
    Job.objects.all().delete()
    Batch.objects.update(completed_at=verbs.now() - dt.timedelta(days=31))
    assert not verbs.forget_old_batches()
    JobType.objects.filter(pk=kind.pk).update(is_enabled=True)
    BatchChange.objects.update(changed_at=verbs.now())
    tick()
    assert Batch.objects.get().then_job_id is not None
    assert verbs.forget_old_batches() == 1


class KnowsTitles(AccessPolicy):
    """Some tenants have no admins, which their rows tell."""

    def is_organization_admin(self, user: Any, organization: Any) -> bool:
        return bool(organization.title == "managed")


@pytest.mark.parametrize("verb", [cancel_batch, retry_batch])
def test_a_policy_is_asked_about_the_tenant_as_it_is(settings: Settings, verb: Any) -> None:
    organization = make_organization(title="managed")
    user = make_user(member_of=[organization])
    batch = make_batch(organization, "Dead Letter", close=False)
    run_jobs()
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.KnowsTitles"}
    verb(batch, user=user)


def test_what_a_replica_does_not_know_yet_refuses_nothing(organization: Organization) -> None:
    kind = make_job_type(submit_by="members")
    user = make_user(member_of=[organization])
    batch = create_batch(organization, user=user, then={"job_type": kind.pk})
    with lagging_replica(of_all=True):
        first = batch.submit(kind)
        batch.close()
        end(returned(start(Job.primary.get(pk=first.pk))))
        tick()
        row = Batch.primary.get()
    assert (row.fault, row.then_job_id is not None) == ("", True)


def test_what_a_process_that_never_looks_again_remembers_is_bounded() -> None:
    looks = BatchLooks()
    for pk in range(3 * REMEMBERED_LOOKS):
        looks.due([pk])
        looks.due([pk])
    assert len(looks._waiting) + len(looks._looked) <= REMEMBERED_LOOKS + 1


@pytest.mark.skipif(connection.vendor != "postgresql", reason="This is PostgreSQL's plan.")
def test_batches_that_have_ended_cost_a_tick_nothing(organization: Organization) -> None:
    values = {"organization": organization, "organization_name": organization.name}
    moments = dict.fromkeys(("created_at", "closed_at", "completed_at"), verbs.now())
    Batch.objects.bulk_create(Batch(**values, **moments) for _ in range(3_000))
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {Batch._meta.db_table}")
    with explained() as plans:
        tick()
    assert plans
    assert not any(Batch._meta.db_table in plan.scanned() for plan in plans)


# -- the host's own rights ---------------------------------------------------------------------------------------------


class ByParameters(AccessPolicy):
    """Lets nobody cancel or retry jobs that are marked as locked."""

    #: Raised in place of an answer.
    error: Exception | None = None

    def can_cancel(self, user: Any, job: Job) -> bool:
        if self.error is not None:
            raise self.error
        return not job.priority

    can_retry = can_cancel


class ByView(AccessPolicy):
    """Hides such jobs."""

    def can_view(self, user: Any, job: Job) -> bool:
        return not job.priority


@pytest.fixture
def by_host(settings: Settings, tuning: Tuning, request: Any) -> None:
    tuning.set(batch_page_jobs=2)
    policy = getattr(request, "param", ByParameters)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.{policy.__name__}"}


def locked_and_free(organization: Organization, handler: str, **fields: Any) -> Batch:
    """A batch of five jobs, of which the second and the fifth are locked."""
    batch = create_batch(organization, **fields)
    kind = make_job_type(handler)
    for number in range(5):
        batch.submit(kind, {"number": number}, "High" if number in {1, 4} else "Low")
    return batch


def numbers(batch: Batch, status: str) -> list[int]:
    jobs = Job.objects.filter(batch=batch, status=status).order_by("pk")
    return [job.input_parameters["number"] for job in jobs]


@pytest.mark.parametrize("by_host", [ByParameters, ByView], indirect=True)
def test_a_batchs_cancel_leaves_the_jobs_that_the_host_does_not_let_the_user_cancel(
    by_host: None, organization: Organization
) -> None:
    batch = locked_and_free(organization, "do_nothing")
    cancel_batch(batch, user=make_user("system", admin_of=[organization]))  # which is also the name of server code
    tick()
    assert (numbers(batch, "Canceled"), get_batch_status(batch).refused) == ([0, 2, 3], 2)
    tick()
    assert get_batch_status(batch).refused == 2, "each is asked about once"
    run_jobs()
    assert (numbers(batch, "Completed"), state(batch)) == ([1, 4], "Canceled")


@pytest.mark.parametrize("by_host", [ByParameters, ByView], indirect=True)
def test_a_batchs_retry_leaves_the_jobs_that_the_host_does_not_let_the_user_retry(
    by_host: None, organization: Organization
) -> None:
    batch = locked_and_free(organization, "fail_for_good")
    batch.close()
    run_jobs()
    retry_batch(batch, user=make_user(admin_of=[organization]))
    tick()
    assert (numbers(batch, "Dead Letter"), get_batch_status(batch).refused) == ([1, 4], 2)
    run_jobs()
    retry_batch(batch)
    assert (numbers(batch, "Dead Letter"), get_batch_status(batch).refused) == ([], 0)


def test_server_code_and_the_batchs_block_ask_no_policy(by_host: None, organization: Organization) -> None:
    batch = locked_and_free(organization, "do_nothing", user=make_user(member_of=[organization]))
    with pytest.raises(ZeroDivisionError), batch:
        raise ZeroDivisionError
    tick()
    assert (numbers(batch, "Canceled"), get_batch_status(batch).refused) == ([0, 1, 2, 3, 4], 0)


@pytest.mark.parametrize("leave", [User.delete, lambda user: User.objects.filter(pk=user.pk).update(is_active=False)])
def test_the_scheduler_asks_for_the_user_and_does_nothing_for_one_who_is_gone(
    by_host: None, organization: Organization, tuning: Tuning, leave: Callable[[User], object]
) -> None:
    tuning.set(batch_call_seconds=0.0)
    batch = locked_and_free(organization, "do_nothing")
    user = make_user(admin_of=[organization])
    cancel_batch(batch, user=user)
    assert numbers(batch, "Canceled") == [0]
    leave(user)
    tick()
    assert (numbers(batch, "Canceled"), get_batch_status(batch).refused) == ([0], 4)


def test_what_the_policy_fails_to_answer_is_asked_again(
    by_host: None, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ByParameters, "error", KeyError("down"))
    batch, other = locked_and_free(organization, "do_nothing"), locked_and_free(organization, "do_nothing")
    cancel_batch(batch, user=make_user(admin_of=[organization]))
    assert numbers(batch, "Canceled") == []
    cancel_batch(other)
    assert numbers(other, "Canceled") == [0, 1, 2, 3, 4]
    monkeypatch.setattr(ByParameters, "error", None)
    tick()
    assert numbers(batch, "Canceled") == [0, 2, 3]


def test_a_page_that_another_scheduler_turned_while_the_policy_was_asked_is_turned_once(
    by_host: None, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile = iter([tick])

    def can_cancel(_policy: AccessPolicy, _user: Any, job: Job) -> bool:
        for do in meanwhile:
            do()
        return not job.priority

    monkeypatch.setattr(ByParameters, "can_cancel", can_cancel)
    batch = locked_and_free(organization, "do_nothing")
    cancel_batch(batch, user=make_user(admin_of=[organization]))
    assert (numbers(batch, "Canceled"), get_batch_status(batch).refused) == ([0, 2, 3], 2)
