"""Texts that are English wherever they are stored, and that a page can show in another language."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from django.utils import timezone

from django_jobs.engine.insight.filter import tell_moment
from django_jobs.exceptions import InvalidTransition
from django_jobs.texts import in_current_zone, told, translated
from tests.support import verbs


def test_a_text_is_english_whatever_language_is_active(bracketed: None) -> None:
    text = verbs.say("up to %(count)d", count=3)
    assert (text, str(text), f"{text}", json.dumps(text)) == ("up to 3", "up to 3", "up to 3", '"up to 3"')


def test_a_page_shows_it_in_the_active_language(bracketed: None) -> None:
    assert translated(verbs.say("Cannot: %(reason)s", reason=verbs.say("it is %(status)s", status="Failed"))) == (
        "[Cannot: [it is Failed]]"
    )
    assert translated("somebody's words") == "somebody's words"


def test_what_an_exception_says_is_shown_so_too(bracketed: None) -> None:
    error = InvalidTransition("JOB-2026-00001", "Completed", "retry")
    text = error.args[0]
    reason = text.values["reason"]
    assert str(error) == text
    shown = f"[{reason.pattern}]" % {"status": "[Completed]"}
    assert told(error) == f"[{text.pattern}]" % {"job": "JOB-2026-00001", "reason": shown}


@pytest.mark.parametrize(
    ("zone", "moment", "shown"),
    [
        ("Europe/Berlin", dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC), "2026-01-01T13:00:00+01:00"),
        ("Europe/Berlin", dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC), "9999-12-31T23:59:59+00:00"),
        ("America/New_York", dt.datetime.min.replace(tzinfo=dt.UTC), "0001-01-01T00:00:00+00:00"),
    ],
)
def test_every_moment_can_be_shown_in_every_zone(zone: str, moment: dt.datetime, shown: str) -> None:
    with timezone.override(zone):
        assert in_current_zone(moment).isoformat() == shown
        assert tell_moment(moment)
