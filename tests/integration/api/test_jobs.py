"""The routes of one job but for its output: status, history, cancel, retry, delete."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from rest_framework.test import APIClient

from django_jobs import get_job_history, get_job_status
from django_jobs.conf import output_storage
from django_jobs.models import ExecutionLog, Job, JobType, Organization
from tests.support.api import client_of, url_of
from tests.support.brokers import MemoryBroker, end, job_in, pending_job, returned, start
from tests.support.cases import rolled_back
from tests.support.factories import make_system_admin, make_user
from tests.support.outputs import finished_with_file
from tests.support.verbs import Deletion, Interpose


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
    return finished_with_file(organization, kind)


def test_a_status_has_the_fields_of_job_status(member: APIClient, organization: Organization, kind: JobType) -> None:
    job = job_in("Failed", job_type=kind, organization=organization)
    told = member.get(url_of(job)).json()
    expected = get_job_status(job.name).as_dict()
    assert told.keys() == {*expected, "waiting_reason"}
    assert (told["status"], told["error_message"], told["waiting_for"]) == ("Failed", "it failed", "retry")
    assert told["next_retry_at"] == expected["next_retry_at"].isoformat().replace("+00:00", "Z")


def test_why_a_job_waits_is_told_in_words_and_system_admins_what_lets_it_go(
    member: APIClient, system_admin: APIClient, organization: Organization, kind: JobType
) -> None:
    job = pending_job(kind, organization)
    JobType.objects.filter(pk=kind.pk).update(is_paused=True)
    told = [client.get(url_of(job)).json()["waiting_reason"] for client in (member, system_admin)]
    assert [reason["command"] for reason in told] == ["", f"manage.py jobs_resume {kind.pk}"]
    assert all(reason["text"] for reason in told)
    JobType.objects.filter(pk=kind.pk).update(is_paused=False)
    assert (
        member.get(url_of(job_in("Completed", job_type=kind, organization=organization))).json()["waiting_reason"]
        is None
    )


def test_what_is_no_job_is_not_found(
    subtests: pytest.Subtests, member: APIClient, organization: Organization, kind: JobType
) -> None:
    job_ids: list[str] = [
        "JOB-2026-99999",
        "JOB-1999-00001",
        "nonsense",
        "1",
        "JOB-2026-1",
        "%00",
        "JOB-2026-99999999999999999999",
    ]
    paths: list[tuple[str, ...]] = [(), ("history",), ("output",)]
    pending_job(kind, organization)
    for job_id in job_ids:
        for path in paths:
            with subtests.test(job_id=job_id, path=path):
                answer = member.get(url_of(job_id, *path))
                assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_history_tells_what_happened_in_order(member: APIClient, organization: Organization, kind: JobType) -> None:
    job = job_in("Completed", job_type=kind, organization=organization)
    told = member.get(url_of(job, "history")).json()
    assert told["job_id"] == job.name
    assert [row["to_status"] for row in told["history"]] == ["Pending", "Queued", "Running", "Completed"]
    assert set(told["history"][0]) == {
        "id",
        "from_status",
        "to_status",
        "timestamp",
        "actor",
        "actor_kind",
        "message",
        "attempt",
    }
    assert [row["id"] for row in told["history"]] == [row["id"] for row in get_job_history(job)]


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
    told = answer.json()
    assert job.name in told.pop("detail")
    assert told == {
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


def test_an_ended_job_is_deleted_with_all_that_is_its_own(
    system_admin: APIClient, with_file: Job, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        answer = system_admin.delete(url_of(with_file))
    assert (answer.status_code, answer.content) == (204, b"")
    assert not Job.objects.exists()
    assert not ExecutionLog.objects.exists()
    assert not output_storage().exists(with_file.output_reference)


def test_a_job_that_has_not_ended_is_not_deleted(subtests: pytest.Subtests, system_admin: APIClient) -> None:
    for status in ("Pending", "Queued", "Running", "Failed", "Timed Out"):
        with rolled_back(subtests, status=status):
            answer = system_admin.delete(url_of(job_in(status)))
            assert (answer.status_code, answer.json()["code"], answer.json()["verb"]) == (
                409,
                "invalid_transition",
                "delete",
            )
            assert Job.objects.exists()


def test_a_deletion_that_was_in_vain_is_not_recorded(system_admin: APIClient, interpose: Interpose) -> None:
    interpose("delete_job_rows", lambda *_, **__: Deletion([], []))
    assert system_admin.delete(url_of(job_in("Completed"))).status_code == 409
    assert not LogEntry.objects.exists()


def test_a_members_unfinished_child_keeps_no_parent_that_a_system_admin_deletes(
    system_admin: APIClient, organization: Organization, kind: JobType
) -> None:
    parent = pending_job(kind, organization)
    child = pending_job(kind, organization, depends_on=parent, user=make_user(member_of=[organization]))
    end(returned(start(parent)))
    assert system_admin.delete(url_of(parent)).status_code == 204
    assert list(Job.objects.all()) == [child]
