"""Metrics."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from django_jobs.models import Organization
from tests.support.api import client_of, codes
from tests.support.brokers import MemoryBroker, job_in, pending_job
from tests.support.factories import make_organization, make_system_admin, make_user

METRICS = "/api/jobs/metrics/"
NAMES = {
    "job_count_by_status",
    "queue_depth_by_priority",
    "processing_time",
    "processing_time_by_type",
    "failure_rate_by_type",
    "active_workers",
    "throughput_per_minute",
    "oldest_waiting_seconds",
    "timestamp",
}


@pytest.fixture
def client(broker: MemoryBroker, organization: Organization) -> APIClient:
    return client_of(make_user("alice", member_of=[organization]))


def test_metrics_are_those_of_the_jobs_that_one_may_see(client: APIClient, organization: Organization) -> None:
    job_in("Completed", organization=organization)
    pending_job(None, organization, priority="High")
    pending_job()
    told = client.get(METRICS).json()
    assert told.keys() == NAMES
    assert (told["job_count_by_status"]["Completed"], told["job_count_by_status"]["Pending"]) == (1, 1)
    assert told["queue_depth_by_priority"] == {"Critical": 0, "High": 1, "Normal": 0, "Low": 0}


def test_system_admins_measure_everything_or_one_organization(broker: MemoryBroker, organization: Organization) -> None:
    pending_job(None, organization)
    pending_job()
    client = client_of(make_system_admin())
    everything = client.get(METRICS).json()["job_count_by_status"]["Pending"]
    one = client.get(METRICS, {"organization": organization.name}).json()["job_count_by_status"]["Pending"]
    assert (everything, one) == (2, 1)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"organization": "ORG-1999-00001"}, "organization"),
        ({"organization": "a\x00"}, "organization"),
        ({"a": 1}, "a"),
    ],
)
def test_bad_parameters_are_refused_by_name(client: APIClient, query: dict[str, Any], field: str) -> None:
    answer = client.get(METRICS, query)
    assert (answer.status_code, list(answer.json())) == (400, [field])


def test_a_parameter_has_one_value(subtests: pytest.Subtests, organization: Organization, broker: MemoryBroker) -> None:
    client = client_of(make_system_admin())
    names = [organization.name, make_organization().name]
    job = pending_job(None, organization).name
    for path, query in (
        (METRICS, {"organization": names}),
        ("/api/job-types/", {"limit": ["1", "2"]}),
        ("/api/alerts/", {"is_open": ["true", "false"]}),
        ("/api/jobs/operations/", {"limit": ["1", "2"]}),
        (f"/api/jobs/{job}/history/", {"after": ["1", "2"]}),
        ("/api/schedules/preview/", {"every": ["60", "70"]}),
    ):
        with subtests.test(path=path):
            answer = client.get(path, query)
            assert (answer.status_code, codes(answer)) == (400, {next(iter(query)): ["given_twice"]})
