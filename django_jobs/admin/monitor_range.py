"""The time ranges that the monitor can look back over."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

from django.utils.formats import date_format
from django.utils.timezone import localtime

from django_jobs.engine.store.aggregates import start_of
from django_jobs.models import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A time range: ``count`` steps of one span, the last of which is not over."""

    key: str
    label: str
    unit: str
    span: Span
    count: int
    pattern: str

    def begins(self, now: dt.datetime) -> dt.datetime:
        """Return when the first step began."""
        return start_of(self.span, now) - (self.count - 1) * dt.timedelta(seconds=int(self.span))

    @property
    def length(self) -> dt.timedelta:
        """Return how long the range is."""
        return self.count * dt.timedelta(seconds=int(self.span))

    def moments(self, now: dt.datetime) -> list[dt.datetime]:
        """Return when each step began."""
        first = self.begins(now)
        return [first + step * dt.timedelta(seconds=int(self.span)) for step in range(self.count)]

    def label_of(self, moment: dt.datetime) -> str:
        """Return the label of the step that began at this moment."""
        # A step of a day begins at midnight UTC, which may be the day before in local time.
        local = moment if self.span == Span.DAY else localtime(moment)
        return date_format(local, self.pattern)


RANGES: Final = {
    item.key: item
    for item in (
        Range(key="hour", label="Last hour", unit="minute", span=Span.MINUTE, count=60, pattern="H:i"),
        Range(key="day", label="Last 24 hours", unit="hour", span=Span.HOUR, count=24, pattern="H:i"),
        Range(key="month", label="Last 30 days", unit="day", span=Span.DAY, count=30, pattern="j M"),
    )
}
