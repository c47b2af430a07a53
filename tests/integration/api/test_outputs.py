"""GET jobs/{id}/output/: how a file is sent, what is no file, and from whom results are withheld."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from rest_framework.test import APIClient

from django_jobs import AccessPolicy
from django_jobs.conf import output_storage
from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.api import body_of, client_of, url_of
from tests.support.brokers import MemoryBroker, end, job_in, pending_job, returned, start
from tests.support.factories import make_system_admin, make_user
from tests.support.outputs import finished_with_file
from tests.support.verbs import Download

CONTENT = b"<script>alert(1)</script>"


@pytest.fixture
def member(broker: MemoryBroker, organization: Organization) -> APIClient:
    return client_of(make_user(member_of=[organization]))


@pytest.fixture
def system_admin(broker: MemoryBroker) -> APIClient:
    return client_of(make_system_admin())


@pytest.fixture
def with_file(broker: MemoryBroker, organization: Organization, kind: JobType) -> Job:
    return finished_with_file(organization, kind, filename="report.html", content=CONTENT)


def test_an_output_is_a_download_that_no_browser_runs_or_keeps(member: APIClient, with_file: Job) -> None:
    answer = member.get(url_of(with_file, "output"), HTTP_ACCEPT="application/pdf")
    assert (answer.status_code, body_of(answer)) == (200, CONTENT)
    assert answer["Content-Disposition"] == 'attachment; filename="report.html"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cache-Control"] == "private, no-store"
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer["Content-Length"] == str(len(CONTENT))


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("report.csv", "text/csv"),
        ("report.csv.gz", "application/gzip"),
        ("report.tar.xz", "application/x-xz"),
        ("report.unheard", "application/octet-stream"),
        ("report", "application/octet-stream"),
    ],
)
def test_an_output_is_of_the_type_that_its_bytes_have(
    member: APIClient, organization: Organization, kind: JobType, filename: str, expected: str
) -> None:
    answer = member.get(url_of(finished_with_file(organization, kind, filename=filename), "output"))
    assert answer["Content-Type"] == expected
    assert answer["Content-Disposition"] == f'attachment; filename="{filename}"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    answer.close()


def test_an_output_is_sent_piece_by_piece_under_asgi(
    with_file: Job, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Download, "block_size", 10)
    answer = verbs.read_output(with_file, verbs.Scope(make_user(member_of=[organization])))

    async def read() -> list[bytes]:
        return [chunk async for chunk in answer]

    with contextlib.closing(answer):
        assert async_to_sync(read)() == [CONTENT[:10], CONTENT[10:20], CONTENT[20:]]


def test_what_a_middleware_puts_in_the_place_of_an_output_is_sent_under_asgi(
    with_file: Job, organization: Organization
) -> None:
    answer: Any = verbs.read_output(with_file, verbs.Scope(make_user(member_of=[organization])))

    async def upper() -> AsyncIterator[bytes]:
        for chunk in (CONTENT[:10], CONTENT[10:]):
            yield chunk.upper()

    async def read() -> list[bytes]:
        return [chunk async for chunk in answer]

    with contextlib.closing(answer):
        answer.streaming_content = upper()
        assert async_to_sync(read)() == [CONTENT[:10].upper(), CONTENT[10:].upper()]


def test_a_job_without_a_file_has_no_output(member: APIClient, organization: Organization, kind: JobType) -> None:
    answer = member.get(url_of(job_in("Completed", job_type=kind, organization=organization), "output"))
    assert (answer.status_code, answer.json()["code"]) == (404, "no_output")


@pytest.mark.parametrize("reference", ["https://example.com/a.pdf", "../../etc/passwd", "/etc/passwd", "reports/a.pdf"])
def test_a_reference_that_is_mere_text_is_not_served(
    member: APIClient, organization: Organization, kind: JobType, reference: str
) -> None:
    job = end(returned(start(pending_job(kind, organization)), {"output_reference": reference}, reference))
    assert member.get(url_of(job)).json()["output_reference"] == reference
    assert member.get(url_of(job, "output")).json()["code"] == "no_output"


def test_another_jobs_file_is_not_served(member: APIClient, organization: Organization, with_file: Job) -> None:
    reference = with_file.output_reference
    job = end(returned(start(pending_job(with_file.job_type, organization)), None, reference))
    assert member.get(url_of(job, "output")).json()["code"] == "no_output"


def test_a_file_that_is_gone_is_no_output(member: APIClient, with_file: Job) -> None:
    output_storage().delete(with_file.output_reference)
    assert member.get(url_of(with_file, "output")).json()["code"] == "no_output"


@pytest.mark.parametrize("client", ["member", "system_admin"])
def test_a_suspended_organizations_results_are_withheld(
    client: str, with_file: Job, organization: Organization, request: pytest.FixtureRequest
) -> None:
    Organization.objects.filter(pk=organization.pk).update(is_active=False)
    caller = request.getfixturevalue(client)
    told, refused = caller.get(url_of(with_file)).json(), caller.get(url_of(with_file, "output"))
    (listed,) = caller.get("/api/jobs/", {"fields": "result"}).json()["results"]
    assert [(row["result"], row["output_reference"]) for row in (told, listed)] == [(None, None)] * 2
    assert (refused.status_code, refused.json()["code"]) == (403, "organization_inactive")

    Organization.objects.filter(pk=organization.pk).update(is_active=True)
    assert caller.get(url_of(with_file)).json()["result"]["rows"] == 3
    assert body_of(caller.get(url_of(with_file, "output"))) == CONTENT


def test_a_policy_may_keep_outputs_from_people(
    member: APIClient, with_file: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AccessPolicy, "can_read_output", lambda *args: False)
    answer = member.get(url_of(with_file, "output"))
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


def test_a_job_of_a_deleted_tenant_is_seen_by_system_admins_alone(
    member: APIClient, system_admin: APIClient, with_file: Job, organization: Organization
) -> None:
    organization.delete()
    assert member.get(url_of(with_file)).status_code == 404
    assert system_admin.get(url_of(with_file)).json()["organization"] == organization.name
    assert body_of(system_admin.get(url_of(with_file, "output"))) == CONTENT
