"""Searches that take too long are given up, with what to do instead."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from django_jobs.models import Job, Organization
from tests.support.api import client_of
from tests.support.brokers import job_in
from tests.support.factories import make_user
from tests.support.job_copies import copies
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")

LIST = "/api/jobs/"
METHOD = "/api/method/dartwing.dartwing_core.api.jobs.list_jobs"


@pytest.fixture
def boss(organization: Organization, tuning: Tuning) -> APIClient:
    """Somebody with so much to search that no database does it in no time."""
    copies(job_in("Dead Letter", organization=organization), 200)
    Job.objects.update(error_message="no " * 10_000)
    tuning.set(counting_statement_seconds=0.0)
    return client_of(make_user(admin_of=[organization]))


@pytest.mark.parametrize("given", [{"error": "route"}, {"search": "route"}, {"has_error": True, "owner": "nobody"}])
def test_an_operation_on_what_takes_too_long_to_find_is_refused(boss: APIClient, given: dict[str, Any]) -> None:
    for is_dry in (True, False):
        body = {"action": "retry", "filters": given, "dry_run": is_dry}
        answer = boss.post(f"{LIST}operations/", body, "json")
        assert (answer.status_code, list(answer.json())) == (400, ["filters"])


def test_a_search_that_takes_too_long_is_refused_by_name(boss: APIClient) -> None:
    answer = boss.get(LIST, {"search": "route"})
    assert (answer.status_code, list(answer.json())) == (400, ["search"])
    answer = boss.get(METHOD, {"search": "route"})
    assert (answer.status_code, answer.json()["exc_type"]) == (400, "ValidationError")


def test_what_an_index_finds_has_no_such_bound(boss: APIClient) -> None:
    job = Job.objects.latest("pk")
    for query in ({}, {"search": job.name}, {"search": " "}, {"status": "Dead Letter"}):
        assert boss.get(LIST, query).status_code == 200
