"""Both sides of summer time: what falls into a skipped hour happens at its end, into a repeated one once."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Final

import pytest

from django_jobs import next_runs
from django_jobs.engine.schedules.timetable import Cron, zone_of

#: Zone, the local midnight from which on clocks change, an expression, and the firings of that day and the next.
SKIPPED: Final = [
    ("Europe/Berlin", "2026-03-29", "30 2 * * *", ["29 03:00 +0200", "30 02:30 +0200"]),
    ("Europe/Berlin", "2026-03-29", "0,30 2,3 * * *", ["29 03:00 +0200", "29 03:30 +0200", "30 02:00 +0200"]),
    ("Europe/Berlin", "2026-03-29", "0 */2 * * *", ["29 00:00 +0100", "29 03:00 +0200", "29 04:00 +0200"]),
    ("America/New_York", "2026-03-08", "15 2 * * *", ["08 03:00 -0400", "09 02:15 -0400"]),
    ("Australia/Lord_Howe", "2026-10-04", "15 2 * * *", ["04 02:30 +1100", "05 02:15 +1100"]),
    ("Australia/Lord_Howe", "2026-10-04", "0,45 2 * * *", ["04 02:30 +1100", "04 02:45 +1100", "05 02:00 +1100"]),
    ("America/Santiago", "2026-09-06", "30 0 * * *", ["06 01:00 -0300", "07 00:30 -0300"]),
    ("Africa/Cairo", "2026-04-24", "0 0 * * *", ["24 01:00 +0300", "25 00:00 +0300"]),
]
REPEATED: Final = [
    ("Europe/Berlin", "2026-10-25", "30 2 * * *", ["25 02:30 +0200", "26 02:30 +0100"]),
    ("Europe/Berlin", "2026-10-25", "*/30 2 * * *", ["25 02:00 +0200", "25 02:30 +0200", "26 02:00 +0100"]),
    ("America/New_York", "2026-11-01", "15 1 * * *", ["01 01:15 -0400", "02 01:15 -0500"]),
    ("Australia/Lord_Howe", "2026-04-05", "45 1 * * *", ["05 01:45 +1100", "06 01:45 +1030"]),
    ("Australia/Lord_Howe", "2026-04-05", "*/20 3 * * *", ["05 03:00 +1030", "05 03:20 +1030", "05 03:40 +1030"]),
    ("America/Santiago", "2026-04-04", "30 23 * * *", ["04 23:30 -0300", "05 23:30 -0400"]),
    ("Africa/Cairo", "2026-10-29", "30 23 * * *", ["29 23:30 +0300", "30 23:30 +0200"]),
]
#: An expression for every hour goes on through the night in real time.
EVERY_HOUR: Final = [
    ("Europe/Berlin", "2026-03-29T01:00:00+01:00", "*/30 * * * *", ["01:30 +0100", "03:00 +0200", "03:30 +0200"]),
    ("Europe/Berlin", "2026-10-25T02:00:00+02:00", "*/30 * * * *", ["02:30 +0200", "02:00 +0100", "02:30 +0100"]),
    ("Europe/Berlin", "2026-10-25T02:00:00+02:00", "30 0-23 * * *", ["02:30 +0200", "02:30 +0100", "03:30 +0100"]),
    ("Australia/Lord_Howe", "2026-10-04T01:40:00+10:30", "*/15 * * * *", ["01:45 +1030", "02:30 +1100"]),
    ("Australia/Lord_Howe", "2026-04-05T01:40:00+11:00", "*/15 * * * *", ["01:45 +1100", "01:30 +1030"]),
    ("Africa/Cairo", "2026-04-23T23:40:00+02:00", "*/15 * 24 4 *", ["01:00 +0300", "01:15 +0300"]),
]


def midnight(zone: str, day: str) -> dt.datetime:
    """A second before the day begins."""
    start = dt.datetime.fromisoformat(day).replace(tzinfo=zone_of(zone))
    return start.astimezone(dt.UTC) - dt.timedelta(seconds=1)


@pytest.mark.parametrize(("zone", "day", "cron", "expected"), SKIPPED)
def test_what_falls_into_a_skipped_hour_happens_at_its_end(zone: str, day: str, cron: str, expected: list[str]) -> None:
    found = next_runs(cron, zone, len(expected), after=midnight(zone, day))
    assert [f"{moment:%d %H:%M %z}" for moment in found] == expected


@pytest.mark.parametrize(("zone", "day", "cron", "expected"), REPEATED)
def test_what_falls_into_a_repeated_hour_happens_once(zone: str, day: str, cron: str, expected: list[str]) -> None:
    found = next_runs(cron, zone, len(expected), after=midnight(zone, day))
    assert [f"{moment:%d %H:%M %z}" for moment in found] == expected


@pytest.mark.parametrize(("zone", "after", "cron", "expected"), EVERY_HOUR)
def test_an_expression_for_every_hour_goes_by_real_time(zone: str, after: str, cron: str, expected: list[str]) -> None:
    found = next_runs(cron, zone, len(expected), after=dt.datetime.fromisoformat(after))
    assert [f"{moment:%H:%M %z}" for moment in found] == expected


DAYS: Final = sorted({(zone, day) for zone, day, _, _ in (*SKIPPED, *REPEATED)})
LIMIT: Final = 9


@pytest.mark.parametrize(("zone", "day"), DAYS)
@pytest.mark.parametrize("cron", ["*/15 * * * *", "*/30 1-3 * * *", "30 2 * * *", "0 0,23 * * *"])
def test_looking_back_finds_what_looking_ahead_finds_wherever_one_stands(zone: str, day: str, cron: str) -> None:
    start = midnight(zone, day) - dt.timedelta(hours=12)
    rule = Cron(cron, zone_of(zone))
    ahead = list(itertools.takewhile(lambda moment: moment < start + dt.timedelta(days=3), rule.after(start)))
    assert ahead == sorted(set(ahead))
    for place, moment in enumerate(ahead):
        until = moment + dt.timedelta(seconds=place % 60)
        assert rule.latest(start, until, LIMIT) == ahead[max(0, place + 1 - LIMIT) : place + 1]
        assert ahead[place + 1 : place + 2] in ([next(rule.after(until))], [])
