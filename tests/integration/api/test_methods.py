"""The quickstart's calls, in its shapes."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
from django.test import TestCase
from rest_framework.test import APIClient

from django_jobs import get_job_status
from django_jobs.models import Job, JobType, Organization
from tests.support.api import client_of
from tests.support.brokers import MemoryBroker, job_in, pending_job
from tests.support.factories import make_job_type, make_user

PREFIX: Final = "/api/method/dartwing.dartwing_core.api.jobs."
READERS: Final = ("get_job_status", "get_job_history", "list_jobs", "get_job_metrics")


@pytest.fixture
def client(broker: MemoryBroker, organization: Organization) -> APIClient:
    return client_of(make_user("alice", admin_of=[organization]))


@pytest.fixture
def job(broker: MemoryBroker, kind: JobType, organization: Organization) -> Job:
    return pending_job(kind, organization)


def test_submit_job_answers_as_the_quickstart_says(
    client: APIClient, kind: JobType, organization: Organization
) -> None:
    body = {"job_type": kind.pk, "organization": organization.name, "parameters": {"n": 1}}
    answer = client.post(f"{PREFIX}submit_job", body, "json")
    job = Job.objects.get()
    assert (answer.status_code, answer.json()) == (
        200,
        {"message": {"job_id": job.name, "status": "Pending", "message": "Job submitted successfully"}},
    )
    assert (job.input_parameters, job.owner_name) == ({"n": 1}, "alice")


def test_submit_job_takes_a_forms_fields(client: APIClient, kind: JobType, organization: Organization) -> None:
    body = {"job_type": kind.pk, "organization": organization.name, "parameters": '{"n": 1}', "priority": "Low"}
    assert client.post(f"{PREFIX}submit_job", body).status_code == 200
    assert (Job.objects.get().input_parameters, Job.objects.get().priority) == ({"n": 1}, 0)


def test_submit_job_takes_fields_of_the_query(
    client: APIClient, kind: JobType, organization: Organization, job: Job
) -> None:
    other = pending_job(kind, organization)
    query = f"job_type={kind.pk}&organization={organization.name}&depends_on={job.name}&depends_on={other.name}"
    told = client.post(f"{PREFIX}submit_job?{query}").json()["message"]
    assert get_job_status(told["job_id"]).depends_on == [job.name, other.name]


@pytest.mark.parametrize("way", ["get", "form", "json", "query", "both"])
def test_get_job_status_takes_its_field_in_any_way(client: APIClient, job: Job, way: str) -> None:
    path, fields = f"{PREFIX}get_job_status", {"job_id": job.name}
    answers = {
        "get": lambda: client.get(path, fields),
        "form": lambda: client.post(path, fields),
        "json": lambda: client.post(path, fields, "json"),
        "query": lambda: client.post(f"{path}?job_id={job.name}"),
        "both": lambda: client.post(f"{path}?job_id=JOB-2026-99999", fields),
    }
    told = answers[way]().json()["message"]
    assert told.keys() == get_job_status(job.name).as_dict().keys()
    assert (told["job_id"], told["status"]) == (job.name, "Pending")


def test_get_job_history_answers_as_rest_does(client: APIClient, job: Job) -> None:
    told = client.get(f"{PREFIX}get_job_history", {"job_id": job.name}).json()["message"]
    assert told == client.get(f"/api/jobs/{job.name}/history/").json()


def test_get_job_metrics_answers_as_rest_does(client: APIClient, job: Job) -> None:
    told = client.get(f"{PREFIX}get_job_metrics").json()["message"]
    assert told.keys() == client.get("/api/jobs/metrics/").json().keys()
    assert told["job_count_by_status"]["Pending"] == 1


def test_list_jobs_gives_a_page_of_the_jobs_that_match(
    client: APIClient, kind: JobType, organization: Organization
) -> None:
    names = [pending_job(kind, organization).name for _ in range(3)]
    job_in("Failed", job_type=kind, organization=organization)
    query: dict[str, Any] = {
        "organization": organization.name,
        "status": "Pending",
        "job_type": kind.pk,
        "limit": 2,
        "offset": 1,
    }
    told = client.get(f"{PREFIX}list_jobs", query).json()["message"]
    assert ([item["job_id"] for item in told.pop("jobs")], told) == (
        [names[1], names[0]],
        {"total": 3, "limit": 2, "offset": 1},
    )


def test_list_jobs_takes_lists_in_json(client: APIClient, kind: JobType, organization: Organization) -> None:
    for status in ("Failed", "Timed Out", "Pending"):
        job_in(status, job_type=kind, organization=organization)
    told = client.post(f"{PREFIX}list_jobs", {"status": ["Failed", "Timed Out"]}, "json").json()["message"]
    assert {item["status"] for item in told["jobs"]} == {"Failed", "Timed Out"}


def test_cancel_job_tells_what_became_of_it(client: APIClient, job: Job) -> None:
    told = client.post(f"{PREFIX}cancel_job", {"job_id": job.name}, "json").json()
    assert told == {"message": {"job_id": job.name, "status": "Canceled", "message": "Job canceled"}}


def test_cancel_job_asks_a_running_job_to_stop(client: APIClient, kind: JobType, organization: Organization) -> None:
    job = job_in("Running", job_type=kind, organization=organization)
    told = client.post(f"{PREFIX}cancel_job", {"job_id": job.name}).json()["message"]
    assert (told["status"], told["message"]) == ("Running", "Cancellation requested")


def test_retry_job_tells_what_became_of_it(client: APIClient, kind: JobType, organization: Organization) -> None:
    job = job_in("Dead Letter", job_type=kind, organization=organization)
    with TestCase.captureOnCommitCallbacks(execute=True):
        answer = client.post(f"{PREFIX}retry_job", {"job_id": job.name}, "json")
    assert answer.json()["message"]["job_id"] == job.name
    assert Job.objects.get().status == "Queued"


@pytest.mark.parametrize("name", ["submit_job", "cancel_job", "retry_job"])
def test_what_changes_something_is_no_get(client: APIClient, job: Job, name: str) -> None:
    answer = client.get(f"{PREFIX}{name}", {"job_id": job.name})
    assert (answer.status_code, answer.json().keys()) == (405, {"exc_type", "message"})


@pytest.mark.parametrize("name", READERS)
def test_html_is_never_the_answer(client: APIClient, job: Job, name: str) -> None:
    answer = client.get(f"{PREFIX}{name}", HTTP_ACCEPT="text/html")
    assert answer["Content-Type"] == "application/json"


def test_a_duplicate_names_the_earlier_job(client: APIClient, organization: Organization) -> None:
    kind = make_job_type(deduplication_window=300)
    body = {"job_type": kind.pk, "organization": organization.name}
    first = client.post(f"{PREFIX}submit_job", body, "json").json()["message"]["job_id"]
    answer = client.post(f"{PREFIX}submit_job", body, "json")
    assert answer.status_code == 409
    told = answer.json()
    assert (list(told), told["exc_type"]) == (["exc_type", "message", "existing_job_id"], "DuplicateError")
    assert (told["existing_job_id"], first in told["message"]) == (first, True)


def test_what_cannot_be_done_now_is_an_invalid_transition(
    client: APIClient, kind: JobType, organization: Organization
) -> None:
    job = job_in("Completed", job_type=kind, organization=organization)
    answer = client.post(f"{PREFIX}cancel_job", {"job_id": job.name}, "json")
    assert (answer.status_code, answer.json()["exc_type"]) == (409, "InvalidTransitionError")


def test_too_much_says_when_to_come_back(client: APIClient, organization: Organization) -> None:
    kind = make_job_type(rate_limit=1)
    body = {"job_type": kind.pk, "organization": organization.name}
    client.post(f"{PREFIX}submit_job", body, "json")
    answer = client.post(f"{PREFIX}submit_job", body, "json")
    assert (answer.status_code, answer.json()["exc_type"]) == (429, "TooManyRequestsError")
    assert int(answer["Retry-After"]) > 0


def test_without_credentials_there_is_an_authentication_error(broker: MemoryBroker) -> None:
    answer = client_of().get(f"{PREFIX}list_jobs")
    assert (answer.status_code, answer.json()["exc_type"]) == (401, "AuthenticationError")


def test_a_job_that_is_not_there_does_not_exist(client: APIClient) -> None:
    answer = client.get(f"{PREFIX}get_job_status", {"job_id": "JOB-2026-99999"})
    assert answer.json().keys() == {"exc_type", "message"}
    assert answer.json()["exc_type"] == "DoesNotExistError"
    assert "'JOB-2026-99999'" in answer.json()["message"]


@pytest.mark.parametrize("name", ["cancel_job", "retry_job"])
def test_what_one_may_not_do_is_a_permission_error(
    broker: MemoryBroker, kind: JobType, organization: Organization, name: str
) -> None:
    job = job_in("Dead Letter", job_type=kind, organization=organization)
    answer = client_of(make_user(member_of=[organization])).post(f"{PREFIX}{name}", {"job_id": job.name}, "json")
    assert (answer.status_code, answer.json()["exc_type"]) == (403, "PermissionError")


BAD_FIELDS: Final[list[tuple[str, Any, str]]] = [
    ("submit_job", {}, "job_type: .*; organization: "),
    ("submit_job", {"job_type": "x", "organization": "y", "nonsense": 1}, "nonsense: "),
    ("submit_job", {"job_type": "x", "organization": "y", "parameters": "{"}, "parameters: .*JSON"),
    ("get_job_status", {}, "job_id: "),
    ("get_job_status", {"job_id": ""}, "job_id: "),
    ("get_job_status", {"id": "JOB-2026-00001"}, "id: .*job_id"),
    ("cancel_job", {}, "job_id: "),
    ("list_jobs", {"limit": 0}, "limit: "),
    ("list_jobs", {"fields": ["result"]}, "fields: .*'result'"),
    ("get_job_history", {"after": "first"}, "job_id: "),
    ("list_jobs", {"offset": -1}, "offset: "),
    ("list_jobs", {"status": "Sleeping"}, "status: .*'Sleeping'"),
    ("list_jobs", {"organization": "nobody"}, "organization: .*'nobody'"),
    ("get_job_metrics", {"organization": "nobody"}, "organization: .*'nobody'"),
    ("get_job_metrics", {"organization": ["a", "b"]}, "organization: "),
    ("get_job_history", [], "non_field_errors: "),
]


def test_bad_fields_are_told_by_name(subtests: pytest.Subtests, client: APIClient) -> None:
    for name, fields, told in BAD_FIELDS:
        with subtests.test(name=name, fields=fields, told=told):
            answer = client.post(f"{PREFIX}{name}", fields, "json")
            assert (answer.status_code, answer.json()["exc_type"]) == (400, "ValidationError")
            assert re.match(told, answer.json()["message"])


def test_what_is_no_job_id_names_no_job(subtests: pytest.Subtests, client: APIClient) -> None:
    cases: list[Any] = [["a", "b"], {"a": 1}, 7, True, "\x00"]
    for job_id in cases:
        with subtests.test(job_id=job_id):
            answer = client.post(f"{PREFIX}get_job_status", {"job_id": job_id}, "json")
            assert (answer.status_code, answer.json()["exc_type"]) == (404, "DoesNotExistError")


@pytest.mark.parametrize("parameters", [[1], 5, "[1]", "5"], ids=repr)
def test_parameters_are_an_object(
    client: APIClient, kind: JobType, organization: Organization, parameters: Any
) -> None:
    body = {"job_type": kind.pk, "organization": organization.name, "parameters": parameters}
    answer = client.post(f"{PREFIX}submit_job", body, "json")
    assert (answer.status_code, answer.json()["exc_type"]) == (400, "ValidationError")


def test_an_unknown_method_is_not_found(client: APIClient) -> None:
    assert client.post(f"{PREFIX}delete_job").status_code == 404
