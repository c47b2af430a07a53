"""Counts beside the choices of the jobs list's filters: what they count, of what, and up to which bound."""

from __future__ import annotations

import pytest
from django.test import Client

from django_jobs.models import Job, Organization
from tests.support import admin
from tests.support.admin import codes_on, text, url
from tests.support.brokers import job_in, pending_job
from tests.support.factories import make_job_type, make_organization
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")
FAILED, RETRIED = "Dead Letter/Failed/Timed Out", "Failed/Timed Out"


@pytest.fixture
def member(mine: Organization) -> Client:
    return admin.staff_of(mine)


def counts(client: Client, **query: str) -> dict[str, dict[str, str]]:
    """What stands beside the choices that have a job, by filter."""
    changelist = client.get(url("job", "changelist"), query).context["cl"]
    return {
        spec.parameter_name: {"/".join(choice.values): count for choice, count in shown if count not in {"", "0"}}
        for spec in changelist.filter_specs
        if (found := changelist.counts.get(spec.parameter_name))
        and (shown := [(choice, found.of(choice)) for choice in spec.lookup_choices])
    }


def test_each_choice_has_the_jobs_that_it_leaves(root: Client) -> None:
    mails, faxes = make_job_type(type_name="mails"), make_job_type(type_name="faxes")
    one, two = make_organization(), make_organization()
    for status, kind, tenant, priority in (
        ("Dead Letter", mails, one, 3),
        ("Dead Letter", faxes, two, 1),
        ("Failed", faxes, one, 1),
        ("Running", mails, one, 1),
    ):
        job_in(status, job_type=kind, organization=tenant, priority=priority)
    assert counts(root) == {
        "status": {"Dead Letter": "2", "Failed": "1", "Running": "1", FAILED: "3", RETRIED: "1"},
        "job_type": {"mails": "2", "faxes": "2"},
        "organization": {one.name: "3", two.name: "1"},
        "priority": {"1": "3", "3": "1"},
    }
    assert counts(root, job_type="faxes") == {
        "status": {"Dead Letter": "1", "Failed": "1", FAILED: "2", RETRIED: "1"},
        "job_type": {"mails": "2", "faxes": "2"},
        "organization": {one.name: "1", two.name: "1"},
        "priority": {"1": "2"},
    }
    assert counts(root, status="Dead Letter") == {
        "status": {"Dead Letter": "2", "Failed": "1", "Running": "1", FAILED: "3", RETRIED: "1"},
        "job_type": {"mails": "1", "faxes": "1"},
        "organization": {one.name: "1", two.name: "1"},
        "priority": {"1": "1", "3": "1"},
    }
    narrowed = counts(root, organization=one.name, priority="1")
    assert narrowed["organization"] == {one.name: "2", two.name: "1"}
    assert narrowed["priority"] == {"1": "2", "3": "1"}
    assert narrowed["job_type"] == {"mails": "1", "faxes": "1"}
    assert counts(root, q="mails")["status"] == {"Dead Letter": "1", "Running": "1", FAILED: "1"}


def test_the_page_shows_them_beside_the_choices(root: Client) -> None:
    job_in("Dead Letter", organization=make_organization(name="ORG-ONE"), priority=3)
    page = text(root, url("job", "changelist"))
    assert 'ORG-ONE <span class="djobs-count">1</span>' in page
    assert 'Critical <span class="djobs-count">1</span>' in page
    assert 'Dead Letter <span class="djobs-count">1</span>' in page
    assert 'Canceled <span class="djobs-count">0</span>' in page


def test_jobs_of_others_are_not_counted(member: Client, mine: Organization, theirs: Organization) -> None:
    kind = make_job_type(type_name="mails")
    job_in("Dead Letter", job_type=kind, organization=mine)
    job_in("Dead Letter", job_type=kind, organization=theirs)
    assert counts(member) == {
        "status": {"Dead Letter": "1", FAILED: "1"},
        "job_type": {"mails": "1"},
        "organization": {mine.name: "1"},
        "priority": {"1": "1"},
    }
    nothing: dict[str, str] = {}
    assert counts(member, organization=theirs.name) == {
        "status": nothing,
        "job_type": nothing,
        "organization": {mine.name: "1"},
        "priority": nothing,
    }


def test_counting_ends_at_a_bound(root: Client, tuning: Tuning) -> None:
    tuning.set(counted_jobs_of_a_filter=1)
    for _ in range(3):
        pending_job()
    assert counts(root)["status"] == {"Pending": "1+"}


def test_only_the_newest_are_put_into_groups_and_the_page_says_so(root: Client, tuning: Tuning) -> None:
    old, new = make_job_type(type_name="old"), make_job_type(type_name="new")
    job_in("Canceled", job_type=old)
    for _ in range(2):
        job_in("Canceled", job_type=new)
    assert codes_on(text(root, url("job", "changelist"))) == []
    tuning.set(grouped_jobs_of_filters=2)
    assert counts(root)["job_type"] == {"new": "2+"}
    assert counts(root, status="Canceled")["job_type"] == {"new": "2+"}
    assert counts(root)["priority"] == {"1": "2+"}, "nothing of what was not found"
    Job.objects.update(error_message="it failed")
    assert counts(root, has_error="yes")["job_type"] == {"new": "2+"}
    response = root.get(url("job", "changelist"))
    assert response.context["cl"].counted_among == 2
    assert codes_on(response) == ["counted_newest"]


def test_the_chosen_filter_has_the_number_of_the_list(root: Client, tuning: Tuning) -> None:
    tuning.set(grouped_jobs_of_filters=1)
    for _ in range(3):
        job_in("Canceled")
    assert 'Canceled <span class="djobs-count">3</span>' in text(root, url("job", "changelist"), status="Canceled")
