"""Jobs that are followed together: counts, state, and what is submitted at the end."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from pytest_django import Settings

from django_jobs import (
    AccessPolicy,
    cancel_batch,
    cancel_job,
    create_batch,
    get_batch_status,
    retry_batch,
    retry_job,
    submit_job,
    submit_jobs,
)
from django_jobs.exceptions import (
    AttemptLost,
    BatchNotFound,
    InvalidSubmission,
    InvalidTransition,
    OrganizationInactive,
    PermissionDenied,
    WorkerStopping,
)
from django_jobs.models import Batch, BatchChange, Job, JobType, Organization
from django_jobs.testing import run_jobs
from tests.support import verbs
from tests.support.batches import add, counts, expire, make_batch, state, tick
from tests.support.brokers import end, queue_up, raised, reread, returned, start
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.refusals import refused
from tests.support.tuning import Tuning
from tests.support.verbs import Pruner

pytestmark = pytest.mark.usefixtures("broker")


def after(batch: Batch) -> tuple[Job | None, Job | None]:
    """The jobs that were submitted at its end: ``then``, ``on_failure``."""
    row = Batch.objects.get(pk=batch.pk)
    jobs = Job.objects.in_bulk([row.then_job_id or 0, row.on_failure_job_id or 0])
    return jobs.get(row.then_job_id or 0), jobs.get(row.on_failure_job_id or 0)


@pytest.fixture
def follow_ups(kind: JobType) -> dict[str, Any]:
    return {
        "then": {"job_type": kind.pk, "parameters": {"is": "then"}},
        "on_failure": {"job_type": kind.pk, "parameters": {"is": "on_failure"}},
    }


def test_a_batch_has_an_id_with_its_year_and_number(organization: Organization) -> None:
    batch = create_batch(organization, name="Monthly")
    assert batch.batch_id == f"BATCH-{batch.created_at.year}-{batch.pk:05d}"
    assert Batch.objects.by_id(batch.batch_id) == batch
    with pytest.raises(BatchNotFound):
        get_batch_status(f"BATCH-1999-{batch.pk:05d}")


def test_its_jobs_run_while_it_is_open(organization: Organization, kind: JobType) -> None:
    batch = create_batch(organization)
    batch.submit(kind)
    run_jobs()
    assert (state(batch), counts(batch)) == ("Open", {"Completed": 1})
    batch.submit(kind)
    assert counts(batch) == {"Completed": 1, "Pending": 1} or counts(batch) == {"Completed": 1, "Queued": 1}


def test_what_is_queued_or_runs_is_not_pending_as_well(organization: Organization, kind: JobType) -> None:
    batch = create_batch(organization)
    first, second = (batch.submit(kind, {"n": number}) for number in range(2))
    for number in range(2, 4):
        batch.submit(kind, {"n": number}, run_at=dt.datetime(2099, 1, 1, tzinfo=dt.UTC))
    queue_up(first)
    start(second)
    assert counts(batch) == {"Queued": 1, "Running": 1, "Pending": 2}


def test_it_completes_when_it_is_closed_and_all_jobs_completed(
    organization: Organization, kind: JobType, follow_ups: dict[str, Any]
) -> None:
    with create_batch(organization, **follow_ups) as batch:
        batch.submit_many([{"job_type": kind.pk, "parameters": {"n": number}} for number in range(5)])
    assert state(batch) == "Running"
    run_jobs()
    status = get_batch_status(batch.batch_id)
    assert (status.state, status.total, status.progress) == ("Completed", 5, 100)
    assert status.started_at is not None
    assert status.completed_at is not None
    then, on_failure = after(batch)
    assert then is not None
    assert then.input_parameters == {"is": "then"}
    assert on_failure is None
    assert not BatchChange.objects.exists()


def test_one_that_fails_has_on_failure_submitted(organization: Organization, follow_ups: dict[str, Any]) -> None:
    batch = make_batch(organization, "Completed", "Dead Letter", **follow_ups)
    run_jobs()
    then, on_failure = after(batch)
    assert then is None
    assert on_failure is not None
    assert state(batch) == "Failed"


def test_an_empty_batch_completes_when_it_is_closed(organization: Organization, follow_ups: dict[str, Any]) -> None:
    batch = make_batch(organization, **follow_ups)
    assert state(batch) == "Completed"
    assert after(batch)[0] is not None
    assert get_batch_status(batch).progress == 100


def test_then_follows_once_a_retry_made_it_complete(organization: Organization, follow_ups: dict[str, Any]) -> None:
    batch = create_batch(organization, **follow_ups)
    job = batch.submit(make_job_type("fail_for_good"))
    batch.close()
    run_jobs()
    first = after(batch)
    make_good(job)
    retry_batch(batch.batch_id)
    assert state(batch) == "Running"
    run_jobs()
    assert state(batch) == "Completed"
    then, on_failure = after(batch)
    assert then is not None
    assert on_failure == first[1]


def make_good(job: Job) -> None:
    """Have the job complete at its next attempt."""
    JobType.objects.filter(pk=job.job_type_id).update(handler_method="tests.support.handlers.do_nothing")


def test_neither_is_ever_submitted_twice(organization: Organization, follow_ups: dict[str, Any]) -> None:
    batch = make_batch(organization, "Dead Letter", **follow_ups)
    run_jobs()
    first = after(batch)
    retry_batch(batch)
    run_jobs()
    tick()
    assert after(batch) == first
    assert Job.objects.filter(input_parameters={"is": "on_failure"}).count() == 1


def test_a_job_that_is_retried_by_itself_counts_again(organization: Organization, follow_ups: dict[str, Any]) -> None:
    batch = create_batch(organization, **follow_ups)
    job = batch.submit(make_job_type("fail_for_good"))
    batch.close()
    run_jobs()
    first_end = get_batch_status(batch).completed_at
    assert first_end is not None
    make_good(job)
    retry_job(job)
    tick()
    assert (state(batch), Batch.objects.get().completed_at) == ("Running", None)
    run_jobs()
    assert (state(batch), counts(batch)) == ("Completed", {"Completed": 1})
    last_end = get_batch_status(batch).completed_at
    assert last_end is not None
    assert last_end > first_end


def test_it_has_started_when_its_first_job_did(organization: Organization, kind: JobType) -> None:
    batch = create_batch(organization)
    begun = []
    for _ in range(2):
        end(returned(start(batch.submit(kind))))
        tick()
        begun.append(get_batch_status(batch).started_at)
    assert begun[0] is not None
    assert begun[1] == begun[0]


def test_of_jobs_that_end_together_the_first_start_counts(organization: Organization, kind: JobType) -> None:
    batch = create_batch(organization)
    attempts = [start(batch.submit(kind)) for _ in range(2)]
    verbs.settle([raised(item) for item in attempts], attempts[0].worker_name)
    tick()
    assert get_batch_status(batch).started_at == Job.objects.get(pk=attempts[0].pk).started_at


def test_what_follows_reads_the_status_of_its_batch(organization: Organization, kind: JobType) -> None:
    told = make_job_type("tell_batch")
    batch = make_batch(organization, "Completed", then={"job_type": told.pk})
    run_jobs()
    then, _ = after(batch)
    assert then is not None
    assert reread(then).result == {"batch_id": batch.batch_id, "state": "Completed", "own": None}


def test_a_job_adds_jobs_to_its_own_batch_also_when_that_is_closed(organization: Organization, kind: JobType) -> None:
    batch = create_batch(organization, then={"job_type": kind.pk})
    batch.submit(make_job_type("add_to_batch"), {"job_type": kind.pk, "count": 3})
    batch.close()
    run_jobs()
    assert (state(batch), counts(batch)) == ("Completed", {"Completed": 4})
    assert Job.objects.filter(batch=None).count() == 1


def test_a_closed_batch_takes_no_jobs_from_others(organization: Organization, kind: JobType) -> None:
    batch = make_batch(organization, "Completed")
    with refused(InvalidSubmission, {"batch": ["closed"]}):
        batch.submit(kind)
    run_jobs()
    with refused(InvalidSubmission, {"batch": ["ended"]}):
        add(batch, kind)
    assert Job.objects.count() == 1


def test_a_batch_of_another_organization_looks_unknown(organization: Organization, kind: JobType) -> None:
    batch = create_batch(make_organization())
    for name in (batch, batch.batch_id, "BATCH-2026-99999"):
        with refused(InvalidSubmission, {"batch": ["unknown_batch"]}):
            submit_job(kind, organization, batch=name)
    with refused(InvalidSubmission, {"batch": ["not_a_batch_id"]}):
        submit_job(kind, organization, batch="B-1")
    with pytest.raises(InvalidSubmission) as refusal:
        submit_jobs([{"job_type": kind, "organization": organization, "batch": batch.batch_id}])
    assert list(refusal.value.by_index) == [0]


def test_to_close_it_twice_is_an_error(organization: Organization) -> None:
    with create_batch(organization) as batch:
        batch.close()
        with refused(InvalidTransition, "already_closed"):
            batch.close()
    assert batch.closed_at is not None


def test_a_block_that_raises_cancels_it(organization: Organization, kind: JobType, follow_ups: dict[str, Any]) -> None:
    batch = create_batch(organization, **follow_ups)
    batch.submit(kind)
    with pytest.raises(ZeroDivisionError), batch:
        raise ZeroDivisionError
    tick()
    assert (state(batch), counts(batch)) == ("Canceled", {"Canceled": 1})
    then, on_failure = after(batch)
    assert then is None
    assert on_failure is not None


@pytest.mark.parametrize("end_of_attempt", [WorkerStopping, AttemptLost])
def test_a_block_in_whose_midst_the_attempt_ends_leaves_it_to_the_next(
    organization: Organization, end_of_attempt: type[BaseException]
) -> None:
    batch = create_batch(organization)
    with pytest.raises(end_of_attempt), batch:
        raise end_of_attempt
    assert state(batch) == "Open"


def test_a_canceled_batch_takes_no_jobs_and_is_not_retried(organization: Organization, kind: JobType) -> None:
    batch = make_batch(organization, "Dead Letter", close=False)
    run_jobs()
    cancel_batch(batch)
    cancel_batch(batch)
    with refused(InvalidSubmission, {"batch": ["canceled"]}):
        batch.submit(kind)
    with refused(InvalidTransition, "canceled"):
        retry_batch(batch)


def test_one_that_has_ended_is_not_canceled(organization: Organization) -> None:
    batch = make_batch(organization, "Completed")
    run_jobs()
    with pytest.raises(InvalidTransition, match="Completed"):
        cancel_batch(batch)


def test_a_large_batch_is_canceled_page_by_page(organization: Organization, kind: JobType, tuning: Tuning) -> None:
    tuning.set(batch_page_jobs=3, batch_call_seconds=0)
    batch = create_batch(organization)
    batch.submit_many([{"job_type": kind.pk, "parameters": {"n": number}} for number in range(8)])
    cancel_batch(batch)
    assert counts(batch)["Canceled"] == 3
    tick()
    tick()
    assert (state(batch), counts(batch)) == ("Canceled", {"Canceled": 8})


def test_a_canceled_job_makes_the_batch_fail(organization: Organization, kind: JobType) -> None:
    batch = create_batch(organization)
    job = batch.submit(kind)
    batch.close()
    cancel_job(job)
    tick()
    assert state(batch) == "Failed"


def test_retry_without_failed_jobs_is_refused(organization: Organization) -> None:
    batch = make_batch(organization, "Completed")
    with refused(InvalidTransition, "none_failed"):
        retry_batch(batch)


@pytest.mark.parametrize("ended", [(), ("Completed",), ("Dead Letter",)])
def test_retry_of_a_canceled_batch_says_that(organization: Organization, ended: tuple[str, ...]) -> None:
    batch = make_batch(organization, *ended, close=False)
    run_jobs()
    batch.submit(make_job_type())
    cancel_batch(batch)
    with refused(InvalidTransition, "canceled"):
        retry_batch(batch)


def test_retry_of_failed_jobs_that_were_deleted_says_so(organization: Organization) -> None:
    batch = make_batch(organization, "Completed", "Dead Letter")
    run_jobs()
    assert Pruner(days=0).prune(1e9) == 2
    with refused(InvalidTransition, "none_kept"):
        retry_batch(batch)


def test_equal_batches_each_have_their_own_then(organization: Organization) -> None:
    then = {"job_type": make_job_type(deduplication_window=300).pk}
    batches = [make_batch(organization, "Completed", then=then) for _ in range(2)]
    run_jobs()
    followers = {after(batch)[0] for batch in batches}
    assert None not in followers
    assert len(followers) == 2


def test_what_cannot_be_submitted_at_the_end_is_told_and_tried_again_by_hand(organization: Organization) -> None:
    other, owner = make_job_type(type_name="other"), make_user(member_of=[organization])
    batch = make_batch(organization, "Completed", then={"job_type": other.pk}, user=owner)
    other.delete()
    run_jobs()
    status = get_batch_status(batch)
    assert (status.state, status.then_job) == ("Completed", None)
    assert "'other'" in status.fault
    make_job_type(type_name="other")
    with refused(PermissionDenied, "not_manager"):
        retry_batch(batch, user=owner)
    retry_batch(batch)
    assert get_batch_status(batch).fault == ""
    assert after(batch)[0] is not None


@pytest.mark.parametrize("lose", [User.delete, lambda user: user.job_memberships.all().delete()])
def test_nothing_follows_that_the_owner_may_no_longer_submit(
    organization: Organization, follow_ups: dict[str, Any], lose: Callable[[User], object]
) -> None:
    owner = make_user(member_of=[organization])
    batch = make_batch(organization, "Completed", user=owner, **follow_ups)
    lose(owner)
    run_jobs()
    assert (state(batch), after(batch)) == ("Failed", (None, None))
    assert get_batch_status(batch).fault


def test_what_waits_for_its_type_is_submitted_once_that_is_enabled(organization: Organization) -> None:
    other = make_job_type()
    batch = make_batch(organization, "Completed", then={"job_type": other.pk})
    JobType.objects.filter(pk=other.pk).update(is_enabled=False)
    run_jobs()
    before = get_batch_status(batch)
    assert (before.state, before.then_job) == ("Completed", None)
    assert before.fault
    JobType.objects.filter(pk=other.pk).update(is_enabled=True)
    BatchChange.objects.update(changed_at=verbs.now())
    tick()
    assert after(batch)[0] is not None
    assert (get_batch_status(batch).completed_at, get_batch_status(batch).fault) == (before.completed_at, "")


class FailsForFirst(AccessPolicy):
    """Cannot say whether one tenant is active."""

    failing: Any = None

    def is_active(self, organization: Any) -> bool:
        if organization.pk == self.failing:
            raise ZeroDivisionError
        return True


def test_a_policy_that_fails_holds_up_no_other_batch(
    organization: Organization, kind: JobType, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    batches = [
        make_batch(tenant, "Completed", then={"job_type": kind.pk}) for tenant in (organization, make_organization())
    ]
    jobs = [Job.objects.get(batch=batch) for batch in batches]
    claimed = [start(job) for job in jobs]
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.FailsForFirst"}
    FailsForFirst.failing = organization.pk
    for item in claimed:
        end(returned(item))
    tick()
    assert [after(batch)[0] is not None for batch in batches] == [False, True]
    assert [bool(get_batch_status(batch).fault) for batch in batches] == [True, False]
    assert f"batch_id={batches[0].batch_id} event=batch_not_followed" in caplog.text


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"parameters": {}}, "then"),
        ("report", "then"),
        ({"job_type": "unknown"}, "then.job_type"),
        ({"job_type": "known", "depends_on": []}, "then"),
        ({"job_type": "known", "organization": "ORG-1"}, "then"),
        ({"job_type": "known", "timeout": 0}, "then.timeout"),
    ],
)
def test_a_wrong_then_is_refused_when_the_batch_is_made(organization: Organization, given: Any, field: str) -> None:
    make_job_type(type_name="known")
    with pytest.raises(InvalidSubmission) as refusal:
        create_batch(organization, then=given)
    assert list(refusal.value.errors) == [field]
    assert not Batch.objects.exists()


def test_who_may_not_submit_makes_no_batch_and_lets_nothing_follow(organization: Organization) -> None:
    member, code = make_user(member_of=[organization]), {"job_type": make_job_type(submit_by="code").pk}
    for name in ("then", "on_failure"):
        given: dict[str, Any] = {name: code}
        with refused(InvalidSubmission, {f"{name}.job_type": ["unknown_job_type"]}):
            create_batch(organization, user=member, **given)
    with refused(PermissionDenied, "no_part"):
        create_batch(organization, user=make_user())
    Organization.objects.update(is_active=False)
    with refused(OrganizationInactive, {"organization": ["organization_inactive"]}):
        create_batch(organization)
    assert not Batch.objects.exists()


def test_a_rolled_back_submission_does_not_count(organization: Organization, kind: JobType) -> None:
    batch = create_batch(organization)
    with transaction.atomic():
        batch.submit(kind)
        transaction.set_rollback(True)
    batch.close()
    assert get_batch_status(batch).total == 0


def test_a_batch_that_nobody_closes_expires_as_failed(
    organization: Organization, kind: JobType, follow_ups: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:

    batch = make_batch(organization, "Completed", close=False, **follow_ups)
    late = create_batch(organization)
    late.submit(kind, run_at=verbs.now() + dt.timedelta(days=9))
    late.close()  # it takes long, but somebody closed it
    Batch.objects.filter(pk=late.pk).update(created_at=verbs.now() - dt.timedelta(days=31))
    run_jobs()
    assert not verbs.expire_batches()
    expire(batch)
    assert state(batch) == "Failed"
    assert after(batch)[1] is not None
    assert "batch_expired" in caplog.text


def test_an_old_batch_goes_when_its_jobs_are_gone(organization: Organization) -> None:

    make_batch(organization, "Completed")
    run_jobs()
    Batch.objects.update(completed_at=verbs.now() - dt.timedelta(days=31))
    assert not verbs.forget_old_batches()
    Job.objects.all().delete()
    assert verbs.forget_old_batches() == 1
    assert not Batch.objects.exists()


def test_its_progress_is_not_counted_from_its_jobs(organization: Organization, kind: JobType) -> None:
    batch = make_batch(organization, "Completed", "Completed")
    run_jobs()
    Job.objects.filter(batch=batch).delete()
    assert get_batch_status(batch).total == 2


def test_counts_agree_with_the_rows_whatever_is_not_yet_added_up(organization: Organization) -> None:
    batch = make_batch(organization, "Completed", "Failed", "Dead Letter", "Completed", close=False)
    run_jobs()
    assert counts(batch) == {"Completed": 2, "Failed": 1, "Dead Letter": 1}
    verbs.count_batches()
    assert counts(batch) == {"Completed": 2, "Failed": 1, "Dead Letter": 1}


@pytest.mark.parametrize("action", ["delete", "run_now", ""])
def test_what_is_no_act_on_a_batch_is_refused(action: str) -> None:
    batch = make_batch(make_organization(), "Dead Letter")
    with pytest.raises(ValueError, match="act"):
        verbs.act_on_batch(action, batch.batch_id)
    batch.refresh_from_db()
    assert (batch.retried_by, batch.canceled_by) == ("", "")
