"""Spans of time as people write and read them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis.strategies import integers

from django_jobs.admin.writing import OWN_WORDS, DurationField, format_duration, parse_duration, typed_duration
from tests.support import verbs
from tests.support.tuning import Tuning


def test_durations_are_read_as_people_write_them(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, int]] = [
        ("90", 90),
        ("5 min", 300),
        ("1h 30m", 5400),
        ("1 h, 30 min", 5400),
        ("1.5 h", 5400),
        ("2 Days", 172_800),
        ("1h30m15s", 5415),
        ("0", 0),
        (" 60 ", 60),
    ]
    for text, seconds in cases:
        with subtests.test(text=text, seconds=seconds):
            assert parse_duration(text) == seconds


def test_what_is_no_duration_is_refused(subtests: pytest.Subtests) -> None:
    for text in ("", "x", "5 parsecs", "1 2", "-5", "0.5 s", "5 min 30", "1e9"):
        with subtests.test(text=text), pytest.raises(ValueError, match=re.escape(repr(text))):
            parse_duration(text)


@given(integers(min_value=0, max_value=10**8))
def test_what_is_shown_is_read_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


def test_measured_times_are_told_briefly(subtests: pytest.Subtests) -> None:
    cases: list[tuple[float, str]] = [
        (0.0421, "42 ms"),
        (3.44, "3.4 s"),
        (59.7, "1 min"),
        (3661, "1 h 1 min"),
        (-1, "0 ms"),
        (90_061, "1 d 1 h"),
        (763, "12 min"),
    ]
    for seconds, text in cases:
        with subtests.test(seconds=seconds, text=text):
            assert verbs.brief_duration(seconds) == text


def test_what_people_read_is_in_their_language_and_what_they_type_in_none(bracketed: None) -> None:
    assert format_duration(5400) == "[1 h] [30 min]"
    assert verbs.brief_duration(3.44) == "[3,4 s]"
    assert typed_duration(5400) == DurationField().prepare_value(5400) == "1 h 30 min"


def test_words_and_decimals_of_the_active_language_are_read(
    bracketed: None, tuning: Tuning, subtests: pytest.Subtests
) -> None:
    tuning.set(duration_words=((3600, "stunde stunden std"), *OWN_WORDS[3:]))
    for text in ("1,5 h", "1.5 Stunden", "1,5 Std.", "1 Stunde 30 min"):
        with subtests.test(text=text):
            assert parse_duration(text) == 5400


def test_a_comma_is_no_decimal_point_where_the_language_has_another() -> None:
    with pytest.raises(ValueError, match="1,000 s"):
        parse_duration("1,000 s")


def test_a_time_that_is_written_otherwise_has_not_changed() -> None:
    typed = ("1 min", "60", "2 min", "", "soon")
    assert [DurationField().has_changed(60, text) for text in typed] == [False, False, True, True, True]
