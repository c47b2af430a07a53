"""What cannot be submitted, and who may not submit."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import transaction

from django_jobs import submit_job
from django_jobs.exceptions import InvalidSubmission, PermissionDenied
from django_jobs.models import Job, JobType, Organization
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def job_type() -> JobType:
    return make_job_type()


def codes_of(*args: Any, **kwargs: Any) -> dict[str, list[str]]:
    with pytest.raises(InvalidSubmission) as caught:
        submit_job(*args, **kwargs)
    return caught.value.codes


def test_an_unknown_type_is_refused(subtests: pytest.Subtests, organization: Organization) -> None:
    cases: list[Any] = ["nonesuch", "", None, 7, "nul\x00"]
    for job_type in cases:
        with subtests.test(job_type=job_type):
            assert set(codes_of(job_type, organization)) == {"job_type"}


def test_a_disabled_type_is_refused(organization: Organization) -> None:
    kind = make_job_type(is_enabled=False)
    assert codes_of(kind, organization) == {"job_type": ["job_type_disabled"]}


def test_an_unknown_organization_is_refused(subtests: pytest.Subtests, job_type: JobType) -> None:
    cases: list[Any] = ["nonesuch", "", None, 7, "nul\x00", Organization(name="unsaved")]
    for organization in cases:
        with subtests.test(organization=organization):
            assert set(codes_of(job_type, organization)) == {"organization"}


def test_an_id_larger_than_the_database_has_is_unknown(
    subtests: pytest.Subtests, job_type: JobType, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ORGANIZATION_ID_FIELD": "id"}
    cases: list[Any] = [2**63, 2**70, "9" * 30, -(2**64)]
    for organization in cases:
        with subtests.test(organization=organization):
            assert set(codes_of(job_type, organization)) == {"organization"}


def test_a_deleted_organizations_instance_is_refused(job_type: JobType, organization: Organization) -> None:
    Organization.objects.filter(pk=organization.pk).delete()
    assert set(codes_of(job_type, organization)) == {"organization"}


def test_an_inactive_organization_is_refused(job_type: JobType) -> None:
    tenant = make_organization(is_active=False)
    assert codes_of(job_type, tenant) == {"organization": ["organization_inactive"]}


def test_an_old_instance_does_not_hide_that_the_organization_is_inactive(
    job_type: JobType, organization: Organization
) -> None:
    Organization.objects.filter(pk=organization.pk).update(is_active=False)
    assert set(codes_of(job_type, organization)) == {"organization"}


def test_bad_parameters_are_refused(subtests: pytest.Subtests, job_type: JobType, organization: Organization) -> None:
    cases: list[Any] = [[1], "text", 7, {"a": {1}}, {"a": "x\x00"}, {"a": float("nan")}, {"a": "x" * 70_000}]
    for parameters in cases:
        with subtests.test(parameters=parameters):
            assert set(codes_of(job_type, organization, parameters)) == {"parameters"}


@pytest.mark.parametrize("metadata", [[1], "text", {"a": b"1"}, {"a": "x" * 5000}])
def test_bad_metadata_is_refused(job_type: JobType, organization: Organization, metadata: Any) -> None:
    assert set(codes_of(job_type, organization, metadata=metadata)) == {"metadata"}


def test_a_bad_priority_is_refused(subtests: pytest.Subtests, job_type: JobType, organization: Organization) -> None:
    cases: list[Any] = ["urgent", 4, -1, 1.5, True, []]
    for priority in cases:
        with subtests.test(priority=priority):
            assert codes_of(job_type, organization, priority=priority) == {"priority": ["invalid_choice"]}


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
    assert set(codes_of(job_type, organization, run_at=run_at)) == {"run_at"}


def test_all_that_is_wrong_is_said_at_once() -> None:
    codes = codes_of("nonesuch", "nonesuch", [1], "urgent", run_at="soon", metadata=7)
    assert set(codes) == {"job_type", "organization", "parameters", "priority", "run_at", "metadata"}


def test_a_user_of_another_organization_may_not_submit(job_type: JobType, organization: Organization) -> None:
    with pytest.raises(PermissionDenied):
        submit_job(job_type, organization, user=make_user(member_of=[make_organization()]))


def test_an_anonymous_user_may_not_submit(job_type: JobType, organization: Organization) -> None:
    with pytest.raises(PermissionDenied):
        submit_job(job_type, organization, user=AnonymousUser())


def test_a_type_may_require_a_permission(organization: Organization) -> None:
    kind = make_job_type(requires_permission="shop.view_order")
    asker = make_user(member_of=[organization])
    assert codes_of(kind, organization, user=asker) == {"job_type": ["unknown_job_type"]}
    holder = make_user(member_of=[organization], permissions=["shop.view_order"])
    assert submit_job(kind, organization, user=holder).owner_name == holder.username


def test_a_system_admin_may_submit_everywhere(job_type: JobType, organization: Organization) -> None:
    assert submit_job(job_type, organization, user=make_system_admin()).pk


def test_a_refusal_leaves_the_callers_transaction_usable(job_type: JobType, organization: Organization) -> None:
    with transaction.atomic():
        codes_of(job_type, organization, {"a": {1}})
        with pytest.raises(PermissionDenied):
            submit_job(job_type, organization, user=AnonymousUser())
        job = submit_job(job_type, organization)
    assert [stored.pk for stored in Job.objects.all()] == [job.pk]
