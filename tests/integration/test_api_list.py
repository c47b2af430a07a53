"""GET jobs/: filters, order, pages and their bounds."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from rest_framework.test import APIClient

from django_jobs.engine import listing
from django_jobs.models import Job, JobType, Organization
from tests.support.api import client_of
from tests.support.brokers import MemoryBroker, end, job_in, pending_job, raised, start
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.statements import statements_of

LIST = "/api/jobs/"


@pytest.fixture
def organization() -> Organization:
    return make_organization()


@pytest.fixture
def kind() -> JobType:
    return make_job_type()


@pytest.fixture
def client(broker: MemoryBroker, organization: Organization) -> APIClient:
    return client_of(make_user(member_of=[organization]))


def ids(answer: Any) -> list[str]:
    return [job["job_id"] for job in answer.json()["results"]]


def test_a_page_holds_the_newest_jobs_first(client: APIClient, kind: JobType, organization: Organization) -> None:
    names = [pending_job(kind, organization).name for _ in range(3)]
    answer = client.get(LIST)
    assert (answer.status_code, ids(answer)) == (200, names[::-1])
    assert answer.json().keys() == {"count", "next", "previous", "results"}
    assert answer.json()["results"][0] == client.get(f"{LIST}{names[2]}/").json()


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
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "1000000000"}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"limit": "-5"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": "1.5"}, "limit"),
        ({"limit": "\u0663"}, "limit"),
        ({"offset": "-1"}, "offset"),
        ({"offset": "10001"}, "offset"),
        ({"offset": "9" * 5000}, "offset"),
        ({"offset": "\x00"}, "offset"),
        ({"status": "Sleeping"}, "status"),
        ({"status": ["Pending", "\x00"]}, "status"),
        ({"status": "%s"}, "status"),
        ({"organization": "100%d"}, "organization"),
        ({"job_id": "%(a)s"}, "job_id"),
        ({"status": ["Pending"] * 101}, "status"),
        ({"job_id": "nonsense"}, "job_id"),
        ({"job_id": [f"JOB-2026-{n:05d}" for n in range(101)]}, "job_id"),
        ({"job_type": "a\x00b"}, "job_type"),
        ({"priority": "Urgent"}, "priority"),
        ({"priority": "7"}, "priority"),
        ({"created_after": "yesterday"}, "created_after"),
        ({"created_before": "2026-02-30"}, "created_before"),
        ({"created_before": "0000-00-00T00:00:00Z"}, "created_before"),
        ({"ordering": "status"}, "ordering"),
        ({"organization": "ORG-1999-00001"}, "organization"),
        ({"organization": "a\x00b"}, "organization"),
        ({"owner": "\x00"}, "owner"),
        ({"search": "\x00"}, "search"),
        ({"search": "x" * 201}, "search"),
        ({"stauts": "Pending"}, "stauts"),
        ({"page": "2"}, "page"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_bad_parameters_are_refused_by_name(client: APIClient, query: dict[str, Any], field: str) -> None:
    answer = client.get(LIST, query)
    assert (answer.status_code, list(answer.json())) == (400, [field])


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("name", ["created_after", "created_before"])
def test_moments_at_the_ends_of_time_are_no_servers_error(client: APIClient, name: str, moment: str) -> None:
    assert client.get(LIST, {name: moment}).status_code in {200, 400}


def test_an_offset_that_is_too_far_tells_what_to_do_instead(client: APIClient) -> None:
    assert "created_before" in client.get(LIST, {"offset": 10_001}).json()["offset"][0]


def test_jobs_are_found_by_organization(broker: MemoryBroker, kind: JobType) -> None:
    first, second = make_organization(), make_organization()
    names = [pending_job(kind, tenant).name for tenant in (first, second)]
    client = client_of(make_user(member_of=[first, second]))
    assert ids(client.get(LIST, {"organization": second.name})) == [names[1]]


def test_jobs_are_found_by_several_statuses(client: APIClient, kind: JobType, organization: Organization) -> None:
    found = [job_in(status, job_type=kind, organization=organization).name for status in ("Failed", "Timed Out")]
    pending_job(kind, organization)
    assert ids(client.get(LIST, {"status": ["Failed", "Timed Out"]})) == found[::-1]


def test_jobs_are_found_by_type(client: APIClient, organization: Organization) -> None:
    names = [(job.job_type_id, job.name) for job in (pending_job(None, organization) for _ in range(3))]
    assert ids(client.get(LIST, {"job_type": names[1][0]})) == [names[1][1]]
    assert len(ids(client.get(LIST, {"job_type": [names[0][0], names[1][0]]}))) == 2
    assert ids(client.get(LIST, {"job_type": "no_such_type"})) == []


@pytest.mark.parametrize("priority", ["High", "high", "2"])
def test_jobs_are_found_by_priority(
    client: APIClient, kind: JobType, organization: Organization, priority: str
) -> None:
    pending_job(kind, organization)
    job = pending_job(kind, organization, priority="High")
    assert ids(client.get(LIST, {"priority": priority})) == [job.name]


def test_jobs_are_found_by_owner_also_when_the_owner_is_gone(
    client: APIClient, kind: JobType, organization: Organization
) -> None:
    owner = make_user("bob", member_of=[organization])
    job = pending_job(kind, organization, user=owner)
    pending_job(kind, organization)
    owner.delete()
    assert ids(client.get(LIST, {"owner": "bob"})) == [job.name]


def test_jobs_are_found_by_their_ids(client: APIClient, kind: JobType, organization: Organization) -> None:
    names = [pending_job(kind, organization).name for _ in range(3)]
    foreign = pending_job(kind).name
    assert ids(client.get(LIST, {"job_id": [names[0], names[2], foreign]})) == [names[2], names[0]]
    assert ids(client.get(LIST, {"job_id": names[0].replace("JOB-2", "JOB-1")})) == []


def test_jobs_are_found_by_the_time_of_their_submission(
    client: APIClient, kind: JobType, organization: Organization
) -> None:
    first, second, third = (pending_job(kind, organization) for _ in range(3))
    moment = second.created_at.isoformat()
    assert ids(client.get(LIST, {"created_before": moment})) == [first.name]
    assert ids(client.get(LIST, {"created_after": moment})) == [third.name, second.name]
    assert ids(client.get(LIST, {"created_after": "2999-01-01"})) == []


@pytest.mark.parametrize("words", ["no such printer", "SUCH"])
def test_jobs_are_found_by_a_part_of_their_error(
    client: APIClient, kind: JobType, organization: Organization, words: str
) -> None:
    job = end(raised(start(pending_job(kind, organization)), "Permanent", text="There is no such printer."))
    end(raised(start(pending_job(kind, organization)), text="another error"))
    assert ids(client.get(LIST, {"search": words})) == [job.name]


def test_a_search_for_an_id_finds_the_job(client: APIClient, kind: JobType, organization: Organization) -> None:
    job, foreign = pending_job(kind, organization), pending_job(kind)
    assert ids(client.get(LIST, {"search": job.name})) == [job.name]
    assert ids(client.get(LIST, {"search": foreign.name})) == []


@pytest.mark.parametrize("words", ["%", "_", "\\", "'", '"'])
def test_a_search_takes_every_character_as_itself(
    client: APIClient, kind: JobType, organization: Organization, words: str
) -> None:
    job_in("Failed", job_type=kind, organization=organization)
    assert ids(client.get(LIST, {"search": words})) == []


def test_filters_may_be_combined(client: APIClient, kind: JobType, organization: Organization) -> None:
    job = job_in("Failed", job_type=kind, organization=organization, priority="Low")
    job_in("Failed", job_type=kind, organization=organization)
    query = {"status": "Failed", "priority": "Low", "job_type": kind.pk, "organization": organization.name}
    assert ids(client.get(LIST, query)) == [job.name]


@pytest.fixture
def three_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting ends at 3."""
    monkeypatch.setattr(listing, "MAX_COUNT", 3)


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


def test_a_page_takes_as_many_statements_as_a_job(client: APIClient, kind: JobType, organization: Organization) -> None:
    jobs = [pending_job(kind, organization) for _ in range(10)]
    pending_job(kind, organization, depends_on=jobs)
    client.get(LIST)  # what a user may is remembered
    query: dict[str, Any] = {"status": "Pending", "job_type": kind.pk}
    few = statements_of(lambda: client.get(LIST, {**query, "limit": 2}))
    many = statements_of(lambda: client.get(LIST, {**query, "limit": 50}))
    assert few == many <= 8


def test_the_organizations_are_read_before_the_jobs(client: APIClient, django_assert_num_queries: Any) -> None:
    """A constant list lets the database choose the organization's index."""
    client.get(LIST)
    with django_assert_num_queries(2) as captured:
        client.get(LIST)
    assert "IN (SELECT" not in captured[1]["sql"]


def test_parameters_and_metadata_are_not_listed(client: APIClient, kind: JobType, organization: Organization) -> None:
    pending_job(kind, organization, parameters={"secret": "x"}, metadata={"trace": "t"})
    assert "secret" not in client.get(LIST).content.decode()
    assert Job.objects.get().input_parameters == {"secret": "x"}


def test_a_user_of_very_many_organizations_sees_all_their_jobs(
    broker: MemoryBroker, kind: JobType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_jobs.api.scope.FEW", 1)
    organizations = [make_organization() for _ in range(3)]
    names = [pending_job(kind, tenant).name for tenant in organizations]
    pending_job(kind)
    assert ids(client_of(make_user(member_of=organizations)).get(LIST)) == names[::-1]
