"""Breakers in the admin: who is told what of them, and who may close one."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_jobs.models import JobType, Organization
from django_jobs.statuses import BreakerState
from tests.support import admin
from tests.support.admin import actors, codes_on, codes_said, said, text, url
from tests.support.breakers import breaker_of, claim_try, let_pass, make_fragile_type, open_by_failures
from tests.support.brokers import end, pending_job, raised, returned, running_job
from tests.support.factories import make_job_type
from tests.support.monitor import count, monitor, page
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def held() -> JobType:
    kind = make_fragile_type(type_name="send_fax")
    open_by_failures(kind)
    return kind


@pytest.fixture
def member(mine: Organization) -> Client:
    return admin.staff_of(mine)


def told(client: Client) -> list[Any]:
    """The monitor's notices of breakers."""
    codes = {"breaker_open", "breaker_recovering", "more_breakers"}
    return [notice for notice in monitor(client)["notices"] if notice.code in codes]


def test_the_monitor_tells_an_open_breaker_and_leads_to_what_closes_it(root: Client, held: JobType) -> None:
    (notice,) = told(root)
    assert (notice.level, notice.code) == ("warning", "breaker_open")
    assert ("send_fax" in notice.text, "it failed" in notice.text) == (True, True)
    failed, waiting, _since, seconds = re.findall(r"\b\d+\b", notice.text)
    assert (failed, waiting, 0 < int(seconds) <= held.breaker_pause) == ("3", "3", True)
    assert notice.links == (("send_fax", url("jobtype", "change", "send_fax")),)
    assert [address for _, address in notice.buttons] == [url("jobtype", "close_breaker", "send_fax")]
    let_pass(held, held.breaker_pause)
    (notice,) = told(root)
    assert re.findall(r"\b\d+\b", notice.text)[-1] == "0", "the next try is due"


def test_one_that_recovers_is_told_as_such(root: Client, held: JobType) -> None:
    pending_job(held)
    end(returned(claim_try(held)))
    (notice,) = told(root)
    assert (notice.level, notice.code, "send_fax" in notice.text) == ("info", "breaker_recovering", True)
    assert codes_on(text(root, url("jobtype", "change", held.pk))) == ["breaker_recovering"]


def test_staff_are_told_of_their_types_alone_and_no_error_of_others(
    member: Client, mine: Organization, held: JobType
) -> None:
    assert "send_fax" not in page(member)
    count(held, mine, completed=1)
    shown = page(member)
    assert "breaker_open" in codes_on(shown)
    assert "send_fax" in shown
    assert "it failed" not in shown
    assert url("jobtype", "close_breaker", held.pk) not in shown


def test_the_monitor_tells_the_first_ones_and_that_there_are_more(root: Client, tuning: Tuning) -> None:
    tuning.set(monitor_breakers=2)
    for _ in range(3):
        open_by_failures(make_fragile_type())
    assert [notice.code for notice in told(root)] == ["breaker_open", "breaker_open", "more_breakers"]


def test_an_error_is_escaped_and_cut(root: Client) -> None:
    kind = make_fragile_type(breaker_failures=1)
    end(raised(running_job(job_type=kind)[1], text="<script>alert(1)</script>" + "x" * 400))
    for address in (reverse("admin:django_jobs_monitor_changelist"), url("jobtype", "change", kind.pk)):
        shown = text(root, address)
        assert "&lt;script&gt;alert(1)" in shown
        assert "<script>alert" not in shown
        assert "x" * 300 not in shown


def test_the_types_page_says_it_at_its_top(root: Client, member: Client, held: JobType) -> None:
    address = url("jobtype", "change", held.pk)
    shown = text(root, address)
    assert codes_on(shown) == ["breaker_open"]
    assert url("jobtype", "close_breaker", held.pk) in shown
    assert codes_on(text(member, address)) == []
    assert codes_on(text(root, url("jobtype", "change", make_job_type().pk))) == []


def test_closing_asks_first_and_changes_nothing_by_that(root: Client, held: JobType) -> None:
    shown = root.get(url("jobtype", "close_breaker", held.pk))
    assert codes_on(shown) == ["consequence"]
    assert re.search(r"\b3\b", shown.context["consequences"][0])
    assert "it failed" in shown.content.decode()
    assert breaker_of(held).state == BreakerState.OPEN


def test_the_page_that_closes_a_breaker_tells_whose_jobs_alone_it_holds(root: Client, mine: Organization) -> None:
    for organization in (mine, None):
        kind = make_fragile_type()
        open_by_failures(kind, organization)
        told = mine.name in text(root, url("jobtype", "close_breaker", kind.pk))
        assert told == (organization is not None)


def test_a_breaker_is_closed_and_the_act_is_remembered(root: Client, held: JobType) -> None:
    close = url("jobtype", "close_breaker", held.pk)
    response = root.post(close, follow=True)
    assert codes_said(response) == ["closed"]
    assert "send_fax" in said(response)[0]
    assert breaker_of(held).state == BreakerState.CLOSED
    assert actors(held) == ["root"]
    assert codes_on(text(root, close)) == ["nothing_to_do"]
    assert codes_said(root.post(close, follow=True)) == ["already_closed"]
    assert actors(held) == ["root"]


@pytest.mark.parametrize("method", ["get", "post"])
def test_only_system_admins_close_one(member: Client, held: JobType, method: str) -> None:
    close = url("jobtype", "close_breaker", held.pk)
    assert getattr(member, method)(close).status_code == 403
    assert getattr(Client(), method)(close).status_code == 302
    assert breaker_of(held).state == BreakerState.OPEN


def test_a_type_that_is_gone_is_told(root: Client) -> None:
    response = root.post(url("jobtype", "close_breaker", "gone"), follow=True)
    assert codes_said(response) == ["gone"]


def test_looking_writes_nothing(root: Client, held: JobType) -> None:
    pending_job(held)
    end(returned(claim_try(held)))
    job = pending_job(held)
    let_pass(held, 60)
    addresses = [
        reverse("admin:django_jobs_monitor_changelist"),
        url("jobtype", "change", held.pk),
        url("jobtype", "close_breaker", held.pk),
        url("job", "change", job.pk),
    ]
    with CaptureQueriesContext(connection) as captured:
        for address in addresses:
            text(root, address)
    assert [query["sql"] for query in captured if query["sql"].startswith(("UPDATE", "INSERT", "DELETE"))] == []
    assert breaker_of(held).state == BreakerState.RECOVERING
