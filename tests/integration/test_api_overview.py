"""Metrics and socket tickets."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.core import signing
from rest_framework.test import APIClient

from django_jobs.engine.socket_tickets import make_ticket, read_ticket
from django_jobs.models import Organization
from tests.support.api import client_of
from tests.support.brokers import MemoryBroker, job_in, pending_job
from tests.support.factories import make_job_type, make_system_admin, make_user
from tests.support.statements import statements_of

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


def test_metrics_take_as_many_statements_for_many_jobs(client: APIClient, organization: Organization) -> None:
    kind = make_job_type()
    pending_job(kind, organization)
    client.get(METRICS)
    few = statements_of(lambda: client.get(METRICS))
    for _ in range(5):
        job_in("Completed", job_type=kind, organization=organization)
    assert statements_of(lambda: client.get(METRICS)) == few <= 14


def test_a_socket_ticket_names_its_user_for_a_minute(client: APIClient) -> None:
    answer = client.post("/api/jobs/socket-ticket/")
    assert (answer.json().keys(), answer.json()["expires_in"]) == ({"ticket", "expires_in"}, 60)
    assert str(read_ticket(answer.json()["ticket"])) == "alice"
    assert answer["Cache-Control"] == "no-store"


def test_a_ticket_fits_into_a_subprotocol() -> None:
    assert set(make_ticket(make_user())) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def test_a_ticket_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    ticket, now = make_ticket(make_user()), time.time()
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 61)
    assert read_ticket(ticket) is None


def test_a_ticket_of_a_deactivated_user_is_none() -> None:
    user = make_user()
    ticket = make_ticket(user)
    type(user).objects.update(is_active=False)
    assert read_ticket(ticket) is None


def test_a_ticket_of_a_deleted_user_is_none() -> None:
    user = make_user()
    ticket = make_ticket(user)
    user.delete()
    assert read_ticket(ticket) is None


@pytest.mark.parametrize("text", ["", "nonsense", "a:b:c", "\x00", "\udfff", signing.dumps("1"), signing.dumps([1])])
def test_any_other_text_is_no_ticket(text: str) -> None:
    make_user()
    assert read_ticket(text) is None
