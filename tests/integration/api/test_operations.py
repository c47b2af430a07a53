"""The routes of operations: started, counted beforehand, followed, paused and stopped over HTTP."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import pytest
from django.contrib.admin.models import LogEntry
from django.test import override_settings
from rest_framework.test import APIClient

from django_jobs.models import Job, JobType, Membership, Operation, Organization
from django_jobs.statuses import Status
from django_jobs.values import OperationStatus
from tests.support.api import client_of
from tests.support.brokers import end, job_in, pending_job, raised, reread, start
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.operations import dead, finish, work_off

pytestmark = pytest.mark.usefixtures("broker")

LIST: Final = "/api/jobs/operations/"


@pytest.fixture
def mine() -> Organization:
    return make_organization(name="ORG-MINE")


@pytest.fixture
def mails() -> JobType:
    return make_job_type(type_name="mails")


@pytest.fixture
def root() -> APIClient:
    return client_of(make_system_admin("root"))


@pytest.fixture
def boss(mine: Organization) -> APIClient:
    return client_of(make_user("boss", admin_of=[mine]))


def post(client: APIClient, action: str = "retry", **body: Any) -> Any:
    return client.post(LIST, {"action": action, "filters": {"job_type": "mails"}, **body}, "json")


def url_of(answer: Any, *more: str) -> str:
    return "/".join(["/api/jobs/operations", str(answer.json()["id"]), *more, ""])


def test_all_that_match_are_retried(boss: APIClient, mine: Organization, mails: JobType) -> None:
    jobs = dead(mails, 2, mine)
    answer = post(boss, filters={"job_type": "mails", "organization": "ORG-MINE", "status": "Dead Letter"}, rate=600)
    assert (answer.status_code, answer.json()["count"], answer.json()["state"]) == (202, 2, "running")
    assert answer["Location"] == f"http://testserver{url_of(answer)}"
    finish(Operation.objects.get())
    assert [reread(job).status for job in jobs] == [Status.PENDING] * 2
    followed = boss.get(url_of(answer)).json()
    assert (followed["state"], followed["changed"], followed["outcome"]) == ("done", 2, {"Pending": 2})


def test_a_dry_run_counts_and_stores_nothing(boss: APIClient, mine: Organization, mails: JobType) -> None:
    dead(mails, 3, mine)
    answer = post(boss, rate=60, dry_run=True)
    assert answer.status_code == 200
    assert answer.json() == {"count": 3, "count_capped": False, "eta_seconds": 3.0}
    assert not Operation.objects.exists()


def test_the_answer_has_the_fields_of_the_status_and_no_others(
    boss: APIClient, mine: Organization, mails: JobType
) -> None:
    dead(mails, 1, mine)
    assert list(post(boss).json()) == [item.name for item in dataclasses.fields(OperationStatus)]


def test_the_filters_are_told_as_they_were_given(root: APIClient, mine: Organization, mails: JobType) -> None:
    dead(mails, 1, mine)
    given = {"job_type": ["mails"], "organization": ["ORG-MINE"], "status": ["Dead Letter"]}
    assert post(root, filters=given).json()["filters"] == given


def test_waiting_jobs_are_canceled_get_another_priority_and_run_now(
    root: APIClient, mine: Organization, mails: JobType
) -> None:
    job = pending_job(job_type=mails, organization=mine)
    assert post(root, "set_priority", value="Critical").json()["value"] == "Critical"
    finish(Operation.objects.get())
    assert reread(job).priority == 3
    assert post(root, "cancel").status_code == 202
    finish(Operation.objects.latest("pk"))
    assert reread(job).status == Status.CANCELED


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "explode"}, "action"),
        ({"filters": {}}, "filters"),
        ({"filters": []}, "filters"),
        ({"filters": {"color": "red"}}, "filters.color"),
        ({"filters": {"status": "Dead"}}, "filters.status"),
        ({"filters": {"organization": "ORG-NONE"}}, "filters.organization"),
        ({"filters": {"organization_pk": [1]}}, "filters.organization_pk"),
        ({"filters": {"job_id": "JOB-1"}}, "filters.job_id"),
        ({"filters": {"job_type": "unheard"}}, "filters"),
        ({"filters": {"job_id": [f"JOB-2026-{number:05d}" for number in range(1, 502)]}}, "filters.job_id"),
        ({"filters": {"status": "Dead Letter", "owner": "x" * 10_000}}, "filters.owner"),
        ({"filters": {"all": 1}}, "filters.all"),
        ({"rate": 0}, "rate"),
        ({"rate": -5}, "rate"),
        ({"rate": "fast"}, "rate"),
        ({"stop_above": 2}, "stop_above"),
        ({"action": "set_priority"}, "value"),
        ({"action": "set_priority", "value": "Huge"}, "value"),
        ({"action": "cancel", "try_first": True}, "try_first"),
        ({"speed": 1}, "speed"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_wrong_is_named(
    body: dict[str, Any], field: str, boss: APIClient, mine: Organization, mails: JobType
) -> None:
    dead(mails, 1, mine)
    answer = post(boss, **body)
    assert (answer.status_code, list(answer.json())) == (400, [field])
    assert not Operation.objects.exists()


def test_another_tenants_organization_is_as_unknown_as_none(boss: APIClient, mails: JobType) -> None:
    dead(mails, 1, make_organization(name="ORG-THEIRS"))
    answers = [post(boss, filters={"organization": name}) for name in ("ORG-THEIRS", "ORG-NONE")]
    assert [(item.status_code, list(item.json())) for item in answers] == [(400, ["filters.organization"])] * 2


def test_everything_wants_to_be_named_as_such(root: APIClient, mine: Organization, mails: JobType) -> None:
    dead(mails, 1, mine)
    assert post(root, filters={"all": True}).status_code == 202


def test_an_organization_admin_reaches_no_other_organization(
    boss: APIClient, mine: Organization, mails: JobType
) -> None:
    own, foreign = dead(mails, 1, mine)[0], dead(mails, 1)[0]
    assert post(boss).json()["count"] == 1
    finish(Operation.objects.get())
    assert [reread(own).status, reread(foreign).status] == [Status.PENDING, Status.DEAD_LETTER]


def test_members_start_none(mine: Organization, mails: JobType) -> None:
    member = make_user("alice", member_of=[mine])
    job_in(Status.PENDING, job_type=mails, organization=mine, user=member)
    answer = post(client_of(member), "cancel")
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


def test_organization_admins_delete_nothing(boss: APIClient, mine: Organization, mails: JobType) -> None:
    dead(mails, 1, mine)
    assert post(boss, "delete").status_code == 403
    assert Job.objects.count() == 1


def test_each_sees_the_own_and_system_admins_see_all(
    boss: APIClient, root: APIClient, mine: Organization, mails: JobType
) -> None:
    dead(mails, 1, mine)
    of_root = post(root)
    assert boss.get(LIST).json()["count"] == 0
    assert boss.get(url_of(of_root)).status_code == 404
    assert boss.post(url_of(of_root, "stop")).status_code == 404
    assert [item["id"] for item in root.get(LIST).json()["results"]] == [of_root.json()["id"]]


def test_who_left_is_told_no_new_name_of_the_organization(boss: APIClient, mine: Organization, mails: JobType) -> None:
    dead(mails, 1, mine)
    answer = post(boss, filters={"organization": "ORG-MINE"})
    mine.name = "ORG-RENAMED"
    mine.save()
    assert boss.get(url_of(answer)).json()["filters"] == {"organization": ["ORG-RENAMED"]}
    Membership.objects.all().delete()
    told = [boss.get(url_of(answer)).json(), *boss.get(LIST).json()["results"]]
    assert [item["filters"] for item in told] == [{"organization": [str(mine.pk)]}] * 2


def test_hidden_values_that_a_filter_names_are_masked(mine: Organization, mails: JobType, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("token",)}
    dead(mails, 1, mine, parameters={"login": {"token": "abc"}, "n": 1})
    reader = client_of(make_user("reader", is_superuser=True))
    answer = post(reader, filters={"parameters": {"login.token": "abc", "n": 1}})
    assert answer.json()["filters"] == {"parameters": ["login.token:abc", "n:1"]}
    other = client_of(make_system_admin("other"))
    assert other.get(url_of(answer)).json()["filters"] == {"parameters": ["login.token:********", "n:1"]}
    assert "abc" not in LogEntry.objects.get().change_message
    finish(Operation.objects.get())
    assert Operation.objects.get().changed == 1


def test_who_left_or_may_not_see_it_is_told_no_error_of_the_job_that_was_tried_first(
    boss: APIClient, mine: Organization, mails: JobType, settings: Any
) -> None:
    (job,) = dead(mails, 1, mine)
    answer = post(boss, filters={"organization": "ORG-MINE"}, try_first=True)
    work_off()
    end(raised(start(reread(job)), "Permanent", text="a secret"))
    work_off()
    note = f"{job.name}: Dead Letter. a secret"
    assert boss.get(url_of(answer)).json()["note"] == note
    with override_settings(DJANGO_JOBS={**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OwnJobsOnly"}):
        assert boss.get(url_of(answer)).json()["note"] == ""
    Membership.objects.all().delete()
    told = [boss.get(url_of(answer)).json(), *boss.get(LIST).json()["results"]]
    assert [(item["reason"], item["note"]) for item in told] == [("first_failed", "")] * 2
    assert client_of(make_system_admin("other")).get(url_of(answer)).json()["note"] == note


def test_it_is_paused_resumed_and_stopped_and_repeating_that_is_fine(
    root: APIClient, mine: Organization, mails: JobType
) -> None:
    dead(mails, 1, mine)
    made = post(root)
    for verb, state in [("pause", "paused"), ("resume", "running"), ("stop", "stopped")]:
        for _ in range(2):
            answer = root.post(url_of(made, verb))
            assert (answer.status_code, answer.json()["state"]) == (200, state)
    assert [entry.user.get_username() for entry in LogEntry.objects.select_related("user")] == ["root"] * 4


def test_one_that_is_over_cannot_go_on(root: APIClient, mine: Organization, mails: JobType) -> None:
    dead(mails, 1, mine)
    made = post(root)
    finish(Operation.objects.get())
    answer = root.post(url_of(made, "resume"))
    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_transition")


def test_a_job_by_the_name_of_operations_is_not_looked_for(root: APIClient) -> None:
    assert root.get(LIST).json()["results"] == []


def test_the_browsable_page_leads_to_what_may_be_done(root: APIClient, mine: Organization, mails: JobType) -> None:
    dead(mails, 1, mine)
    made = post(root)
    assert "&quot;stop_above&quot;: null" in root.get(LIST, HTTP_ACCEPT="text/html").content.decode()
    page = root.get(url_of(made), HTTP_ACCEPT="text/html").content.decode()
    assert url_of(made, "pause") in page
    assert url_of(made, "stop") in page


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_nothing_else_is_done_to_one(method: str, root: APIClient, mine: Organization, mails: JobType) -> None:
    dead(mails, 1, mine)
    assert getattr(root, method)(url_of(post(root))).status_code == 405
