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
from typing import Final

from cron_descriptor import CasingTypeEnum, Options, get_description  # type: ignore[import-untyped]
from cronsim import CronSim, CronSimError

from django_jobs.exceptions import InvalidSchedule

FIELDS: Final = ("minute", "hour", "day of the month", "month", "day of the week")
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
    return _problem(cron) if isinstance(cron, str) else "Give the expression as text."


@functools.lru_cache(maxsize=1_000)
def _problem(cron: str) -> str | None:
    fields = cron.split()
    if not fields or len(cron) > MAX_LENGTH or len(fields) != len(FIELDS):
        return _wrong_shape(cron, fields)
    for number, name in enumerate(FIELDS):
        alone = [*_ANY[:number], fields[number], *_ANY[number + 1 :]]
        if not _is_readable(" ".join(alone)):
            return f"{fields[number]!r} is no {name}. Cron has the fields {', '.join(FIELDS)}."
    if not _is_readable(cron) or next(_walls(cron, _START), None) is None:
        return f"{cron!r} never fires: no year has such a day."
    return None


def _wrong_shape(cron: str, fields: list[str]) -> str:
    if len(cron) > MAX_LENGTH:
        return f"Give at most {MAX_LENGTH} characters."
    if fields and fields[0].startswith("@"):
        return f"Give five fields ({', '.join(FIELDS)}) in place of {fields[0]}: macros are not read."
    hint = " Seconds and years are not taken; use an interval for seconds." if len(fields) > len(FIELDS) else ""
    return f"Give five fields ({', '.join(FIELDS)}), such as '0 2 * * *'; these are {len(fields)}.{hint}"


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
        raise InvalidSchedule({"cron": [f"{cron!r} cannot be read: {error}."]}) from None


def zone_of(name: object) -> zoneinfo.ZoneInfo:
    """Return the time zone of a name of the IANA database. Raises InvalidSchedule for one that does not exist."""
    try:
        if not isinstance(name, str) or not name or re.search(r"[^A-Za-z0-9+_/-]", name):
            raise ValueError(name)
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        text = f"There is no time zone {str(name)[:80]!r}; give a name such as 'Europe/Berlin' or 'UTC'."
        raise InvalidSchedule({"timezone": [text]}) from None


def words(cron: str) -> str:
    """Return an expression in words, such as "At 02:00, Monday to Friday"; itself where there are none for it."""
    options = Options(CasingTypeEnum.Sentence, use_24hour_time_format=True, locale_code="en_US")
    try:
        return str(get_description(cron, options)).replace(" through ", " to ")
    except Exception:  # noqa: BLE001  (it reads fewer expressions than CronSim)
        return cron


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
