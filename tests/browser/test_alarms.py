"""Alarms on an open page, in Chromium."""

from __future__ import annotations

import re

from django.contrib.auth.models import User
from playwright.sync_api import expect

from django_jobs.models import Alert, JobType
from tests.browser.conftest import Visit
from tests.support import verbs
from tests.support.alerts import make_alert, scheduler_ticks
from tests.support.factories import make_job_type, make_user

FACTS = {"failed": 863, "attempts": 863, "exception": "InvalidMailer: down"}


def operator() -> User:
    return make_user("root", is_staff=True, is_superuser=True)


def test_an_alarm_that_appears_is_read_out_once_with_label_and_reason(visit: Visit) -> None:
    scheduler_ticks(seconds_ago=-600)
    page = visit(operator(), "/admin/django_jobs/alert/")
    news = page.locator("[data-djobs-alarm-news]")
    expect(page.locator("[data-code=nothing_wrong]")).to_be_visible()
    expect(news).to_have_text("")
    alert = make_alert("type_failing", "send_mail", FACTS)
    expect(page.locator(".djobs-alarm-text")).to_contain_text("863")
    expect(news).to_contain_text("send_mail")
    news.evaluate("element => { element.textContent = 'said'; }")
    Alert.objects.update(facts={**FACTS, "failed": 900, "attempts": 900})
    expect(page.locator(".djobs-alarm-text")).to_contain_text("900")
    expect(news).to_have_text("said")
    verbs.clear_alert(alert, alert.seen_at)
    expect(news).to_have_text("Nothing is wrong.")
    expect(page.get_by_role("heading", name="Over within the last day")).to_be_visible()


def test_a_failing_type_is_paused_from_the_index_in_one_click(visit: Visit) -> None:
    scheduler_ticks(seconds_ago=-600)
    kind = make_job_type(type_name="send_mail")
    make_alert("type_failing", kind.pk, FACTS)
    page = visit(operator(), "/admin/")
    page.get_by_role("button", name="Pause the type").click()
    expect(page.locator(".messagelist .paused")).to_contain_text("send_mail")
    expect(page).to_have_url(re.compile("/admin/$"))
    assert JobType.objects.get(pk=kind.pk).is_paused
