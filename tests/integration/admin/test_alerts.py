"""Alarms in the admin: the page, the panel on the monitor and on the index."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from django_jobs import schedule_job
from django_jobs.models import Alert, JobType, Organization
from tests.support import verbs
from tests.support.admin import codes_on, staff_of, text, url
from tests.support.alerts import make_alert, scheduler_ticks
from tests.support.breakers import make_fragile_type
from tests.support.brokers import end, raised, running_job
from tests.support.factories import make_job_type, make_organization
from tests.support.monitor import monitor

PAGE = "admin:django_jobs_alert_changelist"


@pytest.fixture(autouse=True)
def _a_scheduler_leads(without_redis: None) -> None:
    scheduler_ticks()


@pytest.fixture
def press(root: Client, django_capture_on_commit_callbacks: Callable[..., Any]) -> Callable[..., None]:
    """Posts something, and commits."""

    def press(address: str, **fields: str) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            root.post(address, fields)

    return press


def page(client: Client) -> str:
    return text(client, reverse(PAGE))


def rules(shown: str) -> list[str]:
    """The rules of the alarms that a page shows."""
    return re.findall(r'data-djobs-alarm="(\w+):', shown)


def row(client: Client, name: str = "alarms") -> Any:
    """The one alarm on the page of alarms; with ``over``, of those that are over."""
    found = client.get(reverse(PAGE)).context[name]
    (only,) = found if name == "over" else found["rows"]
    return only


def failing(kind: JobType, *organizations: Organization, **fields: Any) -> Alert:
    """An alarm that a type fails, of so many jobs of each organization as its place in the row says."""
    concerned = {str(item.pk): number for number, item in enumerate(organizations, start=1)}
    facts = {
        "failed": 8631724,
        "attempts": 8631724,
        "error": "InvalidMailer",
        "exception": "InvalidMailer: no such host smtp.secret",
        "fingerprint": "f1",
        "organizations": concerned,
    }
    return make_alert("type_failing", kind.pk, facts, **fields)


def test_where_nothing_is_wrong_the_page_says_so(root: Client) -> None:
    assert codes_on(page(root)) == ["nothing_wrong"]


def test_an_alarm_is_told_with_numbers_error_and_organizations(
    root: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    failing(kind, mine, theirs)
    shown = page(root)
    assert rules(shown) == ["type_failing"]
    assert row(root)["words"].text.count("8,631,724") == 2
    assert "2" in row(root)["words"].concerned
    for told in ("8,631,724", "InvalidMailer: no such host smtp.secret", "ORG-MINE", "ORG-THEIRS"):
        assert told in shown


def test_without_a_scheduler_the_page_says_that_nothing_is_evaluated(root: Client) -> None:
    scheduler_ticks(seconds_ago=3_600)
    shown = page(root)
    assert codes_on(shown) == ["not_evaluated"]
    assert rules(shown) == ["no_scheduler"]


def test_an_alarm_that_is_over_is_shown_for_a_day_with_its_duration(root: Client, kind: JobType) -> None:
    failing(kind, ago=7_200, cleared_ago=3_600)
    assert codes_on(page(root)) == ["nothing_wrong"]
    assert rules(page(root)) == ["type_failing"]
    assert (row(root, "over")["is_open"], row(root, "over")["buttons"]) == (False, [])
    assert "1 h" in row(root, "over")["lasted"]


def test_other_staff_see_what_concerns_their_organization_with_their_own_numbers(
    kind: JobType, mine: Organization, theirs: Organization
) -> None:
    failing(kind, theirs, mine)
    member = staff_of(mine)
    shown = page(member)
    assert re.search(r"\b2\b", re.sub(r"\d+:\d+", "", row(member)["words"].text))
    assert row(member)["words"].concerned == ""
    for foreign in ("8,631,724", "InvalidMailer", "ORG-THEIRS"):
        assert foreign not in shown


def test_other_staff_see_no_alarm_of_others(kind: JobType, mine: Organization, theirs: Organization) -> None:
    failing(kind, theirs)
    make_alert("no_worker", "default", {"waiting": 5})
    assert codes_on(page(staff_of(mine))) == ["nothing_wrong"]


def test_who_sees_no_jobs_sees_no_alarms(mine: Organization) -> None:
    client = staff_of(mine, permissions=[])
    assert client.get(reverse(PAGE)).status_code == 403


def test_the_index_shows_open_alarms(root: Client, kind: JobType) -> None:
    failing(kind)
    assert rules(text(root, reverse("admin:index"))) == ["type_failing"]


def test_the_index_shows_no_panel_where_nothing_is_wrong(root: Client) -> None:
    assert "djobs-alarm" not in text(root, reverse("admin:index")).replace("djobs-alarms.css", "")


def test_the_index_shows_no_alarm_to_who_sees_no_jobs(kind: JobType, mine: Organization) -> None:
    failing(kind, mine)
    shown = text(staff_of(mine, permissions=["django_jobs.view_jobtype"]), reverse("admin:index"))
    assert kind.pk not in shown
    assert rules(shown) == []


@pytest.mark.parametrize("who", ["root", "staff"])
def test_the_index_asks_for_alerts_once_in_ten_seconds(
    root: Client, kind: JobType, mine: Organization, who: str
) -> None:
    failing(kind, mine)
    client = root if who == "root" else staff_of(mine)
    client.get(reverse("admin:index"))
    with CaptureQueriesContext(connection) as warm:
        client.get(reverse("admin:index"))
    assert not [item for item in warm if "django_jobs_alert" in item["sql"]]


def test_what_one_user_sees_on_the_index_is_not_shown_to_another(
    root: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    failing(kind, theirs)
    assert "8,631,724" in text(root, reverse("admin:index"))
    assert "8,631,724" not in text(staff_of(mine), reverse("admin:index"))


def test_a_breaker_and_its_failing_type_are_told_once(root: Client, kind: JobType) -> None:
    failing(kind)
    make_alert("breaker_open", kind.pk, {"failed": 5, "waiting": 7, "exception": "Down"})
    assert rules(page(root)) == ["breaker_open"]


def test_a_breaker_is_closed_by_a_form(root: Client, kind: JobType) -> None:
    make_alert("breaker_open", kind.pk, {"failed": 5, "waiting": 7, "exception": "Down"})
    shown = page(root)
    assert f'action="{url("jobtype", "close_breaker", kind.pk)}"' in shown
    assert "csrfmiddlewaretoken" in shown


def test_an_alarm_of_a_type_that_was_deleted_is_shown(root: Client, kind: JobType) -> None:
    failing(kind)
    kind.delete()
    assert rules(page(root)) == ["type_failing"]


def test_texts_of_others_are_escaped(root: Client, kind: JobType) -> None:
    make_alert("type_failing", kind.pk, {"failed": 5, "attempts": 5, "exception": "<script>alert(1)</script>"})
    assert "<script>alert(1)" not in page(root)


def test_the_live_part_is_read_again(root: Client, kind: JobType) -> None:
    failing(kind)
    assert rules(text(root, reverse("admin:django_jobs_alert_live"))) == ["type_failing"]


def test_the_monitor_shows_open_alarms_in_the_part_that_refreshes(root: Client, kind: JobType) -> None:
    failing(kind)
    assert rules(text(root, reverse("admin:django_jobs_monitor_live"))) == ["type_failing"]


def test_the_monitor_tells_nothing_twice(root: Client) -> None:
    scheduler_ticks(seconds_ago=3_600)
    assert rules(text(root, reverse("admin:django_jobs_monitor_changelist"))) == ["no_scheduler"]


@pytest.mark.parametrize(("role", "is_led"), [("admin", True), ("member", False)])
def test_the_page_of_a_schedule_that_cannot_fire_is_offered_to_who_may_open_it(
    kind: JobType, mine: Organization, role: str, is_led: bool
) -> None:
    schedule = schedule_job("nightly", kind, mine, every=60)
    facts = {"schedule": schedule.pk, "job_type": kind.pk, "error": "no", "organizations": {str(mine.pk): 0}}
    make_alert("schedule_cannot_fire", schedule.name, facts)
    client = staff_of(mine, role=role, permissions=["django_jobs.view_job", "django_jobs.view_schedule"])
    address = url("schedule", "change", schedule.pk)
    assert rules(page(client)) == ["schedule_cannot_fire"]
    assert (f'href="{address}"' in page(client)) is is_led
    assert (client.get(address).status_code == 200) is is_led
    assert address not in text(client, reverse("admin:index"))


def test_a_moment_of_another_day_has_its_day(root: Client, kind: JobType) -> None:
    failing(kind, ago=dt.timedelta(days=2).total_seconds())
    day = timezone.now() - dt.timedelta(days=2)
    assert f"{day:%B} {day.day}" in page(root)


def buttons(shown: str) -> list[str]:
    """What the buttons do: their actions, or where they lead, in their order."""
    form = r'<form method="post" action="[^"]*?/(\w+)/">(?:(?!</form>).)*class="button djobs-act"'
    found = re.findall(rf'{form}|class="button djobs-act" href="([^"]+)"', shown)
    return [action or address for action, address in found]


def failures_of(kind: JobType) -> str:
    return f"{url('failure', 'changelist')}?job_type={kind.pk}"


def test_a_failing_type_has_the_buttons_that_help(root: Client, kind: JobType) -> None:
    failing(kind)
    assert buttons(page(root)) == ["pause", failures_of(kind), "act"]
    assert [item.fields.get("error_fingerprint") for item in row(root)["buttons"]] == [None, None, "f1"]
    (shown,) = monitor(root, range="day")["alarms"]["rows"]
    assert shown["buttons"][0].fields["next"] == f"{reverse('admin:django_jobs_monitor_changelist')}?range=day"


@pytest.mark.parametrize(
    ("rule", "leads_to", "offered"),
    [
        (
            "breaker_open",
            "jobtype/mails/change/",
            ["jobtype/mails/close_breaker/", "jobtype/mails/pause/", "failure/?job_type=mails"],
        ),
        ("no_worker", "jobtype/?pool=mails", ["worker/"]),
        ("queue_waiting", "jobtype/?pool=fast", ["worker/"]),
        ("dead_letters", "", ["failure/"]),
        ("duty_stalled", "", ["worker/"]),
    ],
)
def test_an_alarm_leads_to_what_it_is_about_and_to_what_helps(
    root: Client, rule: str, leads_to: str, offered: list[str]
) -> None:
    make_job_type(type_name="mails")
    make_alert(rule, "mails", {"pool": "fast"} if rule == "queue_waiting" else {})
    found = [row(root)["url"], *(item.url for item in row(root)["buttons"])]
    assert [address.partition("/django_jobs/")[2] for address in found] == [leads_to, *offered]


def test_an_organizations_dead_letters_are_a_click_away(mine: Organization) -> None:
    make_alert("dead_letters", "", {"count": 9, "organizations": {str(mine.pk): 2}})
    (link,) = row(staff_of(mine, permissions=["django_jobs.view_job"]))["organizations"]
    assert re.findall(r"organization=([\w-]+)&amp;status=Dead\+Letter", link) == [mine.name]


def test_a_type_that_is_paused_can_be_resumed(root: Client, kind: JobType) -> None:
    JobType.objects.filter(pk=kind.pk).update(is_paused=True)
    make_alert("type_failing", kind.pk, {"failed": 5, "attempts": 5, "is_paused": False})
    assert buttons(page(root))[0] == "resume"


def test_other_staff_have_no_button_that_acts_for_all(kind: JobType, mine: Organization) -> None:
    failing(kind, mine)
    assert buttons(page(staff_of(mine))) == [failures_of(kind)]


def test_a_button_pauses_the_type_and_leads_back(root: Client, kind: JobType) -> None:
    failing(kind)
    back = reverse("admin:index")
    for _ in range(2):  # somebody else presses it too
        assert root.post(url("jobtype", "pause", kind.pk), {"next": back}).headers["Location"] == back
    kind.refresh_from_db()
    assert kind.is_paused


@pytest.mark.parametrize(("back", "leads_to"), [("/admin/", "/admin/"), ("https://evil.example/", ""), ("", "")])
def test_closing_a_breaker_leads_back_to_a_page_of_this_site_alone(
    root: Client, kind: JobType, back: str, leads_to: str
) -> None:
    answer = root.post(url("jobtype", "close_breaker", kind.pk), {"next": back})
    assert answer.headers["Location"] == (leads_to or url("jobtype", "change", kind.pk))


def test_an_alarm_names_the_first_organizations_and_counts_the_others(root: Client, kind: JobType) -> None:
    failing(kind, *(make_organization(name=f"ORG-{number}") for number in range(7)))
    assert (len(row(root)["organizations"]), row(root)["more_organizations"]) == (5, 2)
    told = re.findall(r"ORG-\d|\b2\b", strip_tags(page(root).partition("djobs-alarm-facts")[2]))
    assert list(dict.fromkeys(told)) == ["ORG-0", "ORG-1", "ORG-2", "ORG-3", "ORG-4", "2"]


@pytest.mark.parametrize("rule", ["type_failing", "breaker_open"])
def test_the_index_shows_the_buttons_of_the_type_as_it_stands_now(
    root: Client, press: Callable[..., None], kind: JobType, rule: str
) -> None:
    make_alert(rule, kind.pk, {"failed": 5, "attempts": 5, "is_paused": False})
    index = reverse("admin:index")
    for action, following in (("pause", "resume"), ("resume", "pause")):
        assert action in buttons(text(root, index))
        press(url("jobtype", action, kind.pk), next=index)
        assert following in buttons(text(root, index))


def test_a_type_that_its_page_paused_is_resumed_on_the_index(
    root: Client, press: Callable[..., None], kind: JobType
) -> None:
    failing(kind)
    assert "pause" in buttons(text(root, reverse("admin:index")))
    press(url("jobtype", "pause", kind.pk))
    assert "resume" in buttons(text(root, reverse("admin:index")))


def test_what_is_remembered_is_forgotten_when_the_press_is_committed(
    root: Client, kind: JobType, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    failing(kind)
    index = reverse("admin:index")
    assert "pause" in buttons(text(root, index))
    with django_capture_on_commit_callbacks() as callbacks:
        root.post(url("jobtype", "pause", kind.pk))
    assert "pause" in buttons(text(root, index))  # as another request has it, which does not see the change
    for callback in callbacks:
        callback()
    assert "resume" in buttons(text(root, index))


@pytest.mark.django_db(transaction=True)
def test_a_press_outside_of_a_transaction_is_seen_at_once(root: Client, kind: JobType) -> None:
    failing(kind)
    assert "pause" in buttons(text(root, reverse("admin:index")))
    root.post(url("jobtype", "pause", kind.pk))
    assert "resume" in buttons(text(root, reverse("admin:index")))


def test_a_pool_that_is_called_like_a_type_is_no_type(root: Client, kind: JobType) -> None:
    JobType.objects.filter(pk=kind.pk).update(is_paused=True)
    make_alert("no_worker", kind.pk, {"waiting": 3})
    (alarm,) = verbs.read_all_alerts().open
    assert "is_paused" not in alarm.facts


def test_the_alarm_of_a_breaker_goes_with_the_press_that_closes_it(
    root: Client, press: Callable[..., None], mine: Organization
) -> None:
    kind = make_fragile_type(type_name="send_fax", breaker_failures=1)
    end(raised(running_job(job_type=kind, organization=mine)[1]))
    make_alert("breaker_open", kind.pk, {"failed": 1, "waiting": 0})
    make_alert("breaker_open", "without_a_row", {"failed": 1, "waiting": 0})
    index = reverse("admin:index")
    assert "send_fax" in text(root, index)
    press(url("jobtype", "close_breaker", kind.pk), next=index)
    (panel,) = re.findall(r'<section class="djobs-alarms".*?</section>', text(root, index), re.DOTALL)
    assert ("send_fax" in panel, "without_a_row" in panel) == (False, True)
    assert [alarm.subject for alarm in verbs.read_all_alerts().open] == ["without_a_row"]


def test_a_type_that_fails_for_others_too_is_told_of_beside_a_breaker_that_holds_one_organization(
    mine: Organization,
) -> None:
    kind = make_fragile_type()
    held = {"organization": mine.name, "organizations": {str(mine.pk): 3}}
    make_alert("breaker_open", kind.pk, held)
    failing = make_alert("type_failing", kind.pk, {"organizations": {str(mine.pk): 3, "0": 1}})
    assert {alarm.rule for alarm in verbs.read_all_alerts().open} == {"breaker_open", "type_failing"}
    failing.facts = {"organizations": {str(mine.pk): 3}}
    failing.save()
    assert [alarm.rule for alarm in verbs.read_all_alerts().open] == ["breaker_open"]


def test_a_type_that_fails_is_told_of_again_when_its_breaker_is_closed(root: Client, mine: Organization) -> None:
    kind = make_fragile_type(type_name="send_fax", breaker_failures=1)
    end(raised(running_job(job_type=kind, organization=mine)[1]))
    for rule in ("breaker_open", "type_failing"):
        make_alert(rule, kind.pk, {"failed": 1, "attempts": 1})
    assert [alarm.rule for alarm in verbs.read_all_alerts().open] == ["breaker_open"]
    root.post(url("jobtype", "close_breaker", kind.pk))
    assert [alarm.rule for alarm in verbs.read_all_alerts().open] == ["type_failing"]
