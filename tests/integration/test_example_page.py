"""The members' page of the example project."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from django_jobs import submit_job
from django_jobs.models import Job, JobType, Organization
from example_project.shop.models import Upload
from tests.support.factories import PASSWORD, make_job_type, make_organization, make_user

pytestmark = pytest.mark.usefixtures("broker")

JANUARY = {
    "job_type": "pdf_generation",
    "pdf_generation-first_day": "2025-01-01",
    "pdf_generation-last_day": "2025-01-31",
}


@pytest.fixture
def organization() -> Organization:
    return make_organization()


@pytest.fixture
def member(organization: Organization) -> Client:
    return client_of(make_user("alice", member_of=[organization]))


def client_of(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page_of(organization: Organization) -> str:
    return f"/shop/{organization.name}/"


def text_of(response: Any) -> str:
    return str(response.content.decode())


def csv_file(content: bytes = b"name,email,city\n", name: str = "new.csv") -> dict[str, Any]:
    return {"job_type": "csv_import", "csv_import-file": SimpleUploadedFile(name, content)}


# -- who may come in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/shop/ORG-2025-00001/", "/shop/ORG-2025-00001/rows/"])
def test_strangers_are_asked_to_log_in(path: str) -> None:
    response = Client().get(path)

    assert (response.status_code, response.headers["Location"]) == (302, f"/login/?next={path}")


def test_logging_in_leads_to_the_page_that_was_asked_for(organization: Organization) -> None:
    make_user("alice", member_of=[organization])
    form = {"username": "alice", "password": PASSWORD, "next": page_of(organization)}

    assert Client().post("/login/", form).headers["Location"] == page_of(organization)


def test_a_wrong_password_is_said(organization: Organization) -> None:
    response = Client().post("/login/", {"username": "alice", "password": "wrong"})

    assert 'role="alert"' in text_of(response)


def test_logging_out_ends_the_session(member: Client) -> None:
    member.post("/logout/")

    assert member.get("/").headers["Location"] == "/login/?next=/"


def test_the_home_page_is_that_of_the_members_organization(member: Client, organization: Organization) -> None:
    assert member.get("/").headers["Location"] == page_of(organization)


def test_whoever_belongs_to_no_organization_is_told_so(organization: Organization) -> None:
    assert "No organization" in text_of(client_of(make_user()).get("/"))


@pytest.mark.parametrize("below", ["", "rows/"])
def test_another_organizations_page_is_not_there(organization: Organization, below: str) -> None:
    other = make_user(member_of=[make_organization()])

    assert client_of(other).get(page_of(organization) + below).status_code == 404


def test_nothing_is_started_for_another_organization(organization: Organization) -> None:
    client_of(make_user(member_of=[make_organization()])).post(page_of(organization), JANUARY)

    assert not Job.objects.exists()


def test_members_of_several_organizations_choose(organization: Organization) -> None:
    second = make_organization()
    user = make_user(member_of=[organization, second])

    text = text_of(client_of(user).get(page_of(second)))

    assert f'<a href="{page_of(organization)}">' in text
    assert f'<a href="{page_of(second)}" aria-current="page">' in text


def test_superusers_see_every_organization(organization: Organization) -> None:
    admin = client_of(make_user(is_superuser=True))

    assert admin.get(page_of(organization)).status_code == 200


# -- what they see -----------------------------------------------------------------------------------------------------


def test_the_organizations_jobs_are_shown_and_nobody_elses(member: Client, organization: Organization) -> None:
    kind = make_job_type()
    ours, theirs = submit_job(kind, organization), submit_job(kind, make_organization())

    text = text_of(member.get(page_of(organization)))

    assert f'job-id="{ours.name}"' in text
    assert theirs.name not in text


def test_each_job_listens_to_the_organizations_room(member: Client, organization: Organization) -> None:
    submit_job(make_job_type(), organization)

    assert f'room="org:{organization.name}"' in text_of(member.get(page_of(organization)))


def test_the_rows_alone_are_what_the_page_has(member: Client, organization: Organization) -> None:
    job = submit_job(make_job_type(), organization)

    text = text_of(member.get(page_of(organization) + "rows/"))

    assert text.strip().startswith(f'<li id="{job.name}"')


def test_statements_of_single_customers_are_shown_when_asked_for(member: Client, organization: Organization) -> None:
    job = submit_job("customer_statement", organization, {"customer": 1})

    assert job.name not in text_of(member.get(page_of(organization)))
    assert job.name in text_of(member.get(page_of(organization) + "?all=1"))


def test_jobs_that_ended_cost_no_statements_of_their_own(
    member: Client, organization: Organization, django_assert_max_num_queries: Any
) -> None:
    kind = make_job_type()
    for _ in range(20):
        job = submit_job(kind, organization)
        Job.objects.filter(pk=job.pk).update(status="Completed", ready_at=None)

    with django_assert_max_num_queries(16):
        member.get(page_of(organization))


@pytest.mark.parametrize("path", ["/login/", "/"])
def test_nothing_may_come_from_elsewhere(path: str) -> None:
    policy = Client().get(path).headers["Content-Security-Policy"]

    assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy


def test_the_page_keeps_to_its_policy(member: Client, organization: Organization) -> None:
    submit_job(make_job_type(), organization)

    text = text_of(member.get(page_of(organization)))

    assert not re.search(r"<script(?![^>]* src=)| style=|<style| on\w+=|https?://", text)


# -- what they start ---------------------------------------------------------------------------------------------------


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


def test_an_empty_field_is_named(member: Client, organization: Organization) -> None:
    text = refused(member.post(page_of(organization), {**JANUARY, "pdf_generation-first_day": ""}))

    assert 'id="id_pdf_generation-first_day_error">This field is required.' in text


def test_what_is_no_csv_file_is_refused_and_not_kept(member: Client, organization: Organization) -> None:
    refused(member.post(page_of(organization), csv_file(name="new.exe")))

    assert not Upload.objects.exists()


def test_a_duplicate_is_answered_with_the_earlier_job(member: Client, organization: Organization) -> None:
    member.post(page_of(organization), JANUARY)

    response = member.post(page_of(organization), JANUARY)

    (job,) = Job.objects.all()
    assert f'<a href="#{job.name}">See {job.name}</a>' in text_of(response)


def test_a_limit_says_when_to_come_again(member: Client, organization: Organization) -> None:
    JobType.objects.filter(pk="pdf_generation").update(rate_limit=1, rate_limit_window=60)
    member.post(page_of(organization), JANUARY)

    response = member.post(page_of(organization), {**JANUARY, "pdf_generation-last_day": "2025-01-30"})

    assert re.search(r"Try again in \d+ s\.", text_of(response))


def test_a_suspended_organization_starts_nothing(member: Client, organization: Organization) -> None:
    Organization.objects.filter(pk=organization.pk).update(is_active=False)

    assert "This organization is not active." in refused(member.post(page_of(organization), JANUARY))


def test_what_requires_a_permission_is_refused_without_it(member: Client, organization: Organization) -> None:
    JobType.objects.filter(pk="pdf_generation").update(requires_permission="shop.add_order")

    assert "You may not submit pdf_generation" in refused(member.post(page_of(organization), JANUARY))


def test_the_file_of_a_refused_import_is_not_kept(
    member: Client, organization: Organization, settings: Any, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path
    Organization.objects.filter(pk=organization.pk).update(is_active=False)

    refused(member.post(page_of(organization), csv_file()))

    assert not Upload.objects.exists()
    assert list(tmp_path.rglob("*.csv")) == []
