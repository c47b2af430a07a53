"""Intervals: so many seconds between two firings. Nothing here needs Django's app registry."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext_noop as _

from django_jobs.exceptions import InvalidSchedule
from django_jobs.texts import say

#: Seconds: 366 days.
LONGEST: Final = 366 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Every:
    """So many whole seconds between two firings: at least 1, at most 366 days."""

    seconds: int

    def __post_init__(self) -> None:
        problem = problem_of(self.seconds)
        if problem:
            raise InvalidSchedule({"every": [problem]})


def every(*, weeks: int = 0, days: int = 0, hours: int = 0, minutes: int = 0, seconds: int = 0) -> Every:
    """Return an interval for a schedule, such as ``every(minutes=5)``.

    A day has 24 hours, whatever summer time does; use cron for "each day at 2". Raises InvalidSchedule for less than a
    second, for parts of a second, and for more than 366 days.
    """
    given = {"weeks": weeks, "days": days, "hours": hours, "minutes": minutes, "seconds": seconds}
    try:
        return Every(seconds_of(dt.timedelta(**given)))
    except (TypeError, ValueError, OverflowError) as error:  # ValueError: NaN
        text = "Give numbers of weeks, days, hours, minutes or seconds: %(error)s."
        raise InvalidSchedule({"every": [say(text, code="not_a_number", error=error)]}) from None


def seconds_of(value: Any) -> Any:
    """Return the seconds of an interval that is given as Every, timedelta or number; anything else as it is."""
    if isinstance(value, Every):
        return value.seconds
    if isinstance(value, dt.timedelta):
        value = value.total_seconds()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def problem_of(seconds: object) -> str | None:
    """Return what is wrong with these seconds; None if nothing is."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return say(_("Give the seconds as a whole number, or a timedelta, or every(…)."), code="not_a_number")
    if seconds != seconds or seconds < 1:  # noqa: PLR0124  (NaN alone differs from itself)
        return say(_("A schedule fires at most once a second: give 1 second or more."), code="too_often")
    if not isinstance(seconds, int):
        return say(_("Give whole seconds."), code="not_whole")
    if seconds <= LONGEST:
        return None
    return say(_("Give at most %(count)d seconds (366 days)."), code="too_large", count=LONGEST)


def words(seconds: int) -> str:
    """Return an interval in words, such as "Every 5 minutes"."""
    for unit, size in (("week", 604_800), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, rest = divmod(seconds, size)
        if not rest:
            return f"Every {unit}" if count == 1 else f"Every {count} {unit}s"
    raise AssertionError("unreachable")
