"""The page of one job: facts, history, attempts, relatives, and what of them is for whom."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.test import Client
from pytest_django import Settings

from django_jobs import cancel_job, retry_job, submit_job
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import Job, Organization
from tests.support import admin, verbs
from tests.support.admin import codes_on, codes_said, fact_on, page_of, said, text, url
from tests.support.brokers import MemoryBroker, end, job_in, pending_job, raised, reread, returned, running_job, start
from tests.support.cases import rolled_back
from tests.support.factories import make_job_type, make_organization
from tests.support.statements import statements_of
from tests.support.tuning import Tuning
from tests.support.verbs import CARRIED

pytestmark = pytest.mark.usefixtures("broker")

EVIL = "<script>alert(1)</script> {{ 7|add:7 }} {% now 'Y' %} \u202egnp.exe"


@pytest.fixture
def member(mine: Organization) -> Client:
    return admin.staff_of(mine)


def test_the_page_is_found_by_the_job_id(root: Client) -> None:
    job = pending_job()
    assert job.name in text(root, f"/admin/django_jobs/job/{job.name}/change/")
    assert root.get(f"/admin/django_jobs/job/JOB-1999-{job.pk:05d}/change/").status_code == 302


def test_the_timeline_tells_every_change_with_actor_and_duration(root: Client) -> None:
    job = job_in("Failed")
    retry_job(job)
    steps = root.get(url("job", "change", job.pk)).context["history"]["steps"]
    told = [(step.to_status, step.actor) for step in steps]
    assert told[:4] == [("Pending", "system"), ("Queued", "system"), ("Running", "worker"), ("Failed", "worker")]
    assert told[4] == ("Pending", "system")
    assert all(step.lasted > 0 for step in steps)


def test_each_attempt_tells_worker_error_and_traceback(root: Client) -> None:
    job = pending_job()
    for number in range(2):
        end(raised(start(reread(job)), text=f"error {number}", traceback=f"trace {number}"))
        retry_job(job)
    first, second, to_come = reversed(root.get(url("job", "change", job.pk)).context["history"]["attempts"])
    assert (first["number"], second["number"], to_come["number"]) == (1, 2, 0)
    assert "worker-1" in first["worker"]
    assert "error 0" in first["error"]
    assert "trace 1" in second["traceback"]


def test_tracebacks_are_not_even_read_for_others(member: Client, mine: Organization) -> None:
    job = end(raised(start(pending_job(organization=mine)), text="it failed", traceback="SECRET TRACE"))
    response = member.get(url("job", "change", job.pk))
    assert "SECRET TRACE" not in response.content.decode()
    assert "it failed" in response.content.decode()


def test_of_a_job_that_ended_before_it_ran_no_attempt_is_next(root: Client) -> None:
    job = pending_job()
    assert "next_attempt" in codes_on(page_of(root, job))
    cancel_job(job)
    assert '<th scope="row">-</th>' in page_of(root, job)
    assert "next_attempt" not in codes_on(page_of(root, job))


def test_a_running_attempt_is_told_too(root: Client) -> None:
    job, _ = running_job()
    (attempt,) = root.get(url("job", "change", job.pk)).context["history"]["attempts"]
    assert "Running" in attempt["badge"]
    assert "<progress" in fact_on(page_of(root, job), "progress_now")
    assert fact_on(page_of(root, pending_job()), "progress_now") == ""


def test_why_a_job_waits_is_said(root: Client) -> None:
    parent = pending_job(job_type=make_job_type(is_paused=True))
    child = pending_job(parent.job_type, parent.organization, depends_on=[parent])
    reasons = [codes_on(fact_on(page_of(root, job), "waits_because")) for job in (parent, child)]
    assert reasons == [["type_paused"], ["dependency"]]


def test_parents_and_children_are_linked_with_their_status(root: Client) -> None:
    parent = pending_job()
    child = pending_job(parent.job_type, parent.organization, depends_on=[parent])
    for one, other in ((parent, child), (child, parent)):
        assert f'<a href="{url("job", "change", other.pk)}">{other.name}</a>' in page_of(root, one)


def test_many_relatives_are_counted_and_shown_on_request(root: Client) -> None:
    parent = pending_job()
    children = [submit_job(parent.job_type, parent.organization, depends_on=[parent]) for _ in range(12)]
    page = page_of(root, parent)
    assert "(12)" in page
    assert children[-1].name not in page
    assert '<a href="?all=1">' in page
    assert children[-1].name in page_of(root, parent, all="1")


@pytest.mark.parametrize(("role", "most"), [("root", 22), ("member", 31)])
def test_the_page_costs_the_same_statements_however_much_there_is(
    request: pytest.FixtureRequest, mine: Organization, role: str, most: int
) -> None:
    client = request.getfixturevalue(role)
    small, parent = pending_job(organization=mine), pending_job(organization=mine)
    for job, children in ((small, 1), (parent, 9)):
        for _ in range(children):
            submit_job(job.job_type, mine, depends_on=[job])
        end(raised(start(job)))
        retry_job(job)
    page_of(client, small)  # content types are read once in a process
    few = statements_of(lambda: page_of(client, small))
    assert statements_of(lambda: page_of(client, parent)) <= few <= most


def test_what_others_wrote_is_escaped_and_isolated(root: Client) -> None:
    job = pending_job(parameters={"note": EVIL}, metadata={"trace": EVIL})
    end(raised(start(job), "Permanent", text=EVIL, traceback=EVIL))
    Job.objects.filter(pk=job.pk).update(progress_message=EVIL, result={"r": EVIL}, owner_name=EVIL, canceled_by=EVIL)
    page = page_of(root, job)
    assert "<script>alert" not in page
    assert "{{ 7|add:7 }}" in page
    assert "\\u202egnp.exe" in page
    isolated = re.compile(r'<bdi.*?</bdi>|<pre.*?</pre>|(?:title|data-djobs-news)="[^"]*"', re.DOTALL)
    assert "\u202e" in page
    assert "\u202e" not in isolated.sub("", page)


def test_long_texts_are_cut_and_shown_whole_on_request(root: Client) -> None:
    job = pending_job(parameters={"text": "x" * 60_000 + "LAST"})
    page = page_of(root, job)
    assert "LAST" not in page
    assert '<a href="?all=1">' in page
    assert "LAST" in page_of(root, job, all="1")


def test_long_histories_are_cut_and_shown_whole_on_request(root: Client, tuning: Tuning) -> None:
    tuning.set(job_page_history_rows=2)
    job = job_in("Completed")
    address = url("job", "change", job.pk)
    cut, whole = root.get(address).context["history"], root.get(address, {"all": "1"}).context["history"]
    assert (len(cut["steps"]), cut["is_cut"], len(whole["steps"]), whole["is_cut"]) == (2, True, 4, False)


def test_what_observers_carry_is_no_part_of_the_metadata(root: Client) -> None:
    bare, filled = pending_job(metadata={CARRIED: {"a": "b"}}), pending_job(metadata={"ours": 1, CARRIED: {"a": "b"}})
    assert CARRIED not in page_of(root, bare) + page_of(root, filled)
    assert "ours" in page_of(root, filled)


@pytest.mark.parametrize("permission", ["manage_all_jobs", "view_sensitive"])
def test_sensitive_keys_are_masked_in_parameters_results_and_metadata(
    mine: Organization, settings: Settings, permission: str
) -> None:
    client = admin.staff_of(mine, permissions=[*admin.VIEWS, f"django_jobs.{permission}"])
    job = pending_job(organization=mine, parameters={"Password": "hunter2"}, metadata={"token": "hunter3"})
    Job.objects.filter(pk=job.pk).update(result=[{"API_KEY": "hunter4"}])
    assert "hunter2" in page_of(client, job)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("password", "token", "api_key")}
    assert ("hunter" in page_of(client, job)) == (permission == "view_sensitive")


def test_another_organizations_job_is_not_there(subtests: pytest.Subtests, member: Client) -> None:
    foreign = pending_job(organization=make_organization(name="ORG-THEIRS"))
    for page in ("change", "cancel", "retry", "run_again", "output", "history"):
        with subtests.test(page=page):
            response = member.get(url("job", page, foreign.pk), follow=True)
            assert response.redirect_chain
            assert foreign.name not in response.content.decode()


def test_staff_without_the_view_permission_reach_no_page(subtests: pytest.Subtests, mine: Organization) -> None:
    for page in ("change", "cancel", "retry", "run_again", "output"):
        with rolled_back(subtests, page=page):
            job = pending_job(organization=mine)
            assert admin.staff_of(mine, permissions=[]).get(url("job", page, job.pk)).status_code == 403


def test_a_job_of_a_deleted_organization_is_shown_to_system_admins(root: Client, mine: Organization) -> None:
    job = pending_job(organization=mine)
    mine.delete()
    page = page_of(root, job)
    assert "ORG-MINE" in page
    assert url("job", "run_again", job.pk) not in page


def test_everything_works_while_the_broker_is_down(
    root: Client, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, _ = running_job()

    def fail(*args: object, **kwargs: object) -> None:
        raise BrokerUnavailable("down")

    for name in ("look", "push", "request_cancel", "depths"):
        monkeypatch.setattr(broker, name, fail)
    page_of(root, job)
    answer = root.post(url("job", "cancel", job.pk), follow=True)
    assert codes_said(answer) == ["asked_to_stop"]
    assert job.name in said(answer)[0]
    assert said(root.post(url("job", "run_again", job.pk), {"parameters": '{"n": 1}', "priority": "1"}, follow=True))
    assert Job.objects.count() == 2


def test_no_page_has_inline_scripts_styles_or_handlers(root: Client) -> None:
    job = job_in("Running")
    cancel_job(job)
    pages = [page_of(root, job), text(root, url("job", "changelist")), text(root, url("job", "run_again", job.pk))]
    pages += [text(root, url("jobtype", name, job.job_type_id)) for name in ("change", "submit")]
    pages += [text(root, url("organization", name, job.organization_id)) for name in ("change", "suspend")]
    inline = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\sstyle=|\son[a-z]+=|javascript:")
    assert [inline.findall(page) for page in pages] == [[] for _ in pages]


def test_a_job_that_the_policy_does_not_show_has_no_page(
    member: Client, mine: Organization, settings: Settings
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OwnJobsOnly"}
    job = job_in("Completed", organization=mine)
    assert member.get(url("job", "change", job.pk)).status_code == 302


def pause_of(client: Client, job: Job, **query: str) -> int:
    pause: int = client.get(url("job", "change", job.pk), query).context["pause"]
    return pause


def test_an_open_page_asks_the_more_often_the_more_may_change(root: Client) -> None:
    parent, child = pending_job(), pending_job()
    waits_for = pending_job(parent.job_type, parent.organization, depends_on=[parent])
    assert pause_of(root, waits_for) == verbs.JOB_PAGE_PAUSE
    assert pause_of(root, waits_for, all="1") == verbs.JOB_PAGE_WHOLE_PAUSE
    assert pause_of(root, job_in("Dead Letter")) == verbs.JOB_PAGE_CALM_PAUSE
    end(returned(start(parent)))
    assert pause_of(root, parent) == verbs.JOB_PAGE_CALM_PAUSE, "a child goes on"
    end(returned(start(child)))
    assert pause_of(root, child) == verbs.JOB_PAGE_FINAL_PAUSE


def test_each_fact_stands_in_its_own_line(root: Client) -> None:
    lines = {
        "created": "created_at",
        "due": "run_at",
        "expires": "expires_at",
        "queued": "queued_at",
        "started": "started_at",
        "ended_at": "completed_at",
        "next_retry": "next_retry_at",
        "cancel_requested": "cancel_requested_at",
        "canceled": "canceled_at",
        "lease": "lease_expires_at",
    }
    job = job_in("Dead Letter", priority="High")
    first = job.created_at + dt.timedelta(seconds=1)
    moments = {column: first + dt.timedelta(seconds=place) for place, column in enumerate(lines.values())}
    numbers = {"attempt": 7, "retry_count": 2, "max_retries": 6, "timeout_seconds": 90}
    Job.objects.filter(pk=job.pk).update(**moments, **numbers, canceled_by="bob")
    page = page_of(root, job)
    assert [line for line, column in lines.items() if moments[column].isoformat() not in fact_on(page, line)] == []
    texts = {"canceler": "bob", "latest_attempt": "7", "time_limit": "1 min 30 s", "urgency": "High"}
    assert [line for line, words in texts.items() if words not in fact_on(page, line)] == []
    assert re.findall(r"\d+", fact_on(page, "attempts_left")) == ["2", "6"]
