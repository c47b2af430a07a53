"""The routes of one job: status, history, output, cancel, retry, delete."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from rest_framework.test import APIClient

from django_jobs import get_job_history, get_job_status
from django_jobs.api.outputs import read_output
from django_jobs.conf import output_storage
from django_jobs.engine import outputs
from django_jobs.models import ExecutionLog, Job, JobType, Organization
from tests.support.api import client_of, url_of
from tests.support.brokers import MemoryBroker, end, job_in, pending_job, returned, start
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.statements import statements_of

CONTENT = b"<script>alert(1)</script>"


@pytest.fixture
def organization() -> Organization:
    return make_organization()


@pytest.fixture
def kind() -> JobType:
    return make_job_type()


@pytest.fixture
def member(broker: MemoryBroker, organization: Organization) -> APIClient:
    return client_of(make_user(member_of=[organization]))


@pytest.fixture
def admin(broker: MemoryBroker, organization: Organization) -> APIClient:
    return client_of(make_user(admin_of=[organization]))


@pytest.fixture
def system_admin(broker: MemoryBroker) -> APIClient:
    return client_of(make_system_admin())


@pytest.fixture
def with_file(broker: MemoryBroker, organization: Organization, kind: JobType) -> Job:
    """A completed job that has saved a file."""
    job = pending_job(kind, organization)
    reference = outputs.save(organization.pk, job.name, "report.html", CONTENT)
    return end(returned(start(job), {"output_reference": reference, "rows": 3}, reference))


def body_of(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def test_a_status_has_the_fields_of_job_status(member: APIClient, organization: Organization, kind: JobType) -> None:
    job = job_in("Failed", job_type=kind, organization=organization)
    told = member.get(url_of(job)).json()
    expected = get_job_status(job.name).as_dict()
    assert told.keys() == expected.keys()
    assert (told["status"], told["error_message"], told["waiting_for"]) == ("Failed", "it failed", "retry")
    assert told["next_retry_at"] == expected["next_retry_at"].isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    "job_id",
    ["JOB-2026-99999", "JOB-1999-00001", "nonsense", "1", "JOB-2026-1", "%00", "JOB-2026-99999999999999999999"],
)
@pytest.mark.parametrize("path", [(), ("history",), ("output",)])
def test_what_is_no_job_is_not_found(
    member: APIClient, organization: Organization, kind: JobType, job_id: str, path: tuple[str, ...]
) -> None:
    pending_job(kind, organization)
    answer = member.get(url_of(job_id, *path))
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_history_tells_what_happened_in_order(member: APIClient, organization: Organization, kind: JobType) -> None:
    job = job_in("Completed", job_type=kind, organization=organization)
    told = member.get(url_of(job, "history")).json()
    assert told["job_id"] == job.name
    assert [row["to_status"] for row in told["history"]] == ["Pending", "Queued", "Running", "Completed"]
    assert set(told["history"][0]) == {"id", "from_status", "to_status", "timestamp", "actor", "message", "attempt"}
    assert [row["id"] for row in told["history"]] == [row["id"] for row in get_job_history(job)]


def test_an_output_is_a_download_that_no_browser_runs_or_keeps(member: APIClient, with_file: Job) -> None:
    answer = member.get(url_of(with_file, "output"), HTTP_ACCEPT="application/pdf")
    assert (answer.status_code, body_of(answer)) == (200, CONTENT)
    assert answer["Content-Disposition"] == 'attachment; filename="report.html"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cache-Control"] == "private, no-store"
    assert answer["Content-Length"] == str(len(CONTENT))


def test_an_output_is_sent_piece_by_piece_under_asgi(
    with_file: Job, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_jobs.api.outputs.Download.block_size", 10)
    answer = read_output(with_file, make_user(member_of=[organization]))

    async def read() -> list[bytes]:
        return [chunk async for chunk in answer]

    with contextlib.closing(answer):
        assert async_to_sync(read)() == [CONTENT[:10], CONTENT[10:20], CONTENT[20:]]


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
    assert (told["result"], told["output_reference"]) == (None, None)
    assert (refused.status_code, refused.json()["code"]) == (403, "organization_inactive")

    Organization.objects.filter(pk=organization.pk).update(is_active=True)
    assert caller.get(url_of(with_file)).json()["result"]["rows"] == 3
    assert body_of(caller.get(url_of(with_file, "output"))) == CONTENT


def test_a_policy_may_keep_outputs_from_people(
    member: APIClient, with_file: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_jobs.engine.access.AccessPolicy.can_read_output", lambda *args: False)
    answer = member.get(url_of(with_file, "output"))
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


def test_a_waiting_job_is_canceled_at_once_and_again(
    admin: APIClient, organization: Organization, kind: JobType
) -> None:
    job = pending_job(kind, organization)
    first, second = admin.post(url_of(job, "cancel")), admin.post(url_of(job, "cancel"))
    assert (first.status_code, first.json()["status"]) == (200, "Canceled")
    assert (second.status_code, second.json()) == (200, first.json())


def test_a_running_job_is_asked_to_stop(admin: APIClient, organization: Organization, kind: JobType) -> None:
    job = job_in("Running", job_type=kind, organization=organization)
    for _ in range(2):
        answer = admin.post(url_of(job, "cancel"))
        assert (answer.status_code, answer.json()["cancel_requested"]) == (202, True)
    assert ExecutionLog.objects.filter(job=job).count() == 3


@pytest.mark.parametrize("status", ["Completed", "Dead Letter"])
def test_a_job_that_ended_is_not_canceled(
    admin: APIClient, organization: Organization, kind: JobType, status: str
) -> None:
    job = job_in(status, job_type=kind, organization=organization)
    answer = admin.post(url_of(job, "cancel"))
    assert answer.status_code == 409
    assert answer.json() == {
        "detail": f"Cannot cancel {job.name}: it is {status}.",
        "code": "invalid_transition",
        "job_id": job.name,
        "status": status,
        "verb": "cancel",
    }


@pytest.mark.parametrize("status", ["Dead Letter", "Failed", "Timed Out"])
def test_a_job_that_failed_is_retried(admin: APIClient, organization: Organization, kind: JobType, status: str) -> None:
    job = job_in(status, job_type=kind, organization=organization)
    answer = admin.post(url_of(job, "retry"))
    assert (answer.status_code, answer.json()["status"], answer.json()["error_message"]) == (200, "Pending", "")


@pytest.mark.parametrize("status", ["Pending", "Running", "Completed", "Canceled"])
def test_a_job_that_did_not_fail_is_not_retried(
    admin: APIClient, organization: Organization, kind: JobType, status: str
) -> None:
    job = job_in(status, job_type=kind, organization=organization)
    answer = admin.post(url_of(job, "retry"))
    assert (answer.status_code, answer.json()["verb"]) == (409, "retry")


@pytest.mark.parametrize("path", ["cancel", "retry"])
def test_fields_that_nobody_reads_are_refused(
    admin: APIClient, organization: Organization, kind: JobType, path: str
) -> None:
    job = job_in("Failed", job_type=kind, organization=organization)
    answer = admin.post(url_of(job, path), {"force": True}, "json")
    assert (answer.status_code, list(answer.json())) == (400, ["force"])
    assert Job.objects.get().status == "Failed"


def test_an_ended_job_is_deleted_with_all_that_is_its_own(system_admin: APIClient, with_file: Job) -> None:
    answer = system_admin.delete(url_of(with_file))
    assert (answer.status_code, answer.content) == (204, b"")
    assert not Job.objects.exists()
    assert not ExecutionLog.objects.exists()
    assert not output_storage().exists(with_file.output_reference)


@pytest.mark.parametrize("status", ["Pending", "Queued", "Running", "Failed", "Timed Out"])
def test_a_job_that_has_not_ended_is_not_deleted(system_admin: APIClient, status: str) -> None:
    answer = system_admin.delete(url_of(job_in(status)))
    assert (answer.status_code, answer.json()["code"], answer.json()["verb"]) == (409, "invalid_transition", "delete")
    assert Job.objects.exists()


def test_a_parent_of_unfinished_children_is_not_deleted(
    system_admin: APIClient, organization: Organization, kind: JobType
) -> None:
    parent = pending_job(kind, organization)
    pending_job(kind, organization, depends_on=parent)
    end(returned(start(parent)))
    answer = system_admin.delete(url_of(parent))
    assert answer.status_code == 409
    assert re.search("unfinished jobs depend on it", answer.json()["detail"])


@pytest.mark.parametrize("path", [(), ("history",)])
def test_reading_takes_few_statements(
    member: APIClient, organization: Organization, kind: JobType, path: tuple[str, ...]
) -> None:
    job = job_in("Pending", job_type=kind, organization=organization)
    member.get(url_of(job))  # what a user may is remembered
    assert statements_of(lambda: member.get(url_of(job, *path))) <= 7


def test_a_job_of_a_deleted_tenant_is_seen_by_system_admins_alone(
    member: APIClient, system_admin: APIClient, with_file: Job, organization: Organization
) -> None:
    organization.delete()
    assert member.get(url_of(with_file)).status_code == 404
    assert system_admin.get(url_of(with_file)).json()["organization"] == organization.name
    assert body_of(system_admin.get(url_of(with_file, "output"))) == CONTENT
