"""When a rule would fire that is not stored yet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django_jobs.engine.schedules.definition_checks import check_rule, refusal
from django_jobs.engine.schedules.timetable import Rule
from django_jobs.engine.store import database
from django_jobs.models import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A rule, what it says in English, its time zone, and its next firings there."""

    rule: Rule
    words: str
    timezone: str
    next_runs: list[dt.datetime]


def preview(given: Mapping[str, Any], count: int = 5, *, schedule: Schedule | None = None) -> Preview:
    """Return what a rule says and when it fires next.

    ``given`` are the keywords of :func:`schedule_job` that say when it fires; others are not looked at. ``schedule`` is
    the one that is to get the rule; its intervals are counted from when it was made. Raises InvalidSchedule for what is
    wrong with the rule.
    """
    values, errors = check_rule(given)
    if errors:
        raise refusal(errors)
    now = database.now()
    rule = Rule(**values, anchor=now.replace(microsecond=0) if schedule is None else schedule.created_at)
    return Preview(rule=rule, words=rule.words(), timezone=rule.timezone, next_runs=rule.upcoming(now, count))
