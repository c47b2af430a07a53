"""The members' page of the example project: who may come in, what they see, and what they start."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from django_jobs import create_batch, submit_job
from django_jobs.models import Job, JobType, Organization
from tests.support.admin import client_of
from tests.support.factories import PASSWORD, make_job_type, make_organization, make_user
from tests.support.members_page import REPORT, page_of, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


@pytest.fixture
def member(organization: Organization) -> Client:
    return client_of(make_user("alice", member_of=[organization]))


# -- who may come in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/shop/ORG-2025-00001/"])
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


def test_another_organizations_page_is_not_there_and_starts_nothing(organization: Organization) -> None:
    other = client_of(make_user(member_of=[make_organization()]))

    assert other.get(page_of(organization)).status_code == 404
    assert other.post(page_of(organization), REPORT).status_code == 404
    assert not Job.objects.exists()


def test_members_of_several_organizations_choose(organization: Organization) -> None:
    second = make_organization()
    user = make_user(member_of=[organization, second])

    text = text_of(client_of(user).get(page_of(second)))

    assert f'<a href="{page_of(organization)}">' in text
    assert f'<a href="{page_of(second)}" aria-current="page">' in text


def test_superusers_see_every_organization(organization: Organization) -> None:
    assert client_of(make_user(is_superuser=True)).get(page_of(organization)).status_code == 200


# -- what they see -----------------------------------------------------------------------------------------------------


def test_the_organizations_jobs_are_shown_and_nobody_elses(member: Client, organization: Organization) -> None:
    kind = make_job_type()
    ours, theirs = submit_job(kind, organization), submit_job(kind, make_organization())

    text = text_of(member.get(page_of(organization)))

    assert f'<li id="{ours.name}"' in text
    assert f'room="org:{organization.name}"' in text
    assert theirs.name not in text


def test_a_batch_stands_for_its_statements(member: Client, organization: Organization) -> None:
    with create_batch(organization, name="Statements") as batch:
        job = batch.submit("customer_statement", {"customer": 1})
    create_batch(make_organization(), name="Theirs")

    text = text_of(member.get(page_of(organization)))

    assert f'<li id="{batch.batch_id}"' in text
    assert job.name not in text
    assert "Theirs" not in text


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

    assert not re.search(r"<script(?![^>]*( src=| type=\"application/json\"))| style=|<style| on\w+=|https?://", text)


# -- what they start ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("job_type", ["pdf_generation", "bulk_statements", "catalog_publish"])
def test_a_button_starts_its_job_for_the_member_and_confirms_it(
    member: Client, organization: Organization, job_type: str
) -> None:
    assert f'value="{job_type}"' in text_of(member.get(page_of(organization)))
    response = member.post(page_of(organization), {"job_type": job_type}, follow=True)

    job = Job.objects.get()
    assert response.redirect_chain == [(page_of(organization), 302)]
    assert (job.owner_name, job.job_type_id, job.organization_id) == ("alice", job_type, organization.pk)
    assert re.search(rf'role="status">{job.name}', text_of(response))


def refused(member: Client, organization: Organization, job_type: str = "pdf_generation") -> str:
    """The page after a button was pressed in vain."""
    before = Job.objects.count()
    text = text_of(member.post(page_of(organization), {"job_type": job_type}, follow=True))
    assert ('role="alert"' in text, Job.objects.count()) == (True, before)
    return text


def test_the_same_work_and_too_much_of_it_are_refused(
    member: Client, organization: Organization, settings: Any
) -> None:
    member.post(page_of(organization), REPORT)
    refused(member, organization)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_BACKLOG_PER_ORGANIZATION": 1}
    refused(member, organization, "bulk_statements")


@pytest.mark.parametrize("job_type", ["", "unknown", "customer_statement"])
def test_what_is_not_for_members_is_refused(member: Client, organization: Organization, job_type: str) -> None:
    refused(member, organization, job_type)


def test_a_suspended_organization_starts_nothing(member: Client, organization: Organization) -> None:
    Organization.objects.filter(pk=organization.pk).update(is_active=False)

    refused(member, organization)


def test_what_requires_a_permission_is_refused_without_it(member: Client, organization: Organization) -> None:
    JobType.objects.filter(pk="pdf_generation").update(requires_permission="shop.add_order")

    refused(member, organization)
