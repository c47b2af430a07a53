"""What is stored, and what the database itself holds to be true."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from django_jobs.models import ExecutionLog, Job, JobType, Membership, Organization, get_organization_model
from django_jobs.statuses import Priority
from tests.support.brokers import job_in, pending_job
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user

pytestmark = pytest.mark.usefixtures("broker")


def test_a_blank_organization_name_becomes_year_and_number() -> None:
    organization = make_organization()
    assert organization.name == f"ORG-{dt.datetime.now(dt.UTC).year}-{organization.pk:05d}"
    assert Organization.objects.get(pk=organization.pk).name == organization.name


def test_a_given_organization_name_stays() -> None:
    assert make_organization(name="acme").name == "acme"


def test_two_organizations_may_be_made_without_a_name() -> None:
    assert make_organization().name != make_organization().name


def test_a_user_belongs_to_an_organization_once() -> None:
    organization = make_organization()
    user = make_user(member_of=[organization])
    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.create(user=user, organization=organization, role="admin")


def test_the_tenant_is_the_built_in_organization() -> None:
    assert get_organization_model() is Organization


@pytest.mark.parametrize("value", ["High", "high", 2, "2"], ids=repr)
def test_a_priority_is_saved_and_filtered_by_label_or_number(value: Any) -> None:
    job = pending_job(priority="High")
    assert Job.objects.get(priority=value) == job
    kind = make_job_type(default_priority=value)
    assert JobType.objects.get(pk=kind.pk).default_priority == Priority.HIGH


def test_priorities_can_be_filtered_as_a_list_of_labels() -> None:
    job = pending_job(priority="Low")
    pending_job(priority="High")
    assert list(Job.objects.filter(priority__in=["Low", "Critical"])) == [job]


def test_an_unknown_priority_is_a_validation_error_that_names_the_labels() -> None:
    with pytest.raises(ValidationError, match="urgent") as caught:
        make_job_type(default_priority="urgent")
    assert all(word in str(caught.value) for word in Priority.words())


def test_a_filter_by_an_unknown_priority_is_an_error() -> None:
    with pytest.raises(ValueError, match="urgent"):
        Job.objects.filter(priority="urgent").exists()


def test_a_job_is_found_by_its_id() -> None:
    job = pending_job()
    assert Job.objects.by_id(job.name) == job


def test_the_year_is_part_of_the_id() -> None:
    job = pending_job()
    with pytest.raises(Job.DoesNotExist):
        Job.objects.by_id(f"JOB-1999-{job.pk:05d}")


def test_what_is_no_id_finds_no_job(subtests: pytest.Subtests) -> None:
    cases: list[Any] = ["", "nonsense", "JOB-2026-1", f"JOB-2026-{2**63 - 1}", None]
    for job_id in cases:
        with subtests.test(job_id=job_id), pytest.raises(Job.DoesNotExist):
            Job.objects.by_id(job_id)


def test_members_see_the_jobs_of_their_organizations_and_no_others() -> None:
    mine, other = make_organization(), make_organization()
    job, _ = pending_job(organization=mine), pending_job(organization=other)
    assert list(Job.objects.visible_to(make_user(member_of=[mine]))) == [job]


def test_system_admins_see_all_jobs_also_those_whose_organization_is_gone() -> None:
    organization = make_organization()
    job = pending_job(organization=organization)
    organization.delete()
    assert list(Job.objects.visible_to(make_system_admin())) == [job]


def test_anonymous_users_see_no_job() -> None:
    pending_job()
    assert not Job.objects.visible_to(AnonymousUser()).exists()


@pytest.mark.parametrize(
    "fields", [{"status": "Sleeping"}, {"progress": 101}, {"status": "Queued"}], ids=["status", "progress", "ready_at"]
)
def test_the_database_refuses_impossible_rows(fields: dict[str, Any]) -> None:
    job = pending_job()
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(pk=job.pk).update(**fields)


def test_a_type_that_has_jobs_cannot_be_deleted() -> None:
    job = job_in("Completed")
    with pytest.raises(ProtectedError):
        JobType.objects.get(pk=job.job_type_id).delete()


def test_deleting_a_tenant_touches_no_job() -> None:
    organization = make_organization()
    job = pending_job(organization=organization)
    organization.delete()
    assert Job.objects.get(pk=job.pk).organization_name == job.organization_name


def test_deleting_a_user_empties_the_owner_and_keeps_the_name() -> None:
    organization = make_organization()
    user = make_user("ada", member_of=[organization])
    job = pending_job(organization=organization, user=user)
    user.delete()
    job.refresh_from_db()
    assert (job.owner, job.owner_name) == (None, "ada")


def test_a_job_type_loads_from_a_fixture_like_the_quickstarts(tmp_path: Path) -> None:
    fields = {
        "display_name": "My Custom Job",
        "handler_method": "tests.support.handlers.do_nothing",
        "default_timeout": 120,
        "default_priority": "Normal",
        "max_retries": 3,
        "is_enabled": 1,
    }
    fixture = tmp_path / "job_type.json"
    fixture.write_text(json.dumps([{"model": "django_jobs.jobtype", "pk": "my_custom_job", "fields": fields}]))
    call_command("loaddata", str(fixture), verbosity=0)
    kind = JobType.objects.get(pk="my_custom_job")
    assert (kind.default_priority, kind.default_timeout, kind.max_retries) == (Priority.NORMAL, 120, 3)
    assert (kind.is_enabled, kind.is_paused, kind.retry_delay, kind.deduplication_window) == (True, False, 60, 300)


@pytest.mark.parametrize(
    "fields", [{"type_name": "1st"}, {"type_name": "a b"}, {"default_timeout": 0}, {"max_retries": 101}], ids=str
)
def test_an_impossible_job_type_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make_job_type(**fields)


def test_a_job_type_takes_its_defaults_from_the_settings(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "DEFAULT_TIMEOUT": 7, "MAX_RETRIES": 1, "RETRY_DELAY": 2}
    kind = make_job_type()
    assert (kind.default_timeout, kind.max_retries, kind.retry_delay) == (7, 1, 2)


def test_the_migrations_are_complete() -> None:
    call_command("makemigrations", "django_jobs", check=True, dry_run=True, verbosity=0)


JOB_FIELDS = """job_type organization organization_name owner owner_name status priority progress progress_message
    input_parameters metadata output_reference result error_message error_type retry_count max_retries next_retry_at
    run_at depends_on job_hash timeout_seconds created_at queued_at started_at completed_at canceled_at canceled_by
    cancel_requested_at attempt worker_name lease_expires_at"""
JOB_TYPE_FIELDS = """type_name display_name description handler_method default_timeout default_priority max_retries
    retry_delay is_enabled is_paused requires_permission deduplication_window rate_limit rate_limit_window"""
LOG_FIELDS = "job from_status to_status timestamp actor message attempt worker_name traceback"


@pytest.mark.parametrize(
    ("model", "fields"), [(Job, JOB_FIELDS), (JobType, JOB_TYPE_FIELDS), (ExecutionLog, LOG_FIELDS)]
)
def test_a_model_has_the_fields_of_the_contract(model: Any, fields: str) -> None:
    assert set(fields.split()) <= {field.name for field in model._meta.get_fields()}


def test_a_job_types_defaults_are_those_of_the_contract(settings: Any) -> None:
    settings.DJANGO_JOBS = {}
    kind = JobType()
    assert (kind.default_timeout, kind.default_priority, kind.max_retries, kind.retry_delay) == (300, 1, 5, 60)
    assert (kind.is_enabled, kind.is_paused, kind.requires_permission) == (True, False, "")
    assert (kind.deduplication_window, kind.rate_limit) == (300, None)
