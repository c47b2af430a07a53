"""The time ranges that the monitor can look back over."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_jobs.admin.formatting import zone_text
from django_jobs.engine.store.values import start_of
from django_jobs.models import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A time range: ``count`` steps of one span, the last of which is not over.

    ``steps`` says in words how long a step is. Of a range with ``fine_seconds`` the counts are known by steps of so
    many seconds, where few things happened. ``slow`` is the same time in longer steps, for what is too much to read by
    short ones: how long jobs took.
    """

    key: str
    label: str | Promise
    steps: str | Promise
    span: Span
    count: int
    pattern: str
    fine_seconds: int = 0
    slow: Range | None = None

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

    def fine_moments(self, now: dt.datetime) -> list[dt.datetime]:
        """Return when each step of ``fine_seconds`` began, the last one of which is not over."""
        first = self.begins(now)
        count = int((now - first).total_seconds()) // self.fine_seconds + 1
        return [first + step * dt.timedelta(seconds=self.fine_seconds) for step in range(count)]

    @property
    def zone(self) -> str:
        """Return the time zone of the labels in words."""
        return gettext("Days in UTC.") if self.span == Span.DAY else zone_text()

    def label_of(self, moment: dt.datetime) -> str:
        """Return the label of the step that began at this moment."""
        # A step of a day begins at midnight UTC, which may be the day before in local time.
        local = moment if self.span == Span.DAY else localtime(moment)
        return date_format(local, self.pattern)

    @staticmethod
    def fine_label_of(moment: dt.datetime) -> str:
        """Return the label of the step of some seconds that began at this moment."""
        return date_format(localtime(moment), "H:i:s")


#: The week by its days: hours of all types would be too many to read how long each took.
_WEEK_OF_DAYS: Final = Range(
    key="week", label=_("Last 7 days"), steps=_("by the day"), span=Span.DAY, count=8, pattern="j M"
)

RANGES: Final = {
    item.key: item
    for item in (
        Range(
            key="five",
            label=_("Last 5 minutes"),
            steps=_("by the minute"),
            span=Span.MINUTE,
            count=5,
            pattern="H:i",
            fine_seconds=10,
        ),
        Range(key="hour", label=_("Last hour"), steps=_("by the minute"), span=Span.MINUTE, count=60, pattern="H:i"),
        Range(key="day", label=_("Last 24 hours"), steps=_("by the hour"), span=Span.HOUR, count=24, pattern="H:i"),
        Range(
            key="week",
            label=_("Last 7 days"),
            steps=_("by the hour"),
            span=Span.HOUR,
            count=168,
            pattern="D H:i",
            slow=_WEEK_OF_DAYS,
        ),
        Range(key="month", label=_("Last 30 days"), steps=_("by the day"), span=Span.DAY, count=30, pattern="j M"),
    )
}
