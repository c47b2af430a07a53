"""Values that once were a server's error, or nearly, wherever they may be given: each has an answer."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import quote

import pytest
from rest_framework.test import APIClient

from django_jobs.models import JobType, Organization
from tests.support.api import client_of
from tests.support.brokers import MemoryBroker, pending_job
from tests.support.factories import make_system_admin

METHODS: Final = "/api/method/dartwing.dartwing_core.api.jobs."
LARGEST: Final = 2**63 - 1
IDS: Final = [
    f"JOB-{'9' * 5000}-00001",
    f"JOB-2026-{'9' * 5000}",
    f"JOB-2026-{LARGEST}",
    f"JOB-2026-{LARGEST + 1}",
    "JOB-0000-00001",
    "JOB-9999-00001",
    "JOB-10000-00001",
    "JOB-2026-\ud800",
    "\x00",
]
MOMENTS: Final = ["0001-01-01", "9999-12-31", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+14:00", "\ud800"]


@pytest.fixture
def client(broker: MemoryBroker, kind: JobType, organization: Organization, settings: Any) -> APIClient:
    """A system admin whom no throttle stops."""
    rates = dict.fromkeys(["submit", "status", "list", "cancel", "metrics"])
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "THROTTLE_RATES": rates}
    pending_job(kind, organization)
    return client_of(make_system_admin())


def send(client: APIClient, path: str, content: Any) -> int:
    """As JSON that escapes what UTF-8 cannot say."""
    return client.post(path, json.dumps(content), content_type="application/json").status_code


@pytest.mark.parametrize("job_id", IDS, ids=lambda text: ascii(text)[:30])
def test_an_id_of_no_job_is_not_found(client: APIClient, job_id: str) -> None:
    path = f"/api/jobs/{quote(job_id, errors='replace')}/"
    assert {client.get(path + more).status_code for more in ("", "history/", "output/")} == {404}
    assert {client.post(path + more).status_code for more in ("cancel/", "retry/")} == {404}
    assert client.delete(path).status_code == 404
    calls = ("get_job_status", "get_job_history", "cancel_job", "retry_job")
    assert {send(client, METHODS + call, {"job_id": job_id}) for call in calls} == {404}


@pytest.mark.parametrize("job_id", IDS, ids=lambda text: ascii(text)[:30])
def test_an_id_of_no_job_is_no_parent(
    client: APIClient, kind: JobType, organization: Organization, job_id: str
) -> None:
    body = {"job_type": kind.pk, "organization": organization.name, "depends_on": job_id}
    assert send(client, "/api/jobs/", body) == 400
    assert send(client, "/api/jobs/bulk/", [body]) == 400
    assert send(client, f"{METHODS}submit_job", body) == 400


@pytest.mark.parametrize("name", ["job_id", "search", "owner", "organization", "job_type"])
@pytest.mark.parametrize("value", IDS, ids=lambda text: ascii(text)[:30])
def test_a_list_is_asked_for_by_any_text(client: APIClient, name: str, value: str) -> None:
    assert send(client, f"{METHODS}list_jobs", {name: value}) in {200, 400}
    assert client.get("/api/jobs/", {name: value.encode(errors="replace")}).status_code in {200, 400}


@pytest.mark.parametrize("name", ["created_after", "created_before"])
@pytest.mark.parametrize("value", MOMENTS, ids=ascii)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_a_list_is_asked_for_by_any_moment(client: APIClient, settings: Any, zone: str, name: str, value: str) -> None:
    settings.TIME_ZONE = zone
    assert send(client, f"{METHODS}list_jobs", {name: value}) in {200, 400}


def test_a_list_is_asked_for_from_the_beginning_to_the_end_of_time(client: APIClient) -> None:
    span = {"created_after": "0001-01-01", "created_before": "9999-12-31T23:59:59Z"}
    assert client.get("/api/jobs/", span).json()["count"] == 1
