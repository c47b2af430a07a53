"""The routes of batches: made, followed, closed, canceled and retried over HTTP."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from django_jobs import create_batch, get_batch_status
from django_jobs.models import Batch, Job, JobType, Organization
from django_jobs.testing import run_jobs
from tests.support.api import client_of, ids
from tests.support.batches import counts, make_batch
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")

LIST: Final = "/api/batches/"
VERBS: Final = ("close", "cancel", "retry")


@pytest.fixture
def member(organization: Organization) -> Any:
    return make_user("alice", member_of=[organization])


@pytest.fixture
def client(member: Any) -> APIClient:
    return client_of(member)


@pytest.fixture
def admin(organization: Organization) -> APIClient:
    return client_of(make_user(admin_of=[organization]))


def url_of(batch: Batch, *more: str) -> str:
    return "/".join(["/api/batches", batch.batch_id, *more, ""])


def batch_ids(answer: Any) -> list[str]:
    return [batch["batch_id"] for batch in answer.json()["results"]]


# -- making ------------------------------------------------------------------------------------------------------------


def test_a_batch_is_made_filled_closed_and_followed(
    client: APIClient, member: Any, organization: Organization, kind: JobType
) -> None:
    told = make_job_type("tell_batch")
    body = {"organization": organization.name, "name": "Invoices", "then": {"job_type": told.pk, "priority": "High"}}
    made = client.post(LIST, body, "json")
    batch_id = made.json()["batch_id"]
    assert (made.status_code, made.json()["state"], made.json()["owner"]) == (201, "Open", "alice")
    assert made["Location"] == f"http://testserver{LIST}{batch_id}/"

    job = {"job_type": kind.pk, "organization": organization.name, "batch": batch_id}
    assert client.post("/api/jobs/", job, "json").status_code == 201
    assert (
        client.post("/api/jobs/bulk/", [{**job, "parameters": {"n": n}} for n in range(2)], "json").status_code == 201
    )
    assert client.post(f"{made['Location']}close/").json()["state"] == "Running"
    run_jobs()

    answer = client.get(made["Location"]).json()
    assert (answer["state"], answer["total"], answer["progress"]) == ("Completed", 3, 100)
    assert answer["by_status"]["Completed"] == 3
    then = Job.objects.by_id(answer["then_job"])
    assert then.result is not None
    assert then.result["batch_id"] == batch_id


def test_the_answer_has_the_fields_of_the_status_and_no_others(client: APIClient, organization: Organization) -> None:
    batch = make_batch(organization, "Completed", name="One")
    run_jobs()
    status = get_batch_status(batch)
    answer = client.get(url_of(batch))
    assert answer.json() == {
        name: value.isoformat().replace("+00:00", "Z") if isinstance(value, dt.datetime) else value
        for name, value in status.as_dict().items()
    }


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"name": "x" * 201}, "name"),
        ({"title": "x"}, "title"),
        ({"open_to": "everybody"}, "open_to"),
        ({"then": "report"}, "then"),
        ({"then": ["report"]}, "then"),
        ({"then": {}}, "then.job_type"),
        ({"then": {"job_type": "unknown"}}, "then.job_type"),
        ({"then": {"job_type": "known", "depends_on": "JOB-2026-00001"}}, "then.depends_on"),
        ({"then": {"job_type": "known", "run_at": "soon"}}, "then.run_at"),
        ({"then": {"job_type": "known", "organization": "foreign"}}, "then.organization"),
        ({"on_failure": {"job_type": "known", "parameters": 5}}, "on_failure.parameters"),
        ({"organization": "ORG-1999-00001"}, "organization"),
        ({"organization": "foreign"}, "organization"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_made(
    client: APIClient, organization: Organization, more: dict[str, Any], field: str
) -> None:
    make_job_type(type_name="known")
    make_organization(name="foreign")
    answer = client.post(LIST, {"organization": organization.name, **more}, "json")
    assert (answer.status_code, list(answer.json())) == (400, [field])
    assert not Batch.objects.exists()


def test_a_then_may_wait_for_a_moment(client: APIClient, organization: Organization, kind: JobType) -> None:
    moment = timezone.now().replace(microsecond=0) + dt.timedelta(days=1)
    body = {"organization": organization.name, "then": {"job_type": kind.pk, "run_at": moment.isoformat()}}
    made = client.post(LIST, body, "json").json()
    client.post(f"{LIST}{made['batch_id']}/close/")
    job_id = client.get(f"{LIST}{made['batch_id']}/").json()["then_job"]
    assert Job.objects.by_id(job_id).run_at == moment


def test_a_suspended_organization_makes_none(client: APIClient, organization: Organization) -> None:
    Organization.objects.update(is_active=False)
    answer = client.post(LIST, {"organization": organization.name}, "json")
    assert (answer.status_code, list(answer.json())) == (400, ["organization"])


@pytest.mark.parametrize("open_to", ["owner", "members"])
def test_a_member_adds_to_anothers_batch_where_that_is_open_to_members(
    client: APIClient, organization: Organization, kind: JobType, open_to: str
) -> None:
    owner = client_of(make_user(member_of=[organization]))
    batch = owner.post(LIST, {"organization": organization.name, "open_to": open_to}, "json").json()
    assert batch["open_to"] == open_to
    job = {"job_type": kind.pk, "organization": organization.name, "batch": batch["batch_id"]}
    answers = [client.post("/api/jobs/", job, "json"), client.post("/api/jobs/bulk/", [job], "json")]
    codes = [answer.status_code for answer in answers]
    assert codes == ([201, 201] if open_to == "members" else [403, 403])
    assert {answer.json()["code"] for answer in answers if answer.status_code == 403} <= {"permission_denied"}
    assert Job.objects.count() == codes.count(201)


def test_a_job_for_a_batch_of_another_organization_is_refused(
    client: APIClient, organization: Organization, kind: JobType
) -> None:
    job = {"job_type": kind.pk, "organization": organization.name}
    foreign = create_batch(make_organization()).batch_id
    for batch_id in (foreign, "BATCH-2026-99999", "nonsense"):
        answer = client.post("/api/jobs/", {**job, "batch": batch_id}, "json")
        assert (answer.status_code, list(answer.json())) == (400, ["batch"])
    answer = client.post("/api/jobs/bulk/", [job, {**job, "batch": foreign}], "json")
    assert (answer.status_code, [list(item) for item in answer.json()]) == (400, [[], ["batch"]])
    assert not Job.objects.exists()


# -- reading -----------------------------------------------------------------------------------------------------------


def test_another_tenants_batch_is_not_found_by_any_route(client: APIClient) -> None:
    batch = make_batch(make_organization(), "Dead Letter")
    run_jobs()
    unknown = url_of(batch).replace(f"{batch.created_at.year}", "1999")
    answers = [client.get(url_of(batch)), client.get(unknown), client.get(f"{LIST}nonsense/")]
    answers += [client.post(url_of(batch, verb)) for verb in ("close", "cancel", "retry")]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(404, "not_found")}
    assert batch_ids(client.get(LIST)) == []


def test_the_newest_come_first_in_pages(client: APIClient, organization: Organization) -> None:
    made = [create_batch(organization).batch_id for _ in range(3)][::-1]
    create_batch(make_organization())
    first = client.get(LIST, {"limit": 2})
    assert (first.json()["count"], batch_ids(first)) == (3, made[:2])
    assert batch_ids(client.get(first.json()["next"])) == made[2:]


@pytest.fixture
def by_state(organization: Organization) -> dict[str, str]:
    """The id of a batch in each state."""
    found = {"Completed": make_batch(organization, "Completed"), "Failed": make_batch(organization, "Dead Letter")}
    run_jobs()
    found["Canceled"] = create_batch(organization)
    client_of(make_system_admin()).post(url_of(found["Canceled"], "cancel"))
    found |= {"Running": make_batch(organization, "Completed"), "Open": create_batch(organization)}
    return {state: batch.batch_id for state, batch in found.items()}


def test_the_state_filters_and_may_be_repeated(client: APIClient, by_state: dict[str, str]) -> None:
    for state, batch_id in by_state.items():
        answer = client.get(LIST, {"state": state})
        assert (batch_ids(answer), answer.json()["results"][0]["state"]) == ([batch_id], state)
    assert batch_ids(client.get(LIST, {"state": ["Open", "Failed"]})) == [by_state["Open"], by_state["Failed"]]


def test_the_organization_filters(organization: Organization) -> None:
    other = make_organization()
    client = client_of(make_user(member_of=[organization, other]))
    wanted, _ = create_batch(organization), create_batch(other)
    assert batch_ids(client.get(LIST, {"organization": organization.name})) == [wanted.batch_id]


def test_the_time_filters(client: APIClient, organization: Organization) -> None:
    first, second = create_batch(organization), create_batch(organization)
    assert batch_ids(client.get(LIST, {"created_after": second.created_at.isoformat()})) == [second.batch_id]
    assert batch_ids(client.get(LIST, {"created_before": second.created_at.isoformat()})) == [first.batch_id]


def test_a_search_finds_by_name_or_id_among_the_newest(
    client: APIClient, organization: Organization, tuning: Tuning
) -> None:
    tuning.set(api_searched_batches=2)
    old, march, _ = (create_batch(organization, name=name) for name in ("May 2025", "March, May not", "June"))
    assert batch_ids(client.get(LIST, {"search": "may"})) == [march.batch_id]
    assert batch_ids(client.get(LIST, {"search": old.batch_id})) == [old.batch_id]
    assert batch_ids(client.get(LIST, {"search": f"BATCH-1999-{old.pk:05d}"})) == []


@pytest.mark.parametrize(
    "query",
    [
        {"state": "Ended"},
        {"created_after": "soon"},
        {"organization": "ORG-1999-00001"},
        {"status": "Completed"},
        {"limit": "0"},
        {"search": ["a", "b"]},
    ],
)
def test_a_wrong_parameter_is_named(client: APIClient, query: dict[str, Any]) -> None:
    answer = client.get(LIST, query)
    assert (answer.status_code, list(answer.json())) == (400, list(query))


def test_the_jobs_of_a_batch_are_listed(client: APIClient, organization: Organization) -> None:
    batch = make_batch(organization, "Completed", "Completed")
    make_batch(organization, "Completed")
    mine = [job.name for job in Job.objects.filter(batch=batch).order_by("-pk")]
    assert ids(client.get("/api/jobs/", {"batch": batch.batch_id})) == mine
    assert ids(client.get("/api/jobs/", {"batch": f"BATCH-1999-{batch.pk:05d}"})) == []
    assert ids(client_of(make_user()).get("/api/jobs/", {"batch": batch.batch_id})) == []
    assert list(client.get("/api/jobs/", {"batch": "nonsense"}).json()) == ["batch"]


# -- closing, canceling, retrying --------------------------------------------------------------------------------------


def test_to_close_it_twice_is_a_conflict(client: APIClient, member: Any, organization: Organization) -> None:
    batch = create_batch(organization, user=member)
    assert client.post(url_of(batch, "close")).json()["state"] == "Completed"
    answer = client.post(url_of(batch, "close"))
    assert answer.status_code == 409
    assert batch.batch_id in answer.json().pop("detail")
    assert {name: told for name, told in answer.json().items() if name != "detail"} == {
        "code": "invalid_transition",
        "batch_id": batch.batch_id,
        "status": "Completed",
        "verb": "close",
    }


@pytest.mark.django_db(transaction=True)  # it ends after the commit
def test_it_is_canceled_at_once_where_nothing_runs_and_again_without_harm(
    admin: APIClient, organization: Organization
) -> None:
    batch = make_batch(organization, "Completed", close=False)
    for _ in range(2):
        answer = admin.post(url_of(batch, "cancel"))
        assert (answer.status_code, answer.json()["state"]) == (200, "Canceled")
    assert counts(batch) == {"Canceled": 1}


def test_a_large_one_is_canceled_by_and_by(admin: APIClient, organization: Organization, tuning: Tuning) -> None:
    tuning.set(batch_page_jobs=1, batch_call_seconds=0)
    batch = make_batch(organization, "Completed", "Completed")
    answer = admin.post(url_of(batch, "cancel"))
    assert (answer.status_code, answer.json()["state"]) == (202, "Running")


def test_one_that_has_ended_is_not_canceled(admin: APIClient, organization: Organization) -> None:
    batch = make_batch(organization)
    assert admin.post(url_of(batch, "cancel")).json()["code"] == "invalid_transition"


def test_what_failed_starts_over(admin: APIClient, organization: Organization) -> None:
    batch = make_batch(organization, "Dead Letter", "Completed")
    assert admin.post(url_of(batch, "retry")).status_code == 409
    run_jobs()
    answer = admin.post(url_of(batch, "retry"))
    assert (answer.status_code, answer.json()["state"], answer.json()["progress"]) == (200, "Running", 50)


def test_a_large_one_is_retried_by_and_by(admin: APIClient, organization: Organization, tuning: Tuning) -> None:
    tuning.set(batch_page_jobs=1, batch_call_seconds=0)
    batch = make_batch(organization, "Dead Letter", "Dead Letter")
    run_jobs()
    assert admin.post(url_of(batch, "retry")).status_code == 202


@pytest.mark.parametrize("verb", ["close", "cancel", "retry"])
def test_a_verb_takes_no_fields(admin: APIClient, organization: Organization, verb: str) -> None:
    batch = create_batch(organization)
    assert list(admin.post(url_of(batch, verb), {"force": True}, "json").json()) == ["force"]


ROLES: Final[dict[str, Callable[[Organization], Any]]] = {
    "member": lambda own: make_user(member_of=[own]),
    "organization admin": lambda own: make_user(admin_of=[own]),
    "system admin": lambda _: make_system_admin(),
}


@pytest.mark.django_db(transaction=True)  # it ends after the commit
@pytest.mark.parametrize(("role", "status"), [("member", 403), ("organization admin", 200), ("system admin", 200)])
@pytest.mark.parametrize("verb", ["close", "cancel", "retry"])
def test_only_who_manages_it_may_change_anothers_batch(
    organization: Organization, role: str, status: int, verb: str
) -> None:
    batch = make_batch(organization, "Dead Letter", close=False)
    if verb == "retry":
        run_jobs()
    assert client_of(ROLES[role](organization)).post(url_of(batch, verb)).status_code == status


@pytest.mark.django_db(transaction=True)  # it ends after the commit
@pytest.mark.parametrize(("verb", "status"), [("close", 200), ("cancel", 200), ("retry", 403)])
def test_its_owner_may_close_and_cancel_it(
    client: APIClient, member: Any, organization: Organization, verb: str, status: int
) -> None:
    batch = create_batch(organization, user=member)
    batch.submit(make_job_type("fail_for_good"))
    if verb == "retry":
        run_jobs()
    assert client.post(url_of(batch, verb)).status_code == status


def test_without_an_account_nothing_is_told(organization: Organization) -> None:
    batch = create_batch(organization)
    nobody = client_of()
    calls = [nobody.get(LIST), nobody.post(LIST, {}, "json"), nobody.get(url_of(batch))]
    calls += [nobody.post(url_of(batch, verb)) for verb in ("close", "cancel", "retry")]
    assert {answer.status_code for answer in calls} == {401}


# -- the browsable pages -----------------------------------------------------------------------------------------------


def page(client: APIClient, path: str, **query: Any) -> str:
    answer = client.get(path, query, HTTP_ACCEPT="text/html")
    assert answer.status_code == 200
    return str(answer.content.decode())


@pytest.fixture
def browser(member: Any) -> APIClient:
    client = client_of()
    client.force_login(member)
    return client


def test_the_page_of_the_list_links_to_its_batches(browser: APIClient, organization: Organization) -> None:
    batch = create_batch(organization, name="A <b>name</b>")
    text = page(browser, LIST)
    assert f'href="http://testserver{url_of(batch)}"' in text
    assert "<b>name</b>" not in text
    assert 'name="created_before"' in text


def test_the_page_of_a_batch_leads_to_its_jobs_and_to_what_may_be_done(
    browser: APIClient, organization: Organization, kind: JobType
) -> None:
    batch = make_batch(organization, "Dead Letter", close=False, on_failure={"job_type": kind.pk})
    text = page(browser, url_of(batch))
    assert f'href="http://testserver/api/jobs/?batch={batch.batch_id}"' in text
    assert all(f'href="http://testserver{url_of(batch, verb)}"' in text for verb in ("close", "cancel", "retry"))
    batch.close()
    run_jobs()
    follower = get_batch_status(batch).on_failure_job
    assert f'href="http://testserver/api/jobs/{follower}/"' in page(browser, url_of(batch))
