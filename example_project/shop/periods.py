"""Spans of days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, kw_only=True)
class Period:
    """The days from ``start`` to ``end``, both included."""

    start: date
    end: date

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1


def month_of(day: date) -> Period:
    first = day.replace(day=1)
    return Period(start=first, end=next_month(first) - timedelta(days=1))


def next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)
