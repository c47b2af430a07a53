"""When a schedule fires: cron expressions, intervals, and moments to come."""

from __future__ import annotations

import datetime as dt
import functools
import heapq
import itertools
import re
import zoneinfo
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from cronsim import CronSim, CronSimError
from django.conf import settings
from django.utils import timezone as clock
from django.utils.translation import gettext_noop as _

from django_jobs.exceptions import InvalidSchedule
from django_jobs.texts import say

# Intervals: so many seconds between two firings. Nothing here needs Django's app registry.


#: Seconds: 366 days.
LONGEST: Final = 366 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Every:
    """So many whole seconds between two firings: at least 1, at most 366 days."""

    seconds: int

    def __post_init__(self) -> None:
        problem = interval_problem(self.seconds)
        if problem:
            raise InvalidSchedule({"every": [problem]})


def every(*, weeks: int = 0, days: int = 0, hours: int = 0, minutes: int = 0, seconds: int = 0) -> Every:
    """Return an interval for a schedule, such as ``every(minutes=5)``.

    A day has 24 hours, whatever summer time does; use cron for "each day at 2". Raises InvalidSchedule for less than a
    second, for parts of a second, and for more than 366 days.
    """
    given = {"weeks": weeks, "days": days, "hours": hours, "minutes": minutes, "seconds": seconds}
    try:
        return Every(interval_seconds(dt.timedelta(**given)))
    except (TypeError, ValueError, OverflowError) as error:  # ValueError: NaN
        text = "Give numbers of weeks, days, hours, minutes or seconds: %(error)s."
        raise InvalidSchedule({"every": [say(text, code="not_a_number", error=error)]}) from None


def interval_seconds(value: Any) -> Any:
    """Return the seconds of an interval that is given as Every, timedelta or number; anything else as it is."""
    if isinstance(value, Every):
        return value.seconds
    if isinstance(value, dt.timedelta):
        value = value.total_seconds()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def interval_problem(seconds: object) -> str | None:
    """Return what is wrong with these seconds; None if nothing is."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        code = "not_a_number"
    elif seconds != seconds or seconds < 1:  # noqa: PLR0124  (NaN alone differs from itself)
        code = "too_often"
    elif not isinstance(seconds, int):
        code = "not_whole"
    elif seconds > LONGEST:
        code = "too_large"
    else:
        return None
    return say(_("Give whole seconds from %(least)d to %(most)d."), code=code, least=1, most=LONGEST)


def interval_words(seconds: int) -> str:
    """Return an interval in words, such as "Every 5 minutes"."""
    for unit, size in (("week", 604_800), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, rest = divmod(seconds, size)
        if not rest:
            return f"Every {unit}" if count == 1 else f"Every {count} {unit}s"
    raise AssertionError("unreachable")


# Cron expressions: what is wrong with one, when it fires, and what it says in words.
#
# CronSim walks the calendar, and is given local times without a zone. The zone is added here, because what it does at
# the two ends of summer time is Debian's way, which differs from ours, and misses firings where clocks change by half
# an hour (Lord Howe). The rules are:
#
# - An expression that names hours (``30 2 * * *``, ``0 */4 * * *``) goes by the clock on the wall, once each: what
#   falls into an hour that summer time skips happens at its end, and what falls into one that is repeated in the first
#   pass.
# - An expression for every hour (``*/15 * * * *``) goes by the minutes that the clock shows, in every real hour:
#   nothing fires in an hour that does not exist, and what falls into a repeated hour happens in both passes.


FIELDS: Final = ("minute", "hour", "day of the month", "month", "day of the week")
#: What is said of a field that cannot be read.
WRONG: Final = _(
    "%(field)s cannot be field %(number)d: cron has the fields minute, hour, day of the month, month, day of the week."
)
CODES: Final = ("no_minute", "no_hour", "no_day_of_month", "no_month", "no_day_of_week")
#: What takes the place of each field while another one is judged.
_ANY: Final = ("0", "0", "*", "*", "*")
MAX_LENGTH: Final = 200
HOURS: Final = 24
#: So far back the latest firings are looked for at first.
LOOKED_BACK: Final = dt.timedelta(hours=3)
_MINUTE: Final = dt.timedelta(minutes=1)
#: From where an expression is tried out, to see whether it ever fires.
_START: Final = dt.datetime(2023, 12, 31, 23, 59)  # noqa: DTZ001  (local times have no zone here)


def normalized_cron(cron: str) -> str:
    """Return the expression with one space between its fields."""
    return " ".join(cron.split())


def cron_problem(cron: object) -> str | None:
    """Return what is wrong with an expression, in a sentence; None if nothing is."""
    return _problem(cron) if isinstance(cron, str) else say(_("Give a text."), code="not_a_text")


@functools.lru_cache(maxsize=1_000)
def _problem(cron: str) -> str | None:
    fields = cron.split()
    if not fields or len(cron) > MAX_LENGTH or len(fields) != len(FIELDS):
        return _wrong_shape(cron, fields)
    for number, field in enumerate(fields):
        alone = [*_ANY[:number], field, *_ANY[number + 1 :]]
        if not _is_readable(" ".join(alone)):
            return say(WRONG, code=CODES[number], field=repr(field), number=number + 1)
    if not _is_readable(cron) or next(_walls(cron, _START), None) is None:
        return say(_("%(cron)s never fires: no year has such a day."), code="never_fires", cron=repr(cron))
    return None


def _wrong_shape(cron: str, fields: list[str]) -> str:
    if len(cron) > MAX_LENGTH:
        return say(_("Give at most %(most)s characters."), code="too_long", most=MAX_LENGTH)
    code = "macro" if fields and fields[0].startswith("@") else "number_of_fields"
    text = _(
        "Give five fields (minute, hour, day of the month, month, day of the week), such as '0 2 * * *'; these are "
        "%(count)d. Macros, seconds and years are not read."
    )
    return say(text, code=code, count=len(fields))


def _is_readable(cron: str) -> bool:
    try:
        _read(cron, _START)
    except InvalidSchedule:
        return False
    return True


def _read(cron: str, start: dt.datetime) -> CronSim:
    """Return what walks the calendar. Raises InvalidSchedule: what is stored may come from another version."""
    try:
        return CronSim(cron, start)
    except CronSimError as error:
        text = say(_("%(cron)s cannot be read: %(error)s."), code="unreadable", cron=repr(cron), error=error)
        raise InvalidSchedule({"cron": [text]}) from None


def zone_of(name: object) -> zoneinfo.ZoneInfo:
    """Return the time zone of a name of the IANA database. Raises InvalidSchedule for one that does not exist."""
    try:
        if not isinstance(name, str) or not name or re.search(r"[^A-Za-z0-9+_/-]", name):
            raise ValueError(name)
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        text = _("There is no time zone %(zone)s; give a name such as 'Europe/Berlin' or 'UTC'.")
        raise InvalidSchedule({"timezone": [say(text, code="unknown_zone", zone=repr(str(name)[:80]))]}) from None


def cron_words(cron: str, language: str = "en") -> str:
    """Return an expression in words, such as "At 02:00, Monday to Friday"; itself where there are none for it.

    ``language`` is a code such as "en" or "pt-br".
    """
    locale = _locale(language.lower())
    if locale is None:
        return cron
    # Here, since a worker says nothing in words, and the library costs each process more than a megabyte.
    from cron_descriptor import CasingTypeEnum, Options, get_description  # type: ignore[import-untyped]

    options = Options(CasingTypeEnum.Sentence, use_24hour_time_format=True, locale_code=locale)
    try:
        return str(get_description(cron, options)).replace(" through ", " to ")
    except Exception:  # noqa: BLE001  (it reads fewer expressions than CronSim)
        return cron


@functools.cache
def _locale(language: str) -> str | None:
    """Return the library's name for a language, or for the nearest that it speaks; None where it speaks none."""
    spoken = sorted(item.name.removesuffix(".mo") for item in (files("cron_descriptor") / "locale").iterdir())
    kind = language.partition("-")[0]
    wanted = "en_US" if kind == "en" else language.replace("-", "_")
    exact = [name for name in spoken if name.lower() == wanted.lower()]
    return next(iter(exact or [name for name in spoken if name.partition("_")[0] == kind]), None)


def _walls(cron: str, start: dt.datetime) -> Iterator[dt.datetime]:
    """Yield the local times behind ``start`` that an expression names, without a zone."""
    try:
        yield from _read(cron, start)
    except (OverflowError, ValueError):  # the calendar of Python ends
        return


@dataclass(frozen=True)
class Cron:
    """A good expression in its time zone. All moments are aware, those that come back in UTC."""

    expression: str
    zone: zoneinfo.ZoneInfo

    def after(self, moment: dt.datetime) -> Iterator[dt.datetime]:
        """Yield the firings after a moment, in their order."""
        last = moment
        try:
            for following in self._in_order(moment):
                if following > last:
                    last = following
                    yield following
        except (OverflowError, ValueError):  # the calendar of Python ends
            return

    def latest(self, after: dt.datetime, until: dt.datetime, limit: int) -> list[dt.datetime]:
        """Return the latest firings after the one moment and up to the other, at most ``limit``, in their order."""
        back = LOOKED_BACK
        while True:
            start = until - min(back, until - after)
            moments = deque(itertools.takewhile(lambda moment: moment <= until, self.after(start)), limit)
            if len(moments) == limit or start == after:
                return list(moments)
            back *= 8

    @functools.cached_property
    def _is_for_every_hour(self) -> bool:
        return len(_read(self.expression, _START).hours) == HOURS

    def _in_order(self, moment: dt.datetime) -> Iterator[dt.datetime]:
        """Yield the firings in their order, from the first of the hour of a moment on, if that is repeated."""
        local = moment.astimezone(self.zone)
        start = _wall(local) - (dt.timedelta() if local.fold else _overlap(local))
        held: list[dt.datetime] = []  # second passes wait until the first has come to its end
        for wall in _walls(self.expression, start):
            for wall_moment in self._moments(wall):
                heapq.heappush(held, wall_moment)
            while held and held[0] <= self._first(wall):
                yield heapq.heappop(held)
        yield from sorted(held)

    def _moments(self, wall: dt.datetime) -> list[dt.datetime]:
        """Return when the firing of a local time happens."""
        local = wall.replace(tzinfo=self.zone)
        if not self._is_for_every_hour or not _is_changed(local):
            return [self._first(wall)]
        passes = [local, local.replace(fold=1)] if _overlap(local) else []
        return [item.astimezone(dt.UTC) for item in passes]

    def _first(self, wall: dt.datetime) -> dt.datetime:
        """Return the moment of a local time: its first, or the end of the hour that is skipped."""
        local = wall.replace(tzinfo=self.zone)
        while _is_changed(local) and not _overlap(local):
            local += _MINUTE
        return local.astimezone(dt.UTC)


def _wall(local: dt.datetime) -> dt.datetime:
    return local.replace(tzinfo=None, fold=0, microsecond=0)


def _is_changed(local: dt.datetime) -> bool:
    """Return whether the local time does not exist, or exists twice."""
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


def _overlap(local: dt.datetime) -> dt.timedelta:
    """Return by how much clocks are set back in the hour of a local time that exists twice; 0 for any other."""
    before, behind = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    return max(before - behind, dt.timedelta()) if before is not None and behind is not None else dt.timedelta()


# When a schedule fires. Nothing here asks the database or the clock.


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
    zone = zone_of(timezone or settings.TIME_ZONE)
    moments = Cron(normalized_cron(cron), zone).after(after or dt.datetime.now(dt.UTC))
    return [moment.astimezone(zone) for moment in itertools.islice(moments, count)]


def _check(cron: object, count: object, after: object) -> None:
    problem = cron_problem(cron)
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
            next_moment = next(Cron(self.cron, zone_of(self.timezone)).after(moment), None) if self.cron else None
            next_moment = self._interval_after(moment) if self.every else next_moment
        except OverflowError:  # the calendar of Python ends
            return None
        return next_moment if next_moment is None or self.ends_at is None or next_moment <= self.ends_at else None

    def upcoming(self, moment: dt.datetime, count: int) -> list[dt.datetime]:
        """Return the next firings after a moment, at most ``count``, in the schedule's time zone."""
        moments: list[dt.datetime] = []
        while len(moments) < min(count, MAX_COUNT) and (following := self.next_after(moment)) is not None:
            moments.append(self.local(following))
            moment = following
        return moments

    def latest(self, after: dt.datetime, until: dt.datetime, limit: int = MAX_MISSED) -> list[dt.datetime]:
        """Return the latest firings after the one moment and up to the other, at most ``limit``, in their order."""
        if self.starts_at is not None:
            after = max(after, self.starts_at - _TICK)
        until = until if self.ends_at is None else min(until, self.ends_at)
        if after >= until:
            return []
        if self.cron:
            return Cron(self.cron, zone_of(self.timezone)).latest(after, until, limit)
        step = dt.timedelta(seconds=int(self.every or 0))
        last = self._origin + (until - self._origin) // step * step
        count = min(limit, (last - max(after, self._origin - _TICK)) // step + 1)
        moments = [last - number * step for number in range(count)]
        return [moment for moment in reversed(moments) if moment > after and self._is_firing(moment)]

    def local(self, moment: dt.datetime) -> dt.datetime:
        """Return a moment in the schedule's time zone."""
        return moment.astimezone(zone_of(self.timezone))

    def words(self) -> str:
        """Return the rule in words, such as "At 02:00, Monday to Friday" or "Every 5 minutes"."""
        return cron_words(self.cron) if self.cron else interval_words(int(self.every or 1))

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
