"""POST jobs/bulk/: many at once, all or none, and at which place something is wrong."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from rest_framework.test import APIClient

from django_jobs import cancel_batch, create_batch
from django_jobs.models import Job, JobType, Organization
from tests.support.api import client_of, codes
from tests.support.brokers import MemoryBroker
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.statements import statements_of
from tests.support.verbs import Interpose, TargetsChanged


@pytest.fixture
def client(broker: MemoryBroker, organization: Organization) -> APIClient:
    return client_of(make_user("alice", member_of=[organization]))


@pytest.fixture
def body(organization: Organization, kind: JobType) -> dict[str, Any]:
    """A good submission."""
    return {"job_type": kind.pk, "organization": organization.name}


def test_many_are_taken_at_once(client: APIClient, body: dict[str, Any]) -> None:
    answer = client.post("/api/jobs/bulk/", [{**body, "parameters": {"n": n}} for n in range(3)], "json")
    jobs = Job.objects.order_by("pk")
    assert answer.status_code == 201
    assert [item["job_id"] for item in answer.json()] == [job.name for job in jobs]
    assert [job.input_parameters["n"] for job in jobs] == [0, 1, 2]
    assert {job.owner_name for job in jobs} == {"alice"}


def test_nothing_at_all_is_taken_at_once_too(client: APIClient) -> None:
    assert client.post("/api/jobs/bulk/", [], "json").json() == []


def test_the_errors_of_many_are_a_list_as_long_as_the_body(client: APIClient, body: dict[str, Any]) -> None:
    foreign = make_organization()
    items = [
        body,
        {**body, "priority": "Urgent"},
        {**body, "job_type": "no_such_type"},
        {**body, "organization": foreign.name},
        {**body, "unknown": 1},
        "text",
        None,
        {**body, "run_at": "tomorrow"},
    ]
    answer = client.post("/api/jobs/bulk/", items, "json")
    assert answer.status_code == 400
    assert all(isinstance(errors, dict) for errors in answer.json())
    assert [list(errors) for errors in answer.json()] == [
        [],
        ["priority"],
        ["job_type"],
        ["organization"],
        ["unknown"],
        ["non_field_errors"],
        ["non_field_errors"],
        ["run_at"],
    ]
    assert [list(found.values()) for found in codes(answer)] == [
        [],
        [["invalid"]],
        [["unknown_job_type"]],
        [["unknown_organization"]],
        [["unknown_field"]],
        [["invalid"]],
        [["null"]],
        [["invalid"]],
    ]
    assert repr(foreign.name) in answer.json()[3]["organization"][0]
    assert not Job.objects.exists()


def test_a_batch_that_takes_no_jobs_is_told_at_each_place(
    client: APIClient, body: dict[str, Any], organization: Organization
) -> None:
    closed, canceled, open_ = (create_batch(organization, open_to="members") for _ in range(3))
    closed.submit(body["job_type"])
    closed.close()
    cancel_batch(canceled)
    count = Job.objects.count()
    named = [{**body, "batch": batch.batch_id} for batch in (closed, open_, canceled, closed)]
    answer = client.post("/api/jobs/bulk/", [body, *named], "json")
    errors = answer.json()
    assert answer.status_code == 400
    assert [list(item) for item in errors] == [[], ["batch"], [], ["batch"], ["batch"]]
    assert codes(answer) == [{}, {"batch": ["closed"]}, {}, {"batch": ["canceled"]}, {"batch": ["closed"]}]
    assert Job.objects.count() == count


def test_what_is_no_list_of_at_most_a_thousand_is_refused(subtests: pytest.Subtests, client: APIClient) -> None:
    cases: list[Any] = [{"job_type": "x"}, "text", None, 7, [{}] * 1001]
    for content in cases:
        with subtests.test(content=content):
            answer = client.post("/api/jobs/bulk/", content, "json")
            assert (answer.status_code, list(answer.json())) == (400, ["non_field_errors"])


def test_a_refusal_of_them_all_is_told_as_such(client: APIClient, body: dict[str, Any], interpose: Interpose) -> None:
    interpose("insert_all", Mock(side_effect=TargetsChanged))
    answer = client.post("/api/jobs/bulk/", [body, body], "json")
    assert (answer.status_code, list(answer.json())) == (400, ["non_field_errors"])


def test_a_duplicate_among_many_is_told_with_its_place(client: APIClient, body: dict[str, Any]) -> None:
    kind = make_job_type(deduplication_window=300)
    earlier = client.post("/api/jobs/", {**body, "job_type": kind.pk}, "json").json()["job_id"]
    answer = client.post("/api/jobs/bulk/", [body, {**body, "job_type": kind.pk}], "json")
    told = answer.json()
    assert (answer.status_code, told["code"]) == (409, "duplicate_job")
    assert (told["existing_job_id"], told["index"]) == (earlier, 1)
    assert Job.objects.count() == 1


def test_a_limit_among_many_is_told_with_its_place(client: APIClient, body: dict[str, Any]) -> None:
    kind = make_job_type(rate_limit=1)
    limited = {**body, "job_type": kind.pk}
    answer = client.post("/api/jobs/bulk/", [body, limited, {**limited, "parameters": {"n": 2}}], "json")
    assert (answer.status_code, answer.json()["code"], answer.json()["index"]) == (429, "rate_limited", 1)
    assert "Retry-After" in answer


def test_many_take_as_many_statements_as_a_few(client: APIClient, body: dict[str, Any]) -> None:
    def post(size: int) -> Any:
        return client.post(
            "/api/jobs/bulk/", [{**body, "parameters": {"n": n, "of": size}} for n in range(size)], "json"
        )

    post(2)  # what a user may is remembered
    few, many = statements_of(lambda: post(2)), statements_of(lambda: post(15))
    assert many <= few <= 20
