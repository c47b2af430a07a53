"""GET jobs/: its order, its pages and their bounds."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from django_jobs.models import Job, JobType, Organization
from tests.support.api import client_of, ids
from tests.support.brokers import MemoryBroker, pending_job
from tests.support.factories import make_organization, make_user
from tests.support.statements import statements_of
from tests.support.tuning import Tuning

LIST = "/api/jobs/"


@pytest.fixture
def client(broker: MemoryBroker, organization: Organization) -> APIClient:
    return client_of(make_user(member_of=[organization]))


def test_a_page_holds_the_newest_jobs_first(client: APIClient, kind: JobType, organization: Organization) -> None:
    names = [pending_job(kind, organization).name for _ in range(3)]
    answer = client.get(LIST)
    assert (answer.status_code, ids(answer)) == (200, names[::-1])
    assert answer.json().keys() == {"count", "next", "previous", "results"}
    job = client.get(f"{LIST}{names[2]}/").json()
    assert answer.json()["results"][0] == {name: job[name] for name in job.keys() - {"result", "waiting_reason"}}


@pytest.mark.parametrize(("ordering", "step"), [("created_at", 1), ("-created_at", -1)])
def test_the_order_may_be_asked_for(
    client: APIClient, kind: JobType, organization: Organization, ordering: str, step: int
) -> None:
    names = [pending_job(kind, organization).name for _ in range(3)]
    assert ids(client.get(LIST, {"ordering": ordering})) == names[::step]


def test_pages_lead_to_each_other(client: APIClient, kind: JobType, organization: Organization) -> None:
    names = [pending_job(kind, organization).name for _ in range(5)][::-1]
    query: dict[str, Any] = {"limit": 2, "status": "Pending"}
    first = client.get(LIST, query)
    second = client.get(first.json()["next"])
    third = client.get(second.json()["next"])
    assert ids(first) + ids(second) + ids(third) == names
    assert (first.json()["count"], first.json()["previous"], third.json()["next"]) == (5, None, None)
    assert parse_qs(urlsplit(second.json()["next"]).query) == {"limit": ["2"], "offset": ["4"], "status": ["Pending"]}
    assert ids(client.get(second.json()["previous"])) == ids(first)
    assert first["Link"] == f'<{first.json()["next"]}>; rel="next"'
    assert f'<{second.json()["previous"]}>; rel="prev"' in second["Link"]


def test_an_offset_beyond_the_end_gives_an_empty_page(client: APIClient, kind: JobType) -> None:
    assert ids(client.get(LIST, {"offset": 10_000})) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (LIST, "At most 10000; use created_before to reach older jobs."),
        ("/api/batches/", "At most 10000; use created_before to reach older batches."),
        ("/api/schedules/", "At most 10000."),
    ],
)
def test_an_offset_that_is_too_far_tells_what_to_do_instead(client: APIClient, path: str, text: str) -> None:
    answer = client.get(path, {"offset": 10_001})
    assert (answer.status_code, answer.json()) == (400, {"offset": [text]})


@pytest.fixture
def three_counted(tuning: Tuning) -> None:
    """Counting ends at 3."""
    tuning.set(capped_count_rows=3)


def test_a_count_is_exact_up_to_its_bound(
    client: APIClient, kind: JobType, organization: Organization, three_counted: None
) -> None:
    for _ in range(3):
        pending_job(kind, organization)
    told = client.get(LIST).json()
    assert (told["count"], "count_capped" in told) == (3, False)


def test_a_count_beyond_its_bound_says_so_and_leads_on(
    client: APIClient, kind: JobType, organization: Organization, three_counted: None
) -> None:
    names = [pending_job(kind, organization).name for _ in range(4)]
    told = client.get(LIST, {"limit": 3}).json()
    assert (told["count"], told["count_capped"]) == (3, True)
    assert ids(client.get(told["next"])) == names[:1]
    last = [client.get(LIST, {"limit": 3, "offset": offset}).json()["next"] is None for offset in (9_997, 9_998)]
    assert last == [False, True]


def test_a_page_takes_as_many_statements_as_a_job(client: APIClient, kind: JobType, organization: Organization) -> None:
    jobs = [pending_job(kind, organization) for _ in range(10)]
    pending_job(kind, organization, depends_on=jobs)
    client.get(LIST)  # what a user may is remembered
    query: dict[str, Any] = {"status": "Pending", "job_type": kind.pk}
    few = statements_of(lambda: client.get(LIST, {**query, "limit": 2}))
    many = statements_of(lambda: client.get(LIST, {**query, "limit": 50}))
    assert many <= few <= 8


def test_the_organizations_are_read_before_the_jobs(client: APIClient) -> None:
    """A constant list lets the database choose the organization's index."""
    client.get(LIST)
    with CaptureQueriesContext(connection) as captured:
        client.get(LIST)
    assert "IN (SELECT" not in captured[-1]["sql"]


def test_parameters_and_metadata_are_not_listed(client: APIClient, kind: JobType, organization: Organization) -> None:
    pending_job(kind, organization, parameters={"secret": "x"}, metadata={"trace": "t"})
    assert "secret" not in client.get(LIST).content.decode()
    assert Job.objects.get().input_parameters == {"secret": "x"}


def test_a_user_of_very_many_organizations_sees_all_their_jobs(
    broker: MemoryBroker, kind: JobType, tuning: Tuning
) -> None:
    tuning.set(scope_inlined_keys=1)
    organizations = [make_organization() for _ in range(3)]
    names = [pending_job(kind, tenant).name for tenant in organizations]
    pending_job(kind)
    assert ids(client_of(make_user(member_of=organizations)).get(LIST)) == names[::-1]
