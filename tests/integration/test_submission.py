"""Submitting: what becomes a row, what is refused, and that nothing reaches the broker before the commit."""

from __future__ import annotations

import datetime as dt
from typing import Any
from unittest.mock import Mock

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import transaction

from django_jobs import submit_job
from django_jobs.engine.history import get_job_history
from django_jobs.exceptions import InvalidSubmission, PermissionDenied
from django_jobs.models import Job, JobType, Organization
from django_jobs.statuses import Priority
from tests.support.brokers import MemoryBroker, reread
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user

pytestmark = pytest.mark.usefixtures("broker")

TOMORROW = dt.datetime(2100, 1, 1, 12, 0, tzinfo=dt.timezone(dt.timedelta(hours=2)))


@pytest.fixture
def job_type() -> JobType:
    return make_job_type()


@pytest.fixture
def organization() -> Organization:
    return make_organization()


def errors_of(*args: Any, **kwargs: Any) -> dict[str, list[str]]:
    with pytest.raises(InvalidSubmission) as caught:
        submit_job(*args, **kwargs)
    return caught.value.errors


def test_a_submission_becomes_a_pending_job(job_type: JobType, organization: Organization) -> None:
    job = submit_job(job_type.type_name, organization.name, {"month": 3})
    stored = reread(job)
    assert (stored.status, stored.input_parameters, stored.attempt) == ("Pending", {"month": 3}, 0)
    assert (stored.job_type, stored.organization_id) == (job_type, organization.pk)
    assert stored.organization_name == organization.name
    assert len(stored.job_hash) == 64


def test_the_returned_job_is_what_was_stored(job_type: JobType, organization: Organization) -> None:
    job = submit_job(job_type, organization, {"month": 3})
    stored = reread(job)
    assert (job.pk, job.name, job.status, job.created_at) == (stored.pk, stored.name, stored.status, stored.created_at)


def test_a_job_takes_its_defaults_from_its_type(organization: Organization) -> None:
    kind = make_job_type(default_priority="High", default_timeout=77, max_retries=2, retry_delay=9)
    job = reread(submit_job(kind, organization))
    assert (job.priority, job.timeout_seconds, job.max_retries, job.retry_delay) == (Priority.HIGH, 77, 2, 9)
    assert (job.input_parameters, job.metadata, job.run_at) == ({}, {}, None)


@pytest.mark.parametrize("priority", ["Critical", "critical", 3])
def test_a_priority_may_be_given(job_type: JobType, organization: Organization, priority: Any) -> None:
    assert reread(submit_job(job_type, organization, priority=priority)).priority == Priority.CRITICAL


def test_a_job_is_ready_at_once(job_type: JobType, organization: Organization) -> None:
    job = reread(submit_job(job_type, organization))
    assert job.ready_at == job.created_at


def test_a_delayed_job_is_ready_at_its_moment(job_type: JobType, organization: Organization) -> None:
    job = reread(submit_job(job_type, organization, run_at=TOMORROW))
    assert job.run_at == job.ready_at == TOMORROW


def test_a_moment_in_the_past_means_now(job_type: JobType, organization: Organization) -> None:
    job = reread(submit_job(job_type, organization, run_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC)))
    assert job.ready_at == job.created_at


def test_metadata_is_kept_and_is_no_part_of_the_hash(job_type: JobType, organization: Organization) -> None:
    first, second = (submit_job(job_type, organization, {"a": 1}, metadata={"trace": n}) for n in (1, 2))
    assert reread(second).metadata == {"trace": 2}
    assert first.job_hash == second.job_hash


def test_the_user_becomes_the_owner(job_type: JobType, organization: Organization) -> None:
    user = make_user("ada", member_of=[organization])
    job = reread(submit_job(job_type, organization, user=user))
    assert (job.owner, job.owner_name) == (user, "ada")


def test_server_code_owns_nothing(job_type: JobType, organization: Organization) -> None:
    job = reread(submit_job(job_type, organization))
    assert (job.owner, job.owner_name) == (None, "")


@pytest.mark.parametrize(("username", "actor"), [("ada", "ada"), (None, "system")])
def test_the_history_begins_with_the_submission(
    job_type: JobType, organization: Organization, username: str | None, actor: str
) -> None:
    user = make_user(username, member_of=[organization]) if username else None
    job = submit_job(job_type, organization, user=user)
    (entry,) = get_job_history(job)
    assert (entry["from_status"], entry["to_status"], entry["actor"], entry["attempt"]) == ("", "Pending", actor, 0)
    assert entry["timestamp"] == reread(job).created_at


@pytest.mark.parametrize("job_type", ["nonesuch", "", None, 7, "nul\x00"])
def test_an_unknown_type_is_refused(organization: Organization, job_type: Any) -> None:
    assert set(errors_of(job_type, organization)) == {"job_type"}


def test_a_disabled_type_is_refused(organization: Organization) -> None:
    kind = make_job_type(is_enabled=False)
    assert errors_of(kind, organization) == {"job_type": [f"The job type '{kind.pk}' is disabled."]}


def test_a_paused_type_accepts_submissions(organization: Organization) -> None:
    assert submit_job(make_job_type(is_paused=True), organization).status == "Pending"


@pytest.mark.parametrize("organization", ["nonesuch", "", None, 7, "nul\x00", Organization(name="unsaved")])
def test_an_unknown_organization_is_refused(job_type: JobType, organization: Any) -> None:
    assert set(errors_of(job_type, organization)) == {"organization"}


def test_a_deleted_organizations_instance_is_refused(job_type: JobType, organization: Organization) -> None:
    Organization.objects.filter(pk=organization.pk).delete()
    assert set(errors_of(job_type, organization)) == {"organization"}


def test_an_inactive_organization_is_refused(job_type: JobType) -> None:
    tenant = make_organization(is_active=False)
    assert errors_of(job_type, tenant) == {"organization": ["This organization is not active."]}


def test_an_old_instance_does_not_hide_that_the_organization_is_inactive(
    job_type: JobType, organization: Organization
) -> None:
    Organization.objects.filter(pk=organization.pk).update(is_active=False)
    assert set(errors_of(job_type, organization)) == {"organization"}


@pytest.mark.parametrize(
    "parameters", [[1], "text", 7, {"a": {1}}, {"a": "x\x00"}, {"a": float("nan")}, {"a": "x" * 70_000}]
)
def test_bad_parameters_are_refused(job_type: JobType, organization: Organization, parameters: Any) -> None:
    assert set(errors_of(job_type, organization, parameters)) == {"parameters"}


@pytest.mark.parametrize("metadata", [[1], "text", {"a": b"1"}, {"a": "x" * 5000}])
def test_bad_metadata_is_refused(job_type: JobType, organization: Organization, metadata: Any) -> None:
    assert set(errors_of(job_type, organization, metadata=metadata)) == {"metadata"}


@pytest.mark.parametrize("priority", ["urgent", 4, -1, 1.5, True, []])
def test_a_bad_priority_is_refused(job_type: JobType, organization: Organization, priority: Any) -> None:
    assert errors_of(job_type, organization, priority=priority) == {
        "priority": ["Use one of Low, Normal, High, Critical."]
    }


@pytest.mark.parametrize(
    "run_at",
    [
        "2100-01-01",
        dt.date(2100, 1, 1),
        dt.datetime(2100, 1, 1),  # noqa: DTZ001  (naive is what is refused)
        dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=5))),
    ],
    ids=repr,
)
def test_a_bad_moment_is_refused(job_type: JobType, organization: Organization, run_at: Any) -> None:
    assert set(errors_of(job_type, organization, run_at=run_at)) == {"run_at"}


def test_all_that_is_wrong_is_said_at_once() -> None:
    errors = errors_of("nonesuch", "nonesuch", [1], "urgent", run_at="soon", metadata=7)
    assert set(errors) == {"job_type", "organization", "parameters", "priority", "run_at", "metadata"}


def test_a_user_of_another_organization_may_not_submit(job_type: JobType, organization: Organization) -> None:
    with pytest.raises(PermissionDenied):
        submit_job(job_type, organization, user=make_user(member_of=[make_organization()]))


def test_an_anonymous_user_may_not_submit(job_type: JobType, organization: Organization) -> None:
    with pytest.raises(PermissionDenied):
        submit_job(job_type, organization, user=AnonymousUser())


def test_a_type_may_require_a_permission(organization: Organization) -> None:
    kind = make_job_type(requires_permission="shop.view_order")
    with pytest.raises(PermissionDenied):
        submit_job(kind, organization, user=make_user(member_of=[organization]))
    holder = make_user(member_of=[organization], permissions=["shop.view_order"])
    assert submit_job(kind, organization, user=holder).owner_name == holder.username


def test_a_system_admin_may_submit_everywhere(job_type: JobType, organization: Organization) -> None:
    assert submit_job(job_type, organization, user=make_system_admin()).pk


def test_a_refusal_leaves_the_callers_transaction_usable(job_type: JobType, organization: Organization) -> None:
    with transaction.atomic():
        errors_of(job_type, organization, {"a": {1}})
        with pytest.raises(PermissionDenied):
            submit_job(job_type, organization, user=AnonymousUser())
        job = submit_job(job_type, organization)
    assert [stored.pk for stored in Job.objects.all()] == [job.pk]


def test_nothing_is_pushed_before_the_commit(
    job_type: JobType, organization: Organization, broker: MemoryBroker, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        job = submit_job(job_type, organization)
        assert (broker.tickets, reread(job).status) == ([], "Pending")
    assert (broker.pks(), reread(job).status) == ([job.pk], "Queued")


def test_what_is_rolled_back_reaches_no_broker(
    job_type: JobType, organization: Organization, broker: MemoryBroker, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012  (the submission comes first)
            submit_job(job_type, organization)
            raise ZeroDivisionError
        assert not Job.objects.exists()
    assert broker.tickets == []


def test_submitting_succeeds_while_the_broker_is_down(
    job_type: JobType, organization: Organization, broker: MemoryBroker, django_capture_on_commit_callbacks: Any
) -> None:
    broker.is_down = True
    with django_capture_on_commit_callbacks(execute=True):
        job = submit_job(job_type, organization)
    assert reread(job).status == "Pending"


@pytest.mark.django_db(transaction=True)
def test_a_delayed_job_rings_no_bell(
    job_type: JobType, organization: Organization, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Mock(wraps=broker.look)
    monkeypatch.setattr(broker, "look", look)
    submit_job(job_type, organization, run_at=TOMORROW)
    look.assert_not_called()
    submit_job(job_type, organization)
    look.assert_called()
