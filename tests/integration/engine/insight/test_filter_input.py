"""A filter as it comes from outside: organizations by their ids, a text to search for, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs.exceptions import InvalidFilter
from django_jobs.models import Job, JobType, Organization
from tests.support.brokers import job_in, pending_job
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.refusals import refused
from tests.support.verbs import JobFilter

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def mine() -> Organization:
    return make_organization(name="ORG-MINE")


@pytest.fixture
def mails() -> JobType:
    return make_job_type(type_name="mails")


def test_from_outside_organizations_are_named_by_their_ids(mine: Organization) -> None:
    assert JobFilter.read({"organization": "ORG-MINE"}).organization == (mine.pk,)


def test_another_tenants_organization_is_refused_like_an_unknown_one(mine: Organization) -> None:
    theirs = make_organization()
    stranger = make_user(member_of=[theirs])
    for given in ("ORG-MINE", [theirs.name, "ORG-MINE"]):
        with refused(InvalidFilter, {"organization": ["unknown_organization"]}):
            JobFilter.read({"organization": given}, stranger)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"color": "red"}, "color"),
        ({"organization_pk": [1]}, "organization_pk"),
        ({"status": "Dead"}, "status"),
        ({"status": ["Failed"] * 501}, "status"),
        ({"priority": "Huge"}, "priority"),
        ({"job_id": "17"}, "job_id"),
        ({"batch": "B"}, "batch"),
        ({"created_after": "yesterday"}, "created_after"),
        ({"owner": 5}, "owner"),
        ({"owner": "x" * 201}, "owner"),
        ({"error": "\x00"}, "error"),
        ({"all": "yes"}, "all"),
        ({"parameters": "no colon"}, "parameters"),
        ({"parameters": {"a": {"b": 1}}}, "parameters"),
        ({"operation": "1; DROP TABLE"}, "operation"),
        *(({"status": "Failed", name: ""}, name) for name in ("organization", "owner", "search")),
        ({"status": "Failed", "owner": " "}, "owner"),
        *(({"status": "Failed", name: []}, name) for name in ("organization", "job_type", "parameters")),
        ({"status": "Failed", "job_type": ["", " "]}, "job_type"),
        ({"status": "Failed", "parameters": {}}, "parameters"),
        (["status"], "filters"),
        (None, "filters"),
    ],
    ids=str,
)
def test_what_is_forged_or_unknown_is_named(given: Any, name: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        JobFilter.read(given)
    assert list(caught.value.errors) == [name]


def test_a_text_that_is_searched_for_is_a_job_id_or_a_part_of_an_error(mails: JobType) -> None:
    job, dead = pending_job(job_type=mails), job_in("Dead Letter", job_type=mails)
    Job.objects.filter(pk=dead.pk).update(error_message="connection refused")
    assert list(JobFilter.read({"search": job.name}).queryset()) == [job]
    assert list(JobFilter.read({"search": "refused"}).queryset()) == [dead]


def test_a_name_without_a_value_is_not_given(mails: JobType) -> None:
    given = {"job_type": mails.pk, "organization": None, "owner": None}
    assert JobFilter.read(given).as_json() == {"job_type": [mails.pk]}
    assert JobFilter.read({"error_fingerprint": ""}).as_json() == {"error_fingerprint": ""}
