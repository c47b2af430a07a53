"""Cron expressions: what is wrong with one, when it fires, and what it says in words.

CronSim walks the calendar, and is given local times without a zone. The zone is added here, because what it does at
the two ends of summer time is Debian's way, which differs from ours, and misses firings where clocks change by half an
hour (Lord Howe). The rules are:

- An expression that names hours (``30 2 * * *``, ``0 */4 * * *``) goes by the clock on the wall, once each: what falls
  into an hour that summer time skips happens at its end, and what falls into one that is repeated in the first pass.
- An expression for every hour (``*/15 * * * *``) goes by the minutes that the clock shows, in every real hour: nothing
  fires in an hour that does not exist, and what falls into a repeated hour happens in both passes.
"""

from __future__ import annotations

import datetime as dt
import functools
import heapq
import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from cronsim import CronSim, CronSimError
from django.utils.translation import gettext_noop as _

from django_jobs.exceptions import InvalidSchedule
from django_jobs.texts import say

FIELDS: Final = ("minute", "hour", "day of the month", "month", "day of the week")
#: What is said of a field that cannot be read.
WRONG: Final = (
    _("%(field)s is no minute. Cron has the fields minute, hour, day of the month, month, day of the week."),
    _("%(field)s is no hour. Cron has the fields minute, hour, day of the month, month, day of the week."),
    _("%(field)s is no day of the month. Cron has the fields minute, hour, day of the month, month, day of the week."),
    _("%(field)s is no month. Cron has the fields minute, hour, day of the month, month, day of the week."),
    _("%(field)s is no day of the week. Cron has the fields minute, hour, day of the month, month, day of the week."),
)
CODES: Final = ("no_minute", "no_hour", "no_day_of_month", "no_month", "no_day_of_week")
#: What takes the place of each field while another one is judged.
_ANY: Final = ("0", "0", "*", "*", "*")
MAX_LENGTH: Final = 200
HOURS: Final = 24
#: Clocks are set back by so much at most.
MAX_SHIFT: Final = dt.timedelta(hours=3)
_MINUTE: Final = dt.timedelta(minutes=1)
_SECOND: Final = dt.timedelta(seconds=1)
#: From where an expression is tried out, to see whether it ever fires.
_START: Final = dt.datetime(2023, 12, 31, 23, 59)  # noqa: DTZ001  (local times have no zone here)


def normalized(cron: str) -> str:
    """Return the expression with one space between its fields."""
    return " ".join(cron.split())


def problem_of(cron: object) -> str | None:
    """Return what is wrong with an expression, in a sentence; None if nothing is."""
    return _problem(cron) if isinstance(cron, str) else say(_("Give the expression as text."), code="not_a_text")


@functools.lru_cache(maxsize=1_000)
def _problem(cron: str) -> str | None:
    fields = cron.split()
    if not fields or len(cron) > MAX_LENGTH or len(fields) != len(FIELDS):
        return _wrong_shape(cron, fields)
    for number, wrong in enumerate(WRONG):
        alone = [*_ANY[:number], fields[number], *_ANY[number + 1 :]]
        if not _is_readable(" ".join(alone)):
            return say(wrong, code=CODES[number], field=repr(fields[number]))
    if not _is_readable(cron) or next(_walls(cron, _START), None) is None:
        return say(_("%(cron)s never fires: no year has such a day."), code="never_fires", cron=repr(cron))
    return None


def _wrong_shape(cron: str, fields: list[str]) -> str:
    if len(cron) > MAX_LENGTH:
        return say(_("Give at most %(count)d characters."), code="too_long", count=MAX_LENGTH)
    if fields and fields[0].startswith("@"):
        text = _(
            "Give five fields (minute, hour, day of the month, month, day of the week) in place of %(macro)s: "
            "macros are not read."
        )
        return say(text, code="macro", macro=fields[0])
    text = _(
        "Give five fields (minute, hour, day of the month, month, day of the week), such as '0 2 * * *'; "
        "these are %(count)d."
    )
    if len(fields) > len(FIELDS):
        text = _(
            "Give five fields (minute, hour, day of the month, month, day of the week), such as '0 2 * * *'; "
            "these are %(count)d. Seconds and years are not taken; use an interval for seconds."
        )
    return say(text, code="number_of_fields", count=len(fields))


def _is_readable(cron: str) -> bool:
    try:
        _read(cron, _START)
    except InvalidSchedule:
        return False
    return True


def _read(cron: str, start: dt.datetime, *, reverse: bool = False) -> CronSim:
    """Return what walks the calendar. Raises InvalidSchedule: what is stored may come from another version."""
    try:
        return CronSim(cron, start, reverse=reverse)
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


def words(cron: str, language: str = "en") -> str:
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


def _walls(cron: str, start: dt.datetime, *, reverse: bool = False) -> Iterator[dt.datetime]:
    """Yield the local times behind ``start`` (before it, in reverse) that an expression names, without a zone."""
    found = _read(cron, start, reverse=reverse)
    try:
        yield from found
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
            for found in self._in_order(moment):
                if found > last:
                    last = found
                    yield found
        except (OverflowError, ValueError):  # the calendar of Python ends
            return

    def latest(self, after: dt.datetime, until: dt.datetime, limit: int) -> list[dt.datetime]:
        """Return the latest firings after the one moment and up to the other, at most ``limit``, in their order."""
        margin = MAX_SHIFT if self._is_for_every_hour else dt.timedelta()  # a second pass is that much later
        local = until.astimezone(self.zone)
        start = _wall(local) + (_overlap(local) if local.fold else dt.timedelta()) + _SECOND
        found: list[dt.datetime] = []
        for wall in _walls(self.expression, start, reverse=True):
            first = self._first(wall)
            oldest = found[0] if len(found) == limit else after
            if first + margin <= max(oldest, after):
                break
            for moment in self._moments(wall):
                if after < moment <= until and moment not in found:
                    heapq.heappush(found, moment)
            while len(found) > limit:
                heapq.heappop(found)
        return sorted(found)

    @functools.cached_property
    def _is_for_every_hour(self) -> bool:
        return len(_read(self.expression, _START).hours) == HOURS

    def _in_order(self, moment: dt.datetime) -> Iterator[dt.datetime]:
        """Yield the firings in their order, from the first of the hour of a moment on, if that is repeated."""
        local = moment.astimezone(self.zone)
        start = _wall(local) - (dt.timedelta() if local.fold else _overlap(local))
        held: list[dt.datetime] = []  # second passes wait until the first has come to its end
        for wall in _walls(self.expression, start):
            for found in self._moments(wall):
                heapq.heappush(held, found)
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
