"""The forms of the example project's page: what members start with them, and how a refusal is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from django_jobs.models import Job, JobType, Organization
from example_project.shop.models import Upload
from tests.support.admin import client_of
from tests.support.factories import make_user
from tests.support.members_page import JANUARY, page_of, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


@pytest.fixture
def member(organization: Organization) -> Client:
    return client_of(make_user("alice", member_of=[organization]))


def csv_file(content: bytes = b"name,email,city\n", name: str = "new.csv") -> dict[str, Any]:
    return {"job_type": "csv_import", "csv_import-file": SimpleUploadedFile(name, content)}


def test_a_report_is_started_for_the_member(member: Client, organization: Organization) -> None:
    response = member.post(page_of(organization), JANUARY)

    job = Job.objects.get()
    assert response.headers["Location"] == page_of(organization)
    assert (job.owner_name, job.job_type_id, job.organization_id) == ("alice", "pdf_generation", organization.pk)
    assert job.input_parameters["date_range"] == ["2025-01-01", "2025-01-31"]


def test_the_start_is_confirmed(member: Client, organization: Organization) -> None:
    response = member.post(page_of(organization), JANUARY, follow=True)

    assert f"{Job.objects.get().name} was started." in text_of(response)


def test_an_import_is_started_with_the_uploaded_file(member: Client, organization: Organization) -> None:
    member.post(page_of(organization), csv_file())

    assert Job.objects.get().input_parameters == {"upload": Upload.objects.get(organization=organization).pk}


def refused(response: Any) -> str:
    assert (response.status_code, Job.objects.count()) == (422, 0)
    return text_of(response)


def test_the_engines_errors_stand_by_their_field(member: Client, organization: Organization) -> None:
    text = refused(member.post(page_of(organization), {**JANUARY, "pdf_generation-last_day": "2024-01-31"}))

    assert 'id="id_pdf_generation-last_day_error">2025-01-01 is after 2024-01-31.' in text


def test_an_empty_field_is_named_with_what_to_do(member: Client, organization: Organization) -> None:
    text = refused(member.post(page_of(organization), {**JANUARY, "pdf_generation-first_day": ""}))

    assert 'id="id_pdf_generation-first_day_error">Choose the first day.' in text


def test_what_is_no_csv_file_is_refused_and_not_kept(member: Client, organization: Organization) -> None:
    text = refused(member.post(page_of(organization), csv_file(name="new.exe")))

    assert "Choose a file whose name ends in .csv." in text
    assert not Upload.objects.exists()


def test_a_duplicate_is_answered_with_the_earlier_job(member: Client, organization: Organization) -> None:
    member.post(page_of(organization), JANUARY)

    response = member.post(page_of(organization), JANUARY)

    (job,) = Job.objects.all()
    assert f'<a href="{page_of(organization)}jobs/{job.name}/">See {job.name}</a>' in text_of(response)


def test_a_limit_says_when_to_come_again(member: Client, organization: Organization) -> None:
    JobType.objects.filter(pk="pdf_generation").update(rate_limit=1, rate_limit_window=60)
    member.post(page_of(organization), JANUARY)

    response = member.post(page_of(organization), {**JANUARY, "pdf_generation-last_day": "2025-01-30"})

    assert re.search(r"Try again in \d+ seconds?\.", text_of(response))


def test_too_many_waiting_jobs_say_when_to_come_again(
    member: Client, organization: Organization, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_BACKLOG_PER_ORGANIZATION": 1}
    member.post(page_of(organization), JANUARY)

    text = text_of(member.post(page_of(organization), {**JANUARY, "pdf_generation-last_day": "2025-01-30"}))

    assert "Too many jobs of your organization are waiting." in text
    assert re.search(r"Try again in \d+ seconds?\.", text)


def test_a_suspended_organization_starts_nothing(member: Client, organization: Organization) -> None:
    Organization.objects.filter(pk=organization.pk).update(is_active=False)

    assert "This organization is not active." in refused(member.post(page_of(organization), JANUARY))


def test_what_requires_a_permission_looks_unknown_without_it(member: Client, organization: Organization) -> None:
    JobType.objects.filter(pk="pdf_generation").update(requires_permission="shop.add_order")

    assert "There is no job type" in refused(member.post(page_of(organization), JANUARY))


def test_the_file_of_a_refused_import_is_not_kept(
    member: Client, organization: Organization, settings: Any, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path
    Organization.objects.filter(pk=organization.pk).update(is_active=False)

    refused(member.post(page_of(organization), csv_file()))

    assert not Upload.objects.exists()
    assert list(tmp_path.rglob("*.csv")) == []
