"""Lists, histories and bulks stay small, whatever the jobs in them are."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from django_jobs import get_job_history, get_job_status, list_jobs, submit_job
from django_jobs.models import ExecutionLog, Job, JobType, Organization
from django_jobs.testing import make_context, run_jobs
from tests.support.api import client_of, ids, url_of
from tests.support.brokers import end, job_in, pending_job, returned, start
from tests.support.factories import make_job_type, make_user
from tests.support.tuning import Tuning
from tests.support.verbs import ItemsThrottle, JobListPagination

pytestmark = pytest.mark.usefixtures("broker")

LIST: Final = "/api/jobs/"
BULK: Final = "/api/jobs/bulk/"
METHOD: Final = "/api/method/dartwing.dartwing_core.api.jobs"
MEGABYTE: Final = 1_000_000


@pytest.fixture
def client(organization: Organization) -> APIClient:
    return client_of(make_user(member_of=[organization]))


def large_jobs(kind: JobType, organization: Organization, count: int) -> list[Job]:
    """Jobs with as large a result, and as long texts, as a handler can leave."""
    jobs = [pending_job(kind, organization) for _ in range(count)]
    texts = {"error_message": "\u00e9" * 4000, "progress_message": "p" * 255, "output_reference": "r" * 1000}
    Job.objects.update(result={"text": "x" * MEGABYTE}, **texts)
    return jobs


@pytest.mark.parametrize("address", [LIST, f"{METHOD}.list_jobs"])
def test_a_hundred_jobs_with_large_results_are_a_small_answer(
    client: APIClient, kind: JobType, organization: Organization, address: str
) -> None:
    large_jobs(kind, organization, 100)
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(address, {"limit": 100})
    body = answer.json().get("message", answer.json())
    assert len(body.get("results", body.get("jobs"))) == 100
    assert len(answer.content) < MEGABYTE
    assert "result" not in body.get("results", body.get("jobs"))[0]
    assert not any('"result"' in query["sql"] or "`result`" in query["sql"] for query in captured)


def test_results_may_be_asked_for_a_few_jobs_at_a_time(
    client: APIClient, kind: JobType, organization: Organization
) -> None:
    for n in range(21):
        end(returned(start(pending_job(kind, organization)), {"n": n}))
    query: dict[str, Any] = {"fields": "result", "limit": 100}
    answer = client.get(LIST, query)
    assert [row["result"] for row in answer.json()["results"]] == [{"n": n} for n in range(20, 0, -1)]
    rest = client.get(answer.json()["next"]).json()
    assert [row["result"] for row in rest["results"]] == [{"n": 0}]
    told = client.get(f"{METHOD}.list_jobs", query).json()["message"]
    assert (told["limit"], told["jobs"][0]["result"], len(told["jobs"])) == (20, {"n": 20}, 20)


@pytest.mark.parametrize("limit", ["100", "101", "9" * 500])
def test_a_larger_page_than_there_are_is_cut(
    client: APIClient, kind: JobType, organization: Organization, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(JobListPagination, "max_limit_of", lambda *_: 2)
    jobs = [pending_job(kind, organization) for _ in range(3)]
    answer = client.get(LIST, {"limit": limit})
    assert ids(answer) == [job.name for job in reversed(jobs[1:])]
    assert "limit=2&offset=2" in answer.json()["next"]


def test_a_job_by_itself_has_all_that_a_list_cuts(
    client: APIClient, kind: JobType, organization: Organization, tuning: Tuning
) -> None:
    tuning.set(listed_parents=2)
    parents = [pending_job(kind, organization) for _ in range(3)]
    job = pending_job(kind, organization, depends_on=parents)
    Job.objects.filter(pk=job.pk).update(error_message="e" * 600)
    listed, alone = client.get(LIST).json()["results"][0], client.get(url_of(job)).json()
    assert listed["depends_on"] == [parents[0].name, parents[1].name, "…"]
    assert alone["depends_on"] == [parent.name for parent in parents]
    assert (listed["error_message"], alone["error_message"]) == ("e" * 499 + "…", "e" * 600)
    assert list_jobs(limit=1)[0].depends_on == listed["depends_on"]


def test_server_code_reads_results_by_itself_or_a_few_at_a_time(kind: JobType, organization: Organization) -> None:
    end(returned(start(pending_job(kind, organization)), {"n": 1}))
    (listed,) = list_jobs()
    assert (listed.result, list_jobs(results=True)[0].result) == (None, {"n": 1})
    assert get_job_status(listed.job_id).result == {"n": 1}


def test_a_bulks_answer_has_no_results(client: APIClient, kind: JobType, organization: Organization) -> None:
    (row,) = client.post(BULK, [{"job_type": kind.pk, "organization": organization.name}], "json").json()
    assert "result" not in row


@pytest.mark.parametrize(("length", "ends"), [(1000, "Completed"), (1001, "Dead Letter")])
def test_an_output_reference_has_its_bound(organization: Organization, length: int, ends: str) -> None:
    job = submit_job(make_job_type("refer"), organization, {"length": length})
    run_jobs()
    told = get_job_status(job)
    assert told.status == ends
    assert told.error_message == "" or re.search(r"^output_reference .*1001.* 1000\b", told.error_message)


def test_a_long_progress_message_is_cut_with_a_sign() -> None:
    context = make_context()
    context.update_progress(1, "m" * 256)
    assert context.progress[-1] == (1, "m" * 254 + "…")


def history_pages(client: APIClient, address: str) -> list[list[Any]]:
    """The ids of the rows of each page, following ``next``."""
    pages = []
    while address:
        told = client.get(address).json()
        told = told.get("message", told)
        pages.append([row["id"] for row in told["history"]])
        address = told["next"]
    return pages


@pytest.mark.parametrize("address", ["/api/jobs/{0}/history/", f"{METHOD}.get_job_history?job_id={{0}}"])
def test_a_long_history_comes_in_pages(
    client: APIClient, organization: Organization, tuning: Tuning, address: str
) -> None:
    tuning.set(history_page_rows=3)
    job = job_in("Completed", organization=organization)
    rows = list(ExecutionLog.objects.filter(job=job).order_by("id").values_list("id", flat=True))
    assert history_pages(client, address.format(job.name)) == [rows[:3], rows[3:]]
    assert [row["id"] for row in get_job_history(job)] == rows


def test_a_posted_call_leads_to_the_rows_that_follow(
    client: APIClient, organization: Organization, tuning: Tuning
) -> None:
    tuning.set(history_page_rows=3)
    job = job_in("Completed", organization=organization)
    told = client.post(f"{METHOD}.get_job_history", {"job_id": job.name}, "json").json()["message"]
    assert len(history_pages(client, told["next"])) == 1


def test_a_page_of_long_messages_has_fewer_rows(client: APIClient, organization: Organization, tuning: Tuning) -> None:
    tuning.set(history_page_characters=500)
    job = job_in("Completed", organization=organization)
    ExecutionLog.objects.filter(job=job).update(message="m" * 300)
    assert [len(page) for page in history_pages(client, url_of(job, "history"))] == [1, 1, 1, 1]


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "9" * 30])
def test_what_is_no_row_of_a_history_is_refused(client: APIClient, organization: Organization, after: str) -> None:
    job = pending_job(None, organization)
    assert list(client.get(url_of(job, "history"), {"after": after}).json()) == ["after"]
    assert list(client.get(url_of(job, "history"), {"before": "1"}).json()) == ["before"]


def bulk_of(kind: JobType, organization: Organization, count: int) -> list[dict[str, Any]]:
    return [{"job_type": kind.pk, "organization": organization.name, "parameters": {"n": n}} for n in range(count)]


def test_a_bulk_counts_as_what_it_holds(client: APIClient, kind: JobType, organization: Organization) -> None:
    body = [*bulk_of(kind, organization, 999), {"job_type": "unknown"}]
    answers = [client.post(BULK, body, "json") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 429]
    assert answers[-1].json()["code"] == "throttled"
    assert 1 <= int(answers[-1]["Retry-After"]) <= 60
    assert client.post(BULK, bulk_of(kind, organization, 0), "json").status_code == 201
    assert client.post(LIST, bulk_of(kind, organization, 1)[0], "json").status_code == 201


def test_bulks_have_room_again_when_enough_of_the_earlier_ones_are_a_minute_old(
    client: APIClient, kind: JobType, organization: Organization, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "THROTTLE_RATES": {"submit_items": "5/min", "submit": None}}
    now = [1000.0]
    monkeypatch.setattr(ItemsThrottle, "timer", lambda _: now[0])

    def post(count: int) -> Any:
        return client.post(BULK, bulk_of(kind, organization, count), "json")

    assert post(3).status_code == 201
    now[0] += 20
    assert post(2).status_code == 201
    assert (post(1).status_code, post(1)["Retry-After"], post(4)["Retry-After"]) == (429, "40", "60")
    now[0] += 40
    assert (post(3).status_code, post(1)["Retry-After"]) == (201, "20")
    assert list(post(6).json()) == ["non_field_errors"]
    now[0] += 61
    assert post(5).status_code == 201


def test_a_body_that_is_too_large_is_told_so(client: APIClient, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    assert client.post(BULK, [{"job_type": "x" * 1000}], "json").status_code == 413
