"""What a report may be asked for, and the words for what it may not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from django_jobs.exceptions import PermanentError

TEMPLATES: Final = ("monthly_report",)
MAX_DAYS: Final = 366
YEARS: Final = range(1970, 2101)
ACCEPTED: Final = frozenset({"template", "date_range"})


@dataclass(frozen=True, kw_only=True)
class Period:
    """Days from ``start`` to ``end``, both included."""

    start: date
    end: date

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1


def read_parameters(parameters: Mapping[str, Any]) -> Period | None:
    """The period that was asked for, or None when the parameters leave it open.

    Raises PermanentError, which says what would be accepted: a retry could not make them better.
    """
    unknown = sorted(set(parameters) - ACCEPTED)
    if unknown:
        raise PermanentError(f"Unknown parameter: {', '.join(unknown)}. Accepted: template, date_range.")
    template = parameters.get("template", TEMPLATES[0])
    if template not in TEMPLATES:
        raise PermanentError(f"Unknown template {template!r}. Accepted: {', '.join(TEMPLATES)}.")
    value = parameters.get("date_range")
    return None if value is None else read_period(value)


def read_period(value: Any) -> Period:
    try:
        first, last = value if isinstance(value, list | tuple) else ()
    except ValueError:
        raise PermanentError(
            f'date_range must be two dates, for example ["2025-01-01", "2025-01-31"]; got {value!r}.'
        ) from None
    period = Period(start=read_day(first), end=read_day(last))
    if period.start > period.end:
        raise PermanentError(
            f"date_range is reversed: {period.start} is after {period.end}. The first day comes first."
        )
    if period.days > MAX_DAYS:
        raise PermanentError(f"date_range spans {period.days} days. At most {MAX_DAYS} are accepted.")
    return period


def read_day(value: Any) -> date:
    try:
        day = date.fromisoformat(value)
    except (TypeError, ValueError):
        raise PermanentError(
            f"date_range holds {value!r}, which is no date. Dates are written like 2025-01-31."
        ) from None
    if day.year not in YEARS:
        raise PermanentError(f"date_range holds {day}. Years {YEARS[0]} to {YEARS[-1]} are accepted.")
    return day
