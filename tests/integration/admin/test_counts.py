"""Numbers in the admin are true: what was counted to a bound says so, and a number leads to just what it counts."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from django_jobs.models import ExecutionLog, Job, Organization, Worker
from django_jobs.statuses import AWAITING_RETRY, WITH_ERRORS, Status
from tests.support import admin, verbs
from tests.support.admin import codes_on, listed, text, url
from tests.support.brokers import end, job_in, pending_job, raised, running_job, start
from tests.support.factories import make_job_type, make_organization
from tests.support.failures import die, group
from tests.support.monitor import monitor, page, tiles
from tests.support.tuning import Tuning
from tests.support.verbs import CappedCount, JobAdmin

pytestmark = pytest.mark.usefixtures("broker")


def tile(client: Client, code: str) -> Any:
    (found,) = (item for item in monitor(client)["tiles"] if item.code == code)
    return found


def shown_at(client: Client, address: str) -> int:
    """How many rows the list at this address has."""
    return int(client.get(address).context["cl"].result_count)


@pytest.fixture
def counted_to_one(tuning: Tuning) -> None:
    tuning.set(capped_count_rows=1)


@pytest.mark.usefixtures("counted_to_one")
def test_a_list_that_was_counted_to_a_bound_says_at_least(root: Client, mine: Organization) -> None:
    kind = make_job_type()
    for _ in range(2):
        pending_job(kind, mine)
    for model in (Job, ExecutionLog):
        shown = text(root, url(str(model._meta.model_name), "changelist"))
        name, names = model._meta.verbose_name, model._meta.verbose_name_plural
        assert f"1+ {names}" in shown
        assert not re.search(rf"\b1 (results?|{name}|{names})", shown)


def test_a_list_that_was_counted_whole_says_the_number(root: Client) -> None:
    pending_job()
    assert re.search(r"\b1 job\b", text(root, url("job", "changelist")))


@pytest.mark.usefixtures("counted_to_one")
def test_to_choose_all_is_offered_for_at_least_so_many(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JobAdmin, "list_per_page", 1)
    pending_job()
    pending_job()
    shown = text(root, url("job", "changelist"))
    assert f"Select all 1+ {Job._meta.verbose_name_plural}" in shown
    assert "All 1+ selected" in shown
    assert "All 1 selected" not in shown


def test_what_is_retried_is_counted_whatever_else_waits(root: Client, tuning: Tuning) -> None:
    tuning.set(monitor_counted_jobs=2)
    kind, tenant = make_job_type(), make_organization()
    for _ in range(4):
        pending_job(kind, tenant)
    job_in("Failed", job_type=kind, organization=tenant)
    assert (tiles(root)["waiting"], tiles(root)["retrying"]) == ("2+", "1")


def test_as_many_as_the_bound_are_no_more_than_that(root: Client, tuning: Tuning) -> None:
    tuning.set(monitor_counted_jobs=2)
    job = pending_job()
    pending_job(job.job_type, job.organization)
    assert tiles(root)["waiting"] == "2"
    assert tile(root, "waiting").note_code == "oldest"
    pending_job(job.job_type, job.organization)
    assert tile(root, "waiting").note_code == "oldest_at_least"


def test_an_organization_of_whose_backlog_nothing_is_known_is_not_said_to_have_none(
    root: Client, mine: Organization, theirs: Organization, tuning: Tuning
) -> None:
    tuning.set(monitor_counted_jobs=1, load_page_jobs=0)
    for _ in range(3):
        pending_job(organization=mine)
    running_job(organization=theirs)
    unknown = CappedCount(count=0, is_cut=True)
    rows = {str(row["name"]): row["waiting"] for row in monitor(root)["tenants"]}
    assert rows["<bdi>ORG-THEIRS</bdi>"] == unknown
    page_of_all = root.get(url("organization", "changelist")).context["cl"].result_list
    assert {row.name: row.shown_backlog for row in page_of_all}["ORG-THEIRS"] == unknown
    assert "0" not in str(unknown)


def test_a_group_that_was_not_counted_whole_says_at_least(root: Client, mine: Organization, tuning: Tuning) -> None:
    tuning.set(failed_jobs_read=2)
    kind = make_job_type()
    job = [die(kind, mine) for _ in range(3)][-1]
    for address in (group(job), url("failure", "changelist")):
        assert re.search(r"<strong>(\w+: )?2\+</strong>", text(root, address))


def test_jobs_status_counts_each_status_for_itself(mine: Organization, tuning: Tuning) -> None:
    tuning.set(status_counted_jobs=2)
    kind = make_job_type()
    die(kind, mine)
    for _ in range(4):
        job_in("Completed", job_type=kind, organization=mine)
    capped = {"Completed": (2, True), "Canceled": (0, False), "Dead Letter": (1, False)}
    assert {name: tuple(item.values()) for name, item in verbs.look_at_status()["ended"].items()} == capped


@pytest.mark.parametrize(
    ("alive", "slots", "code", "number"),
    [
        (["worker-1"], 4, "slots", "4"),
        (["worker-1"], 1, "more_than_slots", "1"),
        (["worker-2"], 1, "elsewhere", "2"),
        ([], 0, "elsewhere", "2"),
    ],
)
def test_who_runs_what_is_running_is_said(root: Client, alive: list[str], slots: int, code: str, number: str) -> None:
    for _ in range(2):
        running_job("worker-1")
    for name in alive:
        verbs.announce_worker(name, ["jobs-normal"], slots=slots)
    found = tile(root, "running")
    assert (found.value, found.note_code, re.findall(r"\d+", found.note)) == ("2", code, [number])
    assert code in codes_on(page(root))


def test_jobs_of_a_worker_that_fell_silent_are_told_apart(root: Client) -> None:
    running_job("worker-1")
    running_job("worker-2")
    for name in ("worker-1", "worker-2"):
        verbs.announce_worker(name, ["jobs-normal"], slots=4)
    Worker.objects.filter(pk="worker-2").update(last_seen=timezone.now() - dt.timedelta(minutes=2))
    assert tile(root, "running").note_code == "elsewhere"
    assert re.findall(r"\d+", tile(root, "running").note) == ["1"]


def test_a_worker_whose_jobs_are_not_shown_runs_something_all_the_same(root: Client, tuning: Tuning) -> None:
    tuning.set(monitor_running_jobs=1)
    for name in ("worker-1", "worker-2"):
        verbs.announce_worker(name, ["jobs-normal"], slots=4)
        running_job(name)
    assert [row.more for row in monitor(root)["workers"]] == [1, 0]
    assert re.search(r"<div>\w+: 1</div>", page(root))


def test_all_workers_are_counted_and_the_first_are_shown(root: Client, tuning: Tuning) -> None:
    tuning.set(monitor_shown_workers=1)
    for name in ("worker-1", "worker-2", "worker-3"):
        verbs.announce_worker(name, ["jobs-normal"], slots=4)
    assert (tiles(root)["workers"], len(monitor(root)["workers"])) == ("3", 1)
    assert monitor(root)["more_workers"] == CappedCount(count=2)
    assert "more_workers" in codes_on(page(root))
    tuning.set(monitor_counted_workers=2)
    assert tiles(root)["workers"] == "2+"


def test_retrying_leads_to_the_jobs_that_were_counted(root: Client, mine: Organization) -> None:
    found = [job_in("Failed", organization=mine), job_in("Timed Out"), job_in("Failed")]
    for status in ("Completed", "Dead Letter", "Running", "Pending"):
        job_in(status)
    assert tile(root, "retrying").value.count == 3
    assert shown_at(root, tile(root, "retrying").url) == 3
    assert listed(root, status=["Failed", "Timed Out"]) == found[::-1]
    member = admin.staff_of(mine, permissions=["django_jobs.view_job"])
    assert listed(member, status=["Failed", "Timed Out"]) == found[:1]


def test_all_that_failed_are_one_choice(root: Client, mine: Organization) -> None:
    found = [job_in(status, organization=mine) for status in ("Failed", "Timed Out", "Dead Letter")]
    other = job_in("Dead Letter")
    for status in ("Completed", "Canceled", "Running", "Pending"):
        job_in(status, organization=mine)
    assert listed(root, status=sorted(WITH_ERRORS)) == [other, *found[::-1]]
    assert listed(root, status=sorted(WITH_ERRORS), organization=mine.name) == found[::-1]
    assert "?status=Dead+Letter&amp;status=Failed&amp;status=Timed+Out" in text(root, url("job", "changelist"))


@pytest.mark.parametrize("statuses", [AWAITING_RETRY, WITH_ERRORS])
def test_without_anything_that_failed_the_list_is_empty(statuses: frozenset[Status], root: Client) -> None:
    pending_job()
    assert listed(root, status=sorted(statuses)) == []


@pytest.fixture
def failures(mine: Organization, alone: object) -> list[Job]:
    """A failure of each kind, one of them on the way of a job that is a dead letter by now; and others' ends."""
    kind = make_job_type(type_name="mails", max_retries=1)
    retried = end(raised(start(pending_job(kind, mine))))
    end(raised(start(retried), "Permanent"))
    jobs = [retried, job_in("Timed Out", job_type=kind, organization=mine), job_in("Completed", job_type=kind)]
    job_in("Canceled", job_type=kind)
    job_in("Dead Letter", job_type=make_job_type(type_name="other"))
    verbs.catch_up_rollups()
    return jobs


@pytest.mark.usefixtures("failures")
@pytest.mark.parametrize("key", ["hour", "day", "month"])
def test_failed_attempts_lead_to_the_failures_and_from_there_to_what_was_counted(root: Client, key: str) -> None:
    rows = {row["told"].split()[0]: row for row in monitor(root, range=key)["types"]}
    pages = [root.get(rows[count]["failures_url"]).context for count in ("3", "1")]
    assert [str(page["count"]) for page in pages] == ["2", "1"]
    assert [shown_at(root, page["log_url"]) for page in pages] == [3, 1]
    everything = root.get(tile(root, "failure_rate").url).context
    assert str(everything["count"]) == "3"
    assert shown_at(root, everything["log_url"]) == 4


@pytest.mark.usefixtures("alone")
def test_the_last_attempt_of_a_dead_letter_is_one_failure(root: Client, mine: Organization) -> None:
    kind = make_job_type(max_retries=0)
    end(raised(start(pending_job(kind, mine))))
    job_in("Completed", job_type=kind, organization=mine)
    verbs.catch_up_rollups()
    (row,) = monitor(root)["types"]
    assert (row["ended"], row["rate"]) == ("2", "50.0 %")
    assert shown_at(root, root.get(row["failures_url"]).context["log_url"]) == 1


@pytest.mark.usefixtures("failures")
def test_a_member_is_led_to_own_failures(mine: Organization) -> None:
    member = admin.staff_of(mine)
    (row,) = monitor(member)["types"]
    assert shown_at(member, member.get(row["failures_url"]).context["log_url"]) == 3
    assert row["told"].startswith("3 ")


@pytest.mark.usefixtures("failures")
def test_failures_are_shown_with_their_errors(root: Client) -> None:
    shown = text(root, url("executionlog", "changelist"), became="failures", job_type="mails", since="hour")
    assert "it failed" in shown
    assert "Completed</span></td>" not in shown


@pytest.mark.usefixtures("failures")
def test_a_filtered_log_says_how_far_it_looks(root: Client, mine: Organization, tuning: Tuning) -> None:
    address = url("executionlog", "changelist")
    ExecutionLog.objects.update(id=F("id") + 1_000_000)  # ids begin anywhere once old rows are deleted
    assert codes_on(text(root, address, became="failures")) == []
    tuning.set(execution_log_searched_rows=3)
    narrowed = root.get(address, {"became": "failures"})
    assert (codes_on(narrowed), narrowed.context["cl"].looks_back) == (["newest_only"], 3)
    assert codes_on(text(root, address)) == []
    member = admin.staff_of(mine)
    assert codes_on(text(member, address)) == []
    assert member.get(address, {"became": "failures"}).context["cl"].looks_back == 3
    tuning.set(execution_log_jobs_of_members=1)
    own = member.get(address)
    assert (codes_on(own), own.context["cl"].newest_jobs) == (["newest_jobs"], 1)


STRANGE = [{"became": "x"}, {"since": "year"}, {"job_type": "\x00"}, {"became": "Failed", "q": "x"}]


@pytest.mark.parametrize("query", STRANGE)
def test_strange_filters_of_the_log_do_no_harm(root: Client, query: dict[str, str]) -> None:
    job_in("Failed")
    assert root.get(url("executionlog", "changelist"), query, follow=True).status_code == 200


def test_the_failures_of_a_type_are_found_from_its_page(root: Client, mine: Organization) -> None:
    kind = make_job_type(type_name="mails")
    die(kind, mine)
    shown = text(root, url("jobtype", "change", kind.pk))
    assert f'href="{url("failure", "changelist")}?job_type=mails"' in shown


#: How the breadcrumbs of each page begin: with Django's own word, and the app's name.
BEGIN = ["Home", str(apps.get_app_config("django_jobs").verbose_name)]


def crumbs(shown: str) -> tuple[str, list[str]]:
    """The element that holds a page's breadcrumbs, and their words."""
    match = re.search(r'<(\w+) class="breadcrumbs">(.*?)</\1>', shown, re.DOTALL)
    assert match is not None
    words = re.split(r"</li>|&rsaquo;", match[2])
    return match[1], [word for text in words if (word := re.sub("<.*?>", "", text).strip())]


@pytest.mark.parametrize("name", ["monitor", "failure_changelist"])
def test_breadcrumbs_are_those_of_the_release_of_django(root: Client, name: str) -> None:
    of_django, _ = crumbs(text(root, url("job", "changelist")))
    element, words = crumbs(text(root, reverse(f"admin:django_jobs_{name}")))
    assert (element, words[:2], len(words)) == (of_django, BEGIN, 3)


def test_each_page_of_ours_tells_where_it_is(root: Client, mine: Organization) -> None:
    job = die(make_job_type(type_name="mails"), mine)
    of_django, _ = crumbs(text(root, url("job", "changelist")))
    pages = [url("job", name, job.pk) for name in ("change", "retry", "run_again", "history")]
    pages += [url("jobtype", name, "mails") for name in ("change", "submit", "history")]
    pages += [url("organization", name, mine.pk) for name in ("change", "suspend")]
    for address in [*pages, group(job), url("executionlog", "changelist"), url("operation", "changelist")]:
        element, words = crumbs(text(root, address))
        assert (element, words[:2]) == (of_django, BEGIN)
        assert len(words) >= 3
    _, of_failures = crumbs(text(root, url("failure", "changelist")))
    assert crumbs(text(root, group(job)))[1] == [*of_failures, "mails"]
    assert not LogEntry.objects.exists()
