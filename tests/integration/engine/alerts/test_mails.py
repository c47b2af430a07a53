"""Mails to ADMINS about alarms: one when it is raised, one when it is over, never a flood, and none lost."""

from __future__ import annotations

import datetime as dt
import re
import threading
import time
from types import SimpleNamespace
from typing import Any

import django
import pytest
from django.core import mail
from django.db.models import F
from django.urls import reverse
from django.utils.translation import override

from django_jobs.models import Alert, Organization
from tests.support import verbs
from tests.support.alerts import make_alert
from tests.support.clocks import Clock
from tests.support.ticks import WholeScheduler, work_off
from tests.support.tuning import Tuning
from tests.support.verbs import MAILS_OF_A_WINDOW, AlertMailer, Entry, Interpose
from tests.support.waiting import wait_until

ADMIN = "ops@shop.example"
FACTS = {"since": "2026-05-01T00:12:00+00:00", "attempts": 863, "failed": 863}


@pytest.fixture(autouse=True)
def _admins(settings: Any) -> None:
    settings.ADMINS = [ADMIN] if django.VERSION >= (6, 0) else [("Ops", ADMIN)]
    settings.EMAIL_SUBJECT_PREFIX = "[Shop] "


def failing(subject: str = "send_welcome_email", **facts: Any) -> Alert:
    return make_alert("type_failing", subject, {**FACTS, **facts})


def numbers_in(texts: list[str]) -> list[list[str]]:
    return [re.findall(r"\d+", text) for text in texts]


def clear(alert: Alert) -> None:
    verbs.clear_alert(alert, verbs.now())


def let_pass(span: dt.timedelta) -> None:
    """Let all mails have gone so much earlier."""
    Alert.objects.update(raise_mailed_at=F("raise_mailed_at") - span, clear_mailed_at=F("clear_mailed_at") - span)


def sent() -> list[str]:
    """The subjects of the mails that go now."""
    before = len(mail.outbox)
    work_off(AlertMailer().step)
    return [str(message.subject) for message in mail.outbox[before:]]


def subject_of(alert: Alert) -> str:
    """The subject of a mail about the alarm as it is now."""
    alert.refresh_from_db()
    return f"[Shop] {verbs.mail_about(Entry(rows=[alert]), verbs.now()).subject}"


def test_a_subject_tells_which_alarm_it_is_and_whether_it_is_over() -> None:
    alert, other = failing(), make_alert("schedule_cannot_fire", "nightly", FACTS)
    raised = [subject_of(item) for item in (alert, other)]
    clear(alert)
    assert len({*raised, subject_of(alert)}) == 3
    assert [alert.subject in raised[0], alert.subject in subject_of(alert), "nightly" in raised[1]] == [True] * 3


def is_told_after(mailer: AlertMailer) -> bool:
    """Whether the alarm is told once the mailer has looked again."""
    mailer.step()
    return Alert.objects.get().raise_mailed_at is not None


def test_one_mail_tells_that_it_was_raised_and_one_that_it_is_over(settings: Any) -> None:
    alert = failing()
    assert sent() == [subject_of(alert)]
    assert sent() == []
    clear(alert)
    assert sent() == [subject_of(alert)]
    assert sent() == []
    assert len({message.subject for message in mail.outbox}) == 2
    assert {tuple(message.to) for message in mail.outbox} == {(ADMIN,)}
    assert {message.from_email for message in mail.outbox} == {settings.SERVER_EMAIL}


def test_a_mail_has_the_sentence_the_numbers_the_organizations_the_error_and_the_way(
    organization: Organization, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ALERTS": {"mail": {"base_url": "https://shop.example/"}}}
    failing(organizations={str(organization.pk): 3}, error="InvalidMailer", exception="InvalidMailer: secret")
    sent()
    (message,) = mail.outbox
    what, blank, sentence, error, tenants, gap, link = message.body.splitlines()
    assert (blank, error, gap) == ("", "InvalidMailer", "")
    assert (what in message.subject, "send_welcome_email" in what) == (True, True)
    assert re.findall(r"\d+", sentence) == ["863", "863", "1", "00", "12"]
    assert "00:12 UTC" in sentence
    assert (re.findall(r"\d+", tenants)[0], tenants.endswith(organization.name)) == ("1", True)
    assert link.endswith(f" https://shop.example{reverse('admin:django_jobs_alert_changelist')}")


def test_a_mail_is_in_the_hosts_language_and_time_zone(settings: Any) -> None:
    settings.LANGUAGE_CODE, settings.TIME_ZONE = "de", "Europe/Berlin"
    alert = failing()
    with override("en"):
        english = subject_of(alert)
    assert sent() != [english]
    assert "02:12 CEST" in mail.outbox[0].body


def test_a_subject_is_one_line_whatever_something_is_called() -> None:
    make_alert("schedule_cannot_fire", "nightly\r\nBcc: all@shop.example", FACTS)
    (subject,) = sent()
    assert subject.endswith(": nightly Bcc: all@shop.example")


def test_a_name_writes_no_lines_of_a_mail() -> None:
    make_alert("schedule_cannot_fire", "nightly\n\nPay at evil.example", FACTS)
    sent()
    assert mail.outbox[0].body.splitlines()[0].endswith(": nightly Pay at evil.example")


@pytest.mark.parametrize("urls", [None, "there.is.no.such.module"])
def test_a_mail_goes_without_a_link_where_the_urls_cannot_be_loaded(urls: Any, settings: Any) -> None:
    settings.ROOT_URLCONF = urls
    if urls is None:
        del settings.ROOT_URLCONF
    failing()
    assert len(sent()) == 1
    assert "/alert/" not in mail.outbox[0].body


def test_mails_go_on_when_the_clock_is_set_back() -> None:
    for number in range(MAILS_OF_A_WINDOW):
        failing(f"type_{number}")
        sent()
    clear(Alert.objects.get(subject="type_0"))
    let_pass(-dt.timedelta(days=1))
    alert = failing("type_0")
    assert sent() == [subject_of(alert)]


@pytest.mark.parametrize("choice", [False, None])
def test_none_goes_where_the_host_does_not_want_them(choice: Any, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ALERTS": {"mail": choice}}
    failing()
    assert sent() == []


def test_without_admins_nothing_is_sent(settings: Any) -> None:
    settings.ADMINS = []
    failing()
    assert sent() == []


def test_a_storm_is_told_in_one_mail() -> None:
    for number in range(60):
        failing(f"type_{number:02}")
    assert numbers_in(sent()) == [["60", "0"]]
    lines = [line for line in mail.outbox[0].body.splitlines() if line]
    assert len([line for line in lines if line.startswith("- ") and ": type_" in line]) == 50
    assert re.findall(r"\d+", lines[50]) == ["10"]
    assert sent() == []


def test_however_many_come_one_after_the_other_the_mails_within_ten_minutes_are_few() -> None:
    subjects = [subject for number in range(20) for subject in (failing(f"type_{number}"), sent())[1]]
    assert len(subjects) == MAILS_OF_A_WINDOW
    let_pass(verbs.MAIL_WINDOW)
    assert numbers_in(sent()) == [["14", "0"]]


def test_an_alarm_that_comes_and_goes_is_told_again_after_half_an_hour() -> None:
    clear_after_mail = [failing(), sent()][0]
    assert isinstance(clear_after_mail, Alert)
    clear(clear_after_mail)
    assert len(sent()) == 1
    for _ in range(3):
        clear(failing())
        assert sent() == []
    alert = failing()
    assert sent() == []
    let_pass(verbs.MAIL_QUIET)
    assert sent() == [subject_of(alert)]
    assert re.findall(r"\b3\b", str(mail.outbox[-1].body))
    assert sent() == []


def test_an_alarm_that_was_over_before_its_mail_is_told_once_as_over() -> None:
    alert = failing()
    clear(alert)
    assert sent() == [subject_of(alert)]
    assert alert.cleared_at is not None
    assert f"{alert.cleared_at:%H:%M} UTC" in mail.outbox[0].body
    assert sent() == []


def test_what_was_over_long_before_anybody_was_told_is_not_told() -> None:
    make_alert("type_failing", "old", FACTS, cleared_ago=verbs.MAIL_LATE.total_seconds() + 60)
    assert sent() == []


def test_a_mail_server_that_refuses_loses_no_alarm(
    interpose: Interpose, tuning: Tuning, caplog: pytest.LogCaptureFixture
) -> None:
    answers = [OSError("refused"), OSError("refused"), None]
    taken: list[str] = []

    def send(subject: str, text: str) -> None:
        error = answers.pop(0)
        if error is not None:
            raise error
        taken.append(subject)

    interpose("send_to_admins", send)
    tuning.set(mail_first_pause_seconds=0.0)
    alert = failing()
    mailer = AlertMailer()
    wait_until(lambda: mailer.step()[0] == 1, 10, "the third try")
    assert [f"[Shop] {subject}" for subject in taken] == [subject_of(alert)]
    assert [record.levelname for record in caplog.records if "event=alert_mail_failed" in record.message] == [
        "WARNING",
        "INFO",
    ]
    assert work_off(mailer.step) == 0


def test_a_mail_server_that_hangs_holds_up_further_mails_alone(
    interpose: Interpose, tuning: Tuning, caplog: pytest.LogCaptureFixture
) -> None:
    gate, tries = threading.Event(), []

    def hang(subject: str, text: str) -> None:
        tries.append(subject)
        gate.wait(60)

    interpose("send_to_admins", hang)
    tuning.set(mail_poll_seconds=0.001, mail_patience_seconds=-1.0)
    failing()
    mailer = AlertMailer()
    for _ in range(20):
        assert mailer.step()[0] == 0
    assert caplog.text.count("event=alert_mail_hangs") == 1
    gate.set()
    wait_until(lambda: is_told_after(mailer), 10, "that what went after all is told")
    assert len(tries) == 1


def test_each_further_try_waits_longer(interpose: Interpose, tuning: Tuning, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "django_jobs")
    clock = Clock()
    tuning.set(mail_clock=SimpleNamespace(monotonic=clock.monotonic, sleep=time.sleep))
    interpose("send_to_admins", lambda *_: 1 / 0)
    failing()
    mailer = AlertMailer()
    for number in range(9):
        clock.now += 100_000.0
        while caplog.text.count("event=alert_mail_failed") == number:
            mailer.step()
    pauses = [float(found) for found in re.findall(r"again_in=(\d+)", caplog.text)]
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600]


def test_a_scheduler_that_leads_sends_them() -> None:
    failing()
    assert WholeScheduler("one").tick()["mail_alerts"] == 1
    assert len(mail.outbox) == 1


def test_a_scheduler_that_stands_by_sends_none() -> None:
    WholeScheduler("one").lead()
    failing()
    WholeScheduler("two").tick()
    assert mail.outbox == []
