"""Spans of time as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import integers

from django_jobs.admin.durations import brief_duration, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("5 min", 300),
        ("1h 30m", 5400),
        ("1 h, 30 min", 5400),
        ("1.5 h", 5400),
        ("2 Days", 172_800),
        ("1h30m15s", 5415),
        ("0", 0),
        (" 60 ", 60),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "5 parsecs", "1 2", "-5", "0.5 s", "5 min 30", "1e9"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no"):
        parse_duration(text)


@given(integers(min_value=0, max_value=10**8))
def test_what_is_shown_is_read_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0421, "42 ms"),
        (3.44, "3.4 s"),
        (59.7, "1 min"),
        (3661, "1 h 1 min"),
        (-1, "0 ms"),
        (90_061, "1 d 1 h"),
        (763, "12 min"),
    ],
)
def test_measured_times_are_told_briefly(seconds: float, text: str) -> None:
    assert brief_duration(seconds) == text
