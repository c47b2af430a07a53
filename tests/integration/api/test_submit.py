"""POST jobs/: what is taken, what is refused and how that is told."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from django.test import TestCase
from rest_framework.test import APIClient

from django_jobs import get_job_status
from django_jobs.models import Job, JobType, Organization
from tests.support.api import client_of, codes, url_of
from tests.support.brokers import MemoryBroker, job_in, pending_job
from tests.support.cases import rolled_back
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user


@pytest.fixture
def client(broker: MemoryBroker, organization: Organization) -> APIClient:
    return client_of(make_user("alice", member_of=[organization]))


@pytest.fixture
def body(organization: Organization, kind: JobType) -> dict[str, Any]:
    """A good submission."""
    return {"job_type": kind.pk, "organization": organization.name}


@pytest.fixture
def submit(client: APIClient, body: dict[str, Any]) -> Callable[..., Any]:
    """Submits the good one, with some fields changed."""
    return lambda **fields: client.post("/api/jobs/", json.dumps({**body, **fields}), content_type="application/json")


def test_a_submission_is_answered_by_the_job_and_its_address(
    submit: Callable[..., Any], kind: JobType, organization: Organization
) -> None:
    answer = submit(parameters={"n": 1}, priority="High", metadata={"trace": "t1"})
    job = Job.objects.get()
    told = answer.json()
    assert answer.status_code == 201
    assert answer["Location"].endswith(url_of(job))
    assert told.pop("message") == "Job submitted successfully"
    assert told.keys() == get_job_status(job.name).as_dict().keys()
    assert (told["job_id"], told["job_type"], told["organization"]) == (job.name, kind.pk, organization.name)
    assert (told["owner"], told["priority"], told["status"]) == ("alice", "High", "Pending")
    assert (job.input_parameters, job.metadata) == ({"n": 1}, {"trace": "t1"})


def test_a_job_that_was_dispatched_meanwhile_is_told_as_queued(submit: Callable[..., Any]) -> None:
    with TestCase.captureOnCommitCallbacks(execute=True):
        submit()
    assert Job.objects.get().status == "Queued"


@pytest.mark.parametrize("priority", ["Critical", "critical", 3, "3"], ids=["label", "lower", "number", "digits"])
def test_a_priority_is_a_label_or_a_number(submit: Callable[..., Any], priority: Any) -> None:
    assert submit(priority=priority).json()["priority"] == "Critical"


def test_null_stands_for_a_field_that_is_not_given(subtests: pytest.Subtests, submit: Callable[..., Any]) -> None:
    for name in ("parameters", "priority", "depends_on", "run_at", "metadata"):
        with rolled_back(subtests, name=name):
            assert submit(**{name: None}).status_code == 201


def test_times_are_told_in_utc(submit: Callable[..., Any]) -> None:
    later = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).replace(microsecond=0)
    told = submit(run_at=later.astimezone(dt.timezone(dt.timedelta(hours=2))).isoformat()).json()
    assert told["run_at"] == later.isoformat().replace("+00:00", "Z")
    assert told["created_at"].endswith("Z")
    assert told["waiting_for"] == "run_at"


def test_a_job_may_wait_for_one_or_for_several(
    submit: Callable[..., Any], organization: Organization, kind: JobType
) -> None:
    first, second = (pending_job(kind, organization).name for _ in range(2))
    assert submit(depends_on=first).json()["depends_on"] == [first]
    assert submit(depends_on=[second, first]).json()["depends_on"] == [first, second]


BAD_INPUT: Final[list[tuple[str, Any]]] = [
    ("job_type", "no_such_type"),
    ("job_type", ""),
    ("job_type", None),
    ("job_type", {"a": 1}),
    ("job_type", "a\x00b"),
    ("job_type", "\ud800"),
    ("organization", "ORG-1999-00001"),
    ("organization", ""),
    ("organization", ["a"]),
    ("organization", "a\x00b"),
    ("organization", "\udfff"),
    ("organization", "x" * 500),
    ("parameters", [1]),
    ("parameters", "text"),
    ("parameters", {"a": "\x00"}),
    ("parameters", {"a": "\ud800"}),
    ("parameters", {"a": "x" * 70_000}),
    ("priority", "Urgent"),
    ("priority", 9),
    ("priority", True),
    ("priority", 1.5),
    ("depends_on", "JOB-1999-00001"),
    ("depends_on", "nonsense"),
    ("depends_on", ""),
    ("depends_on", " , "),
    ("depends_on", ["JOB-2026-99999", "\ud800"]),
    ("depends_on", {"a": 1}),
    ("depends_on", [7]),
    ("run_at", "tomorrow"),
    ("run_at", "2026-02-30T00:00:00Z"),
    ("run_at", 5),
    ("run_at", "9999-12-31T23:59:59-14:00"),
    ("run_at", "0001-01-01T00:00:00+14:00"),
    ("metadata", "text"),
    ("metadata", {"a": "x" * 5000}),
    ("user", "root"),
    ("status", "Completed"),
    ("a\x00b\ud800", 1),
]


def test_bad_input_is_refused_by_the_name_of_its_field(subtests: pytest.Subtests, submit: Callable[..., Any]) -> None:
    for name, value in BAD_INPUT:
        with rolled_back(subtests, name=name, value=value):
            answer = submit(**{name: value})
            assert answer.status_code == 400
            assert list(answer.json()) == [name.replace("\x00", "\ufffd").replace("\ud800", "?")]
            assert not Job.objects.exists()


@pytest.mark.parametrize("name", ["job_type", "organization"])
def test_what_is_needed_is_asked_for(client: APIClient, body: dict[str, Any], name: str) -> None:
    del body[name]
    answer = client.post("/api/jobs/", body, "json")
    assert (answer.status_code, codes(answer)) == (400, {name: ["required"]})


def test_parameters_are_judged_by_the_types_own_serializer(submit: Callable[..., Any]) -> None:
    answer = submit(job_type="pdf_generation", parameters={"template": "poem"})
    assert (answer.status_code, list(answer.json())) == (400, ["parameters.template"])


def test_the_same_work_is_refused_with_the_earlier_jobs_id(submit: Callable[..., Any]) -> None:
    kind = make_job_type(deduplication_window=300)
    first = submit(job_type=kind.pk).json()["job_id"]
    answer = submit(job_type=kind.pk)
    assert answer.status_code == 409
    told = answer.json()
    assert first in told.pop("detail")
    assert told == {"code": "duplicate_job", "existing_job_id": first, "status": "Pending"}


def test_a_rate_limit_says_when_to_come_back(submit: Callable[..., Any]) -> None:
    kind = make_job_type(rate_limit=1, rate_limit_window=60)
    submit(job_type=kind.pk)
    answer = submit(job_type=kind.pk)
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert 55 <= int(answer["Retry-After"]) <= 60
    assert answer.json().keys() == {"detail", "code"}


def test_a_full_backlog_says_when_to_come_back(submit: Callable[..., Any], settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_BACKLOG_PER_ORGANIZATION": 1}
    submit()
    answer = submit()
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (429, "queue_full", "10")


def test_a_type_that_needs_a_permission_looks_unknown_without_it(submit: Callable[..., Any]) -> None:
    kind = make_job_type(requires_permission="django_jobs.add_jobtype")
    answer = submit(job_type=kind.pk)
    assert (answer.status_code, codes(answer)) == (400, {"job_type": ["unknown_job_type"]})
    unknown = submit(job_type="gone").json()["job_type"]
    assert answer.json()["job_type"] == [text.replace("gone", kind.pk) for text in unknown]


def test_an_inactive_organization_takes_nothing(submit: Callable[..., Any], organization: Organization) -> None:
    Organization.objects.filter(pk=organization.pk).update(is_active=False)
    answer = submit()
    assert (answer.status_code, codes(answer)) == (400, {"organization": ["organization_inactive"]})


def test_of_a_foreign_organization_nothing_is_told_whatever_else_is_wrong(submit: Callable[..., Any]) -> None:
    foreign = make_organization(name="ORG-X", is_active=False)
    other = submit(organization=foreign.name, priority=9, parameters={"a": "\x00"})
    alone = submit(organization=foreign.name)
    assert codes(other) == {"priority": ["invalid"]}
    assert codes(alone) == {"organization": ["unknown_organization"]}


def test_another_tenants_job_cannot_be_waited_for(submit: Callable[..., Any]) -> None:
    foreign, missing = pending_job(), "JOB-2026-99999"
    told = submit(depends_on=foreign.name).json()["depends_on"]
    assert told == [text.replace(missing, foreign.name) for text in submit(depends_on=missing).json()["depends_on"]]


def test_a_broken_broker_delays_the_job_and_not_the_answer(submit: Callable[..., Any], broker: MemoryBroker) -> None:
    broker.is_down = True
    with TestCase.captureOnCommitCallbacks(execute=True):
        answer = submit()
    assert (answer.status_code, Job.objects.get().status) == (201, "Pending")


def test_a_system_admin_submits_anywhere(broker: MemoryBroker, body: dict[str, Any]) -> None:
    assert client_of(make_system_admin()).post("/api/jobs/", body, "json").status_code == 201


def test_a_session_needs_a_csrf_token(broker: MemoryBroker, organization: Organization, body: dict[str, Any]) -> None:
    user = make_user(member_of=[organization])
    client = client_of(enforce_csrf_checks=True)
    client.force_login(user)
    answer = client.post("/api/jobs/", body, "json")
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert not Job.objects.exists()


@pytest.mark.parametrize("path", ["cancel", "retry"])
def test_a_get_changes_nothing(client: APIClient, organization: Organization, kind: JobType, path: str) -> None:
    job = job_in("Dead Letter", job_type=kind, organization=organization)
    assert client.get(url_of(job, path)).status_code == 405
    assert Job.objects.get().status == "Dead Letter"
