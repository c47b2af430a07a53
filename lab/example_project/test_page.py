"""The members' page of the example project: who may come in, and what they see."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from django_jobs import submit_job
from django_jobs.models import Job, Organization
from tests.support.admin import client_of
from tests.support.factories import PASSWORD, make_job_type, make_organization, make_user
from tests.support.members_page import JANUARY, page_of, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


@pytest.fixture
def member(organization: Organization) -> Client:
    return client_of(make_user("alice", member_of=[organization]))


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


BELOW = ["", "rows/", "before/9/", "before/9/rows/", "jobs/JOB-2026-00001/", "groups/fax_send/1-9/"]


@pytest.mark.parametrize("below", BELOW)
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
