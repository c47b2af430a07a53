"""When a schedule fires, what is wrong with a rule, and what it says in words."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_jobs import every, next_runs
from django_jobs.engine.schedules import timetable as crons
from django_jobs.engine.schedules.timetable import Every, Rule
from django_jobs.exceptions import InvalidSchedule
from tests.support.refusals import refused

NOON = dt.datetime(2026, 6, 2, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


def rule(**values: Any) -> Rule:
    return Rule(**{"cron": "", "every": None, "timezone": "UTC", "anchor": NOON, **values})


@pytest.mark.parametrize(
    ("cron", "code", "values"),
    [
        ("", "number_of_fields", {"count": 0}),
        ("0 2 * *", "number_of_fields", {"count": 4}),
        ("0 0 2 * * *", "number_of_fields", {"count": 6}),
        ("0 0 2 * * * 2026", "number_of_fields", {"count": 7}),
        ("@daily", "macro", {"count": 1}),
        ("61 * * * *", "no_minute", {"field": "'61'", "number": 1}),
        ("0 24 * * *", "no_hour", {"field": "'24'", "number": 2}),
        ("0 0 32 * *", "no_day_of_month", {"field": "'32'", "number": 3}),
        ("0 0 * 13 *", "no_month", {"field": "'13'", "number": 4}),
        ("0 0 * * 8", "no_day_of_week", {"field": "'8'", "number": 5}),
        ("*/0 * * * *", "no_minute", {"field": "'*/0'", "number": 1}),
        ("0 0 30 2 *", "never_fires", {"cron": "'0 0 30 2 *'"}),
        ("0 0 31 4,6 *", "never_fires", {"cron": "'0 0 31 4,6 *'"}),
        ("* * */20 * 1L", "never_fires", {"cron": "'* * */20 * 1L'"}),
        ("0 0 1 1 " + "1," * 200 + "1", "too_long", {"most": 200}),
        (None, "not_a_text", {}),
    ],
)
def test_a_wrong_expression_is_refused_by_name(cron: Any, code: str, values: dict[str, Any]) -> None:
    with refused(InvalidSchedule, {"cron": [code]}) as caught:
        next_runs(cron)
    assert caught.value.errors["cron"][0].values == values


@given(st.text("0123456789*/,-LW#@ MONJAN²", max_size=20))
def test_whatever_is_typed_is_judged(cron: str) -> None:
    if crons.cron_problem(cron) is None:
        assert next_runs(cron, "Europe/Berlin", 1)
        assert crons.cron_words(crons.normalized_cron(cron))


@pytest.mark.parametrize("zone", ["Mars/Phobos", "../etc/passwd", "/etc/localtime", "Europe", "x\0", "Ü"])
def test_a_zone_must_exist(zone: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        next_runs("* * * * *", zone)
    assert list(caught.value.errors) == ["timezone"]


@pytest.mark.parametrize(
    ("keywords", "field"),
    [
        ({"count": 0}, "count"),
        ({"count": 1001}, "count"),
        ({"count": True}, "count"),
        ({"after": dt.datetime(2026, 1, 1)}, "after"),  # noqa: DTZ001
        ({"after": "now"}, "after"),
    ],
)
def test_other_bad_input_is_named(keywords: Any, field: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        next_runs("* * * * *", **keywords)
    assert list(caught.value.errors) == [field]


def test_a_thousand_moments_are_told_after_now_and_in_the_zone() -> None:
    began = dt.datetime.now(dt.UTC)
    found = next_runs("* * * * *", "Asia/Tokyo", 1000)
    assert found[0] > began
    assert found[-1] - found[0] == 999 * MINUTE
    assert found[0].utcoffset() == dt.timedelta(hours=9)


def test_the_zone_is_the_hosts_where_none_is_given(settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    assert next_runs("0 2 * * *", count=1)[0].utcoffset() == dt.timedelta(hours=9)


def test_the_calendar_ends() -> None:
    last = dt.datetime(9999, 12, 31, 23, 58, tzinfo=dt.UTC)
    assert next_runs("* * * * *", "UTC", 5, after=last) == [last + MINUTE]
    assert rule(every=3600).next_after(last) is None


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 2 * * 1-5", "At 02:00, Monday to Friday"),
        ("*/15 * * * *", "Every 15 minutes"),
        ("0 0 L * *", "At 00:00, on the last day of the month"),
    ],
)
def test_an_expression_in_words(cron: str, words: str) -> None:
    assert rule(cron=cron).words() == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "Every second"), (300, "Every 5 minutes"), (5400, "Every 90 minutes"), (604800, "Every week")],
)
def test_an_interval_in_words(seconds: int, words: str) -> None:
    assert rule(every=seconds).words() == words


def test_an_interval_is_made_of_units() -> None:
    assert every(weeks=1, days=1, hours=1, minutes=1, seconds=1) == Every(694_861)
    assert every(minutes=0.5) == Every(30)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keywords", "code"),
    [
        ({}, "too_often"),
        ({"seconds": 0.5}, "too_often"),
        ({"seconds": 1.5}, "not_whole"),
        ({"days": 366, "seconds": 1}, "too_large"),
        ({"minutes": "5"}, "not_a_number"),
        ({"weeks": 10**12}, "not_a_number"),
        ({"days": math.nan}, "not_a_number"),
    ],
)
def test_an_interval_has_its_bounds(keywords: Any, code: str) -> None:
    with refused(InvalidSchedule, {"every": [code]}):
        every(**keywords)


def test_intervals_are_counted_from_the_making_of_the_schedule() -> None:
    often = rule(every=60)
    assert often.next_after(NOON - MINUTE) == NOON + MINUTE
    assert often.next_after(NOON + MINUTE) == NOON + 2 * MINUTE
    assert often.next_after(NOON + 90 * MINUTE / 60) == NOON + 2 * MINUTE
    assert often.latest(NOON - MINUTE, NOON + 2 * MINUTE) == [NOON + MINUTE, NOON + 2 * MINUTE]


def test_nothing_fires_before_the_start_which_is_an_intervals_first_firing() -> None:
    start = NOON + 10 * MINUTE
    assert rule(every=60, starts_at=start).next_after(NOON) == start
    assert rule(every=60, starts_at=start).latest(NOON, start + MINUTE) == [start, start + MINUTE]
    assert rule(cron="* * * * *", starts_at=start).next_after(NOON) == start
    assert rule(cron="* * * * *", starts_at=start).latest(NOON, start) == [start]


def test_nothing_fires_after_the_end() -> None:
    for ending in (rule(every=60, ends_at=NOON + MINUTE), rule(cron="* * * * *", ends_at=NOON + MINUTE)):
        assert ending.next_after(NOON) == NOON + MINUTE
        assert ending.next_after(NOON + MINUTE) is None
        assert ending.latest(NOON, NOON + 9 * MINUTE) == [NOON + MINUTE]


def test_of_a_year_of_minutes_the_latest_hundred_are_found() -> None:
    year = NOON + dt.timedelta(days=365)
    for busy in (rule(cron="* * * * *", timezone="Europe/Berlin"), rule(every=60)):
        assert busy.latest(NOON, year) == [year - number * MINUTE for number in range(99, -1, -1)]
