"""When a schedule fires. Nothing here asks the database or the clock."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.utils import timezone as clock

from django_jobs.engine.schedules import cron as crons
from django_jobs.engine.schedules import intervals
from django_jobs.engine.schedules.cron import Cron
from django_jobs.exceptions import InvalidSchedule
from django_jobs.texts import say

#: So many firings are told at most.
MAX_COUNT: Final = 1_000
#: So many missed firings are caught up at most.
MAX_MISSED: Final = 100
_TICK: Final = dt.timedelta(microseconds=1)


def next_runs(
    cron: str, timezone: str | None = None, count: int = 5, *, after: dt.datetime | None = None
) -> list[dt.datetime]:
    """Return the next ``count`` (1 to 1,000) moments for which a cron expression stands, in its time zone.

    ``timezone`` is a name of the IANA database, by default the setting TIME_ZONE; ``after`` an aware datetime, by
    default now. Raises InvalidSchedule, whose ``errors`` name what is wrong.
    """
    _check(cron, count, after)
    zone = crons.zone_of(timezone or settings.TIME_ZONE)
    found = Cron(crons.normalized(cron), zone).after(after or dt.datetime.now(dt.UTC))
    return [moment.astimezone(zone) for moment in itertools.islice(found, count)]


def _check(cron: object, count: object, after: object) -> None:
    problem = crons.problem_of(cron)
    if problem:
        raise InvalidSchedule({"cron": [problem]})
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_COUNT:
        raise InvalidSchedule(
            {"count": [say("Give a whole number from 1 to %(most)d.", code="out_of_range", most=MAX_COUNT)]}
        )
    if after is not None and (not isinstance(after, dt.datetime) or clock.is_naive(after)):
        raise InvalidSchedule({"after": [say("Give a datetime with a time zone.", code="not_aware")]})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a schedule fires: by ``cron`` in ``timezone``, or ``every`` so many seconds since ``anchor``.

    Nothing fires before ``starts_at`` nor after ``ends_at``. Where ``starts_at`` is given, intervals are counted from
    it, and it is the first firing.
    """

    cron: str
    every: int | None
    timezone: str
    anchor: dt.datetime
    starts_at: dt.datetime | None = None
    ends_at: dt.datetime | None = None

    def next_after(self, moment: dt.datetime) -> dt.datetime | None:
        """Return the first firing after a moment; None if there is none any more."""
        if self.starts_at is not None:
            moment = max(moment, self.starts_at - _TICK)
        try:
            found = next(Cron(self.cron, crons.zone_of(self.timezone)).after(moment), None) if self.cron else None
            found = self._interval_after(moment) if self.every else found
        except OverflowError:  # the calendar of Python ends
            return None
        return found if found is None or self.ends_at is None or found <= self.ends_at else None

    def upcoming(self, moment: dt.datetime, count: int) -> list[dt.datetime]:
        """Return the next firings after a moment, at most ``count``, in the schedule's time zone."""
        found: list[dt.datetime] = []
        while len(found) < min(count, MAX_COUNT) and (following := self.next_after(moment)) is not None:
            found.append(self.local(following))
            moment = following
        return found

    def latest(self, after: dt.datetime, until: dt.datetime, limit: int = MAX_MISSED) -> list[dt.datetime]:
        """Return the latest firings after the one moment and up to the other, at most ``limit``, in their order."""
        if self.starts_at is not None:
            after = max(after, self.starts_at - _TICK)
        until = until if self.ends_at is None else min(until, self.ends_at)
        if after >= until:
            return []
        if self.cron:
            return Cron(self.cron, crons.zone_of(self.timezone)).latest(after, until, limit)
        step = dt.timedelta(seconds=int(self.every or 0))
        last = self._origin + (until - self._origin) // step * step
        count = min(limit, (last - max(after, self._origin - _TICK)) // step + 1)
        found = [last - number * step for number in range(count)]
        return [moment for moment in reversed(found) if moment > after and self._is_firing(moment)]

    def local(self, moment: dt.datetime) -> dt.datetime:
        """Return a moment in the schedule's time zone."""
        return moment.astimezone(crons.zone_of(self.timezone))

    def words(self) -> str:
        """Return the rule in words, such as "At 02:00, Monday to Friday" or "Every 5 minutes"."""
        return crons.words(self.cron) if self.cron else intervals.words(int(self.every or 1))

    @property
    def _origin(self) -> dt.datetime:
        return self.anchor if self.starts_at is None else self.starts_at

    def _interval_after(self, moment: dt.datetime) -> dt.datetime:
        step = dt.timedelta(seconds=int(self.every or 0))
        number = (moment - self._origin) // step + 1
        return self._origin + max(number, 0 if self.starts_at is not None else 1) * step

    def _is_firing(self, moment: dt.datetime) -> bool:
        """Return whether an interval has passed: at its beginning nothing fires, unless ``starts_at`` says so."""
        return moment >= self._origin if self.starts_at is not None else moment > self._origin


def rule_of(schedule: Any) -> Rule:
    """Return the rule of a schedule, or of its row in the midst of a migration."""
    return Rule(
        cron=schedule.cron,
        every=schedule.every,
        timezone=schedule.timezone,
        anchor=schedule.created_at,
        starts_at=schedule.starts_at,
        ends_at=schedule.ends_at,
    )
