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
    rates = dict.fromkeys(["submit", "status", "list", "search", "cancel", "metrics"])
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "THROTTLE_RATES": rates}
    pending_job(kind, organization)
    return client_of(make_system_admin())


def send(client: APIClient, path: str, content: Any) -> int:
    """As JSON that escapes what UTF-8 cannot say."""
    return client.post(path, json.dumps(content), content_type="application/json").status_code


def test_an_id_of_no_job_is_not_found(subtests: pytest.Subtests, client: APIClient) -> None:
    for job_id in IDS:
        with subtests.test(job_id=job_id):
            path = f"/api/jobs/{quote(job_id, errors='replace')}/"
            assert {client.get(path + more).status_code for more in ("", "history/", "output/")} == {404}
            assert {client.post(path + more).status_code for more in ("cancel/", "retry/")} == {404}
            assert client.delete(path).status_code == 404
            calls = ("get_job_status", "get_job_history", "cancel_job", "retry_job")
            assert {send(client, METHODS + call, {"job_id": job_id}) for call in calls} == {404}


def test_an_id_of_no_job_is_no_parent(
    subtests: pytest.Subtests, client: APIClient, kind: JobType, organization: Organization
) -> None:
    for job_id in IDS:
        with subtests.test(job_id=job_id):
            body = {"job_type": kind.pk, "organization": organization.name, "depends_on": job_id}
            assert send(client, "/api/jobs/", body) == 400
            assert send(client, "/api/jobs/bulk/", [body]) == 400
            assert send(client, f"{METHODS}submit_job", body) == 400


def test_a_list_is_asked_for_by_any_text(subtests: pytest.Subtests, client: APIClient) -> None:
    for name in ("job_id", "search", "owner", "organization", "job_type"):
        for value in IDS:
            with subtests.test(name=name, value=value):
                assert send(client, f"{METHODS}list_jobs", {name: value}) in {200, 400}
                assert client.get("/api/jobs/", {name: value.encode(errors="replace")}).status_code in {200, 400}


def test_a_list_is_asked_for_by_any_moment(subtests: pytest.Subtests, client: APIClient, settings: Any) -> None:
    for name in ("created_after", "created_before"):
        for value in MOMENTS:
            for zone in ("UTC", "Asia/Tokyo", "America/New_York"):
                with subtests.test(name=name, value=value, zone=zone):
                    settings.TIME_ZONE = zone
                    assert send(client, f"{METHODS}list_jobs", {name: value}) in {200, 400}


def test_a_list_is_asked_for_from_the_beginning_to_the_end_of_time(client: APIClient) -> None:
    span = {"created_after": "0001-01-01", "created_before": "9999-12-31T23:59:59Z"}
    assert client.get("/api/jobs/", span).json()["count"] == 1
