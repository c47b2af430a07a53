"""GET jobs/: what its filters and its search find, and which parameters are refused."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from rest_framework.test import APIClient

from django_jobs.models import Job, JobType, Organization
from tests.support.api import client_of, ids
from tests.support.brokers import WORKER, MemoryBroker, end, job_in, pending_job, raised, start
from tests.support.factories import make_organization, make_system_admin, make_user
from tests.support.tuning import Tuning
from tests.support.verbs import JobListFilter

LIST = "/api/jobs/"
METHOD = "/api/method/dartwing.dartwing_core.api.jobs.list_jobs"


@pytest.fixture
def client(broker: MemoryBroker, organization: Organization) -> APIClient:
    return client_of(make_user(member_of=[organization]))


BAD_QUERIES: Final[list[tuple[dict[str, Any], str]]] = [
    ({"limit": "0"}, "limit"),
    ({"fields": "parameters"}, "fields"),
    ({"fields": ["result", "result"]}, "fields"),
    ({"limit": "-5"}, "limit"),
    ({"limit": "many"}, "limit"),
    ({"limit": "1.5"}, "limit"),
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
    ({"priority": ["High", "Urgent"]}, "priority"),
    ({"has_error": "perhaps"}, "has_error"),
    ({"submitted_by": "nobody"}, "submitted_by"),
    ({"parameters": "no value"}, "parameters"),
    ({"all": "true"}, "all"),
    ({"organization": ["A", "B"]}, "organization"),
    ({"owner": ["a", "a"]}, "owner"),
    ({"search": ["a", "b"]}, "search"),
    ({"created_after": ["2026-01-01", "2026-01-02"]}, "created_after"),
    ({"created_before": ["2026-01-01", "2026-01-02"]}, "created_before"),
    ({"ordering": ["created_at", "-created_at"]}, "ordering"),
    ({"limit": ["1", "2"]}, "limit"),
    ({"offset": ["many", "1"]}, "offset"),
    ({"search": "x" * 201}, "search"),
    ({"stauts": "Pending"}, "stauts"),
    ({"page": "2"}, "page"),
]


def test_bad_parameters_are_refused_by_name(subtests: pytest.Subtests, client: APIClient) -> None:
    for query, field in BAD_QUERIES:
        with subtests.test(query=query, field=field):
            answer = client.get(LIST, query)
            assert (answer.status_code, list(answer.json())) == (400, [field])


def test_moments_at_the_ends_of_time_are_no_servers_error(
    subtests: pytest.Subtests, client: APIClient, kind: JobType, organization: Organization
) -> None:
    moments: list[str] = [
        "0001-01-01",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-14:00",
    ]
    pending_job(kind, organization)
    for moment in moments:
        for name in ("created_after", "created_before"):
            with subtests.test(moment=moment, name=name):
                assert client.get(LIST, {name: moment}).status_code in {200, 400}


def test_text_that_no_database_takes_is_refused_by_name(
    subtests: pytest.Subtests, client: APIClient, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "THROTTLE_RATES": {"list": None}}
    names: list[str] = [*JobListFilter.terms, "limit", "offset"]
    for text in ("\ud800", "x\udfff", "\x00"):
        for name in names:
            with subtests.test(text=text, name=name):
                # In a query such text cannot come; JSON has escapes for it.
                answer = client.post(METHOD, json.dumps({name: text}), content_type="application/json")
                assert (answer.status_code, name in answer.content.decode()) == (400, True)


@pytest.mark.parametrize("name", ["status", "job_type", "job_id"])
def test_these_may_be_repeated(client: APIClient, kind: JobType, organization: Organization, name: str) -> None:
    job = pending_job(kind, organization)
    value = {"status": "Pending", "job_type": kind.pk, "job_id": job.name}[name]
    assert ids(client.get(LIST, {name: [value, value]})) == [job.name]


def test_what_is_given_twice_to_a_method_is_refused_too(client: APIClient) -> None:
    answer = client.post(METHOD, {"owner": ["a", "b"]}, "json")
    assert (answer.status_code, "owner" in answer.content.decode()) == (400, True)


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


def test_the_text_of_errors_is_looked_for_among_the_newest_jobs(
    client: APIClient, kind: JobType, organization: Organization, tuning: Tuning
) -> None:
    old, new = (end(raised(start(pending_job(kind, organization)), "Permanent", text="no printer")) for _ in range(2))
    assert ids(client.get(LIST, {"search": "printer"})) == [new.name, old.name]
    tuning.set(api_searched_jobs=1)
    assert ids(client.get(LIST, {"search": "printer"})) == [new.name]
    assert ids(client.get(LIST, {"search": old.name})) == [old.name]


def test_the_jobs_of_others_take_no_place_in_a_search(
    client: APIClient, kind: JobType, organization: Organization, tuning: Tuning
) -> None:
    tuning.set(api_searched_jobs=2)
    mine = end(raised(start(pending_job(kind, organization)), "Permanent", text="no printer"))
    tenant = make_organization()
    for _ in range(3):
        pending_job(kind, tenant)
    assert ids(client.get(LIST, {"search": "printer"})) == [mine.name]
    root = client_of(make_system_admin())
    assert ids(root.get(LIST, {"search": "printer"})) == []
    assert ids(root.get(LIST, {"search": "printer", "organization": organization.name})) == [mine.name]


def test_a_search_in_several_organizations_looks_at_the_newest_of_each(
    kind: JobType, broker: MemoryBroker, tuning: Tuning
) -> None:
    tuning.set(api_searched_jobs=8)
    *tenants, small = [make_organization() for _ in range(4)]
    only = end(raised(start(pending_job(kind, small)), "Permanent", text="no printer"))
    first, second, third = (
        [end(raised(start(pending_job(kind, tenant)), "Permanent", text="no printer")) for _ in range(3)]
        for tenant in tenants
    )
    pending_job(kind, tenants[0])
    found = ids(client_of(make_user(member_of=[*tenants, small])).get(LIST, {"search": "printer"}))
    assert found == [job.name for job in (*third[:0:-1], *second[:0:-1], first[2], only)]


def test_a_search_for_an_id_finds_the_job(client: APIClient, kind: JobType, organization: Organization) -> None:
    job, foreign = pending_job(kind, organization), pending_job(kind)
    assert ids(client.get(LIST, {"search": job.name})) == [job.name]
    assert ids(client.get(LIST, {"search": foreign.name})) == []


def test_a_search_takes_every_character_as_itself(
    subtests: pytest.Subtests, client: APIClient, kind: JobType, organization: Organization
) -> None:
    job_in("Failed", job_type=kind, organization=organization)
    for words in ("%", "_", "\\", "'", '"'):
        with subtests.test(words=words):
            assert ids(client.get(LIST, {"search": words})) == []


def test_a_list_takes_the_filters_of_operations(
    subtests: pytest.Subtests, client: APIClient, kind: JobType, organization: Organization
) -> None:
    parent = pending_job(kind, organization, parameters={"customer": {"id": 17}}, metadata={"schedule": "nightly"})
    child = pending_job(kind, organization, priority="Low")
    Job.objects.filter(pk=child.pk).update(submitted_by_id=parent.pk, operation_id=7)
    failed = end(raised(start(pending_job(kind, organization)), "Permanent", text="no printer"))
    pending_job(kind, metadata={"schedule": "nightly"}, parameters={"customer": {"id": 17}})
    fingerprint = failed.error_fingerprint
    for query, job in (
        ({"priority": ["Low", "Critical"]}, child),
        ({"created_after": "1h", "submitted_by": parent.name}, child),
        ({"submitted_by": parent.pk}, child),
        ({"error": "printer"}, failed),
        ({"has_error": "true"}, failed),
        ({"error_fingerprint": fingerprint}, failed),
        ({"fingerprint_start": fingerprint[:9]}, failed),
        ({"schedule": "nightly"}, parent),
        ({"parameters": "customer.id:17", "pool": "default"}, parent),
    ):
        with subtests.test(query=query):
            assert ids(client.get(LIST, query)) == [job.name]
            assert [row["job_id"] for row in client.get(METHOD, query).json()["message"]["jobs"]] == [job.name]
    root = client_of(make_system_admin())
    for query, job in (({"worker": WORKER}, failed), ({"operation": 7}, child)):  # both are for system admins
        assert (ids(client.get(LIST, query)), ids(root.get(LIST, query))) == ([], [job.name])


def test_filters_may_be_combined(client: APIClient, kind: JobType, organization: Organization) -> None:
    job = job_in("Failed", job_type=kind, organization=organization, priority="Low")
    job_in("Failed", job_type=kind, organization=organization)
    query = {"status": "Failed", "priority": "Low", "job_type": kind.pk, "organization": organization.name}
    assert ids(client.get(LIST, query)) == [job.name]
