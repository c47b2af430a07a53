"""Sums of the attempts of job types, from the activity rows: how many ended lately, and how many of these failed."""

from __future__ import annotations

import datetime as dt
import functools
import math
import operator
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from django.db.models import F, Q, Sum

from django_jobs.engine.insight.activity import activities
from django_jobs.engine.store.aggregates import start_of
from django_jobs.models import Span

#: How many types are looked at, those with the most failures first.
MAX_TYPES: Final = 100
#: How many rows of types are read at once, the newest.
MAX_ROWS: Final = 10_000
#: The quantile of the normal distribution for a certainty of 95 %.
_Z: Final = 1.96
HOUR: Final = dt.timedelta(hours=1)
DAY: Final = dt.timedelta(days=1)


class Attempts(NamedTuple):
    """How many attempts ended, and how many of them failed."""

    ended: int = 0
    failed: int = 0

    @property
    def share(self) -> float:
        """Return the share that failed; 0 where none ended."""
        return self.failed / self.ended if self.ended else 0.0

    @property
    def sure_share(self) -> float:
        """Return the least share of failures that these numbers prove: the lower bound of Wilson's score interval.

        Of 5 of 5 it is 0.57, of 4 of 5 it is 0.38, of 60 of 100 it is 0.50.
        """
        if not self.ended:
            return 0.0
        square = _Z * _Z / self.ended
        spread = _Z * math.sqrt(self.share * (1 - self.share) / self.ended + square / (4 * self.ended))
        return (self.share + square / 2 - spread) / (1 + square)


class Step(NamedTuple):
    """The attempts of one minute or hour, and when it began."""

    starts_at: dt.datetime
    attempts: Attempts


def total_of(steps: Iterable[Step]) -> Attempts:
    """Return the attempts of all these steps together."""
    found = list(steps)
    return Attempts(sum(step.attempts.ended for step in found), sum(step.attempts.failed for step in found))


def newest_of(steps: Iterable[Step], least: int) -> list[Step]:
    """Return the first of these steps that have so many attempts together; all of them where they have fewer."""
    chosen: list[Step] = []
    count = 0
    for step in steps:
        chosen.append(step)
        count += step.attempts.ended
        if count >= least:
            break
    return chosen


def types_with_failures(span: Span, since: dt.datetime, least: int = 1) -> set[str]:
    """Return the types of which so many attempts have failed since, at most MAX_TYPES of them."""
    sums = _rows(span, since).values("job_type").annotate(failures=Sum("failed")).filter(failures__gte=least)
    rows = sums.order_by(F("failures").desc(), "job_type")[:MAX_TYPES]
    return {row["job_type"] for row in rows}


def read_steps(span: Span, since: Mapping[str, dt.datetime], until: dt.datetime | None = None) -> dict[str, list[Step]]:
    """Return the steps of each of these types since its moment in which attempts ended, the newest first."""
    if not since:
        return {}
    types: dict[dt.datetime, list[str]] = defaultdict(list)
    for name, moment in since.items():
        types[moment].append(name)
    wanted = (Q(job_type__in=names, starts_at__gte=moment) for moment, names in types.items())
    rows = _rows(span, min(types)).filter(functools.reduce(operator.or_, wanted))
    if until is not None:
        rows = rows.filter(starts_at__lt=until)
    found: dict[str, list[Step]] = defaultdict(list)
    read = rows.order_by("-starts_at").values_list("job_type", "starts_at", "completed", "failed")
    for job_type, starts_at, completed, failed in read[:MAX_ROWS]:
        if completed or failed:
            found[job_type].append(Step(starts_at, Attempts(completed + failed, failed)))
    return found


def begin_of_streak(
    job_type: str, share: float, now: dt.datetime, after: dt.datetime | None = None
) -> dt.datetime | None:
    """Return in which minute of the last day, and ``after`` a moment, a type's last failures began; None without any.

    Going back, a minute belongs to them if this share of its attempts failed. The newest minutes may be better: where
    few attempts come, one that completed just now does not end what fails otherwise.
    """
    this_hour = start_of(Span.HOUR, now)
    hours = read_steps(Span.HOUR, {job_type: this_hour - DAY}).get(job_type, [])
    hour = this_hour
    for step in hours:
        if step.starts_at < this_hour and step.attempts.share < share:
            break
        hour = min(hour, step.starts_at)
    began = _streak_around(hour, job_type, share)
    if began is None and (older := _begin(hours, share)) is not None:
        began = _streak_around(older, job_type, share)
    if after is not None and (began is None or began < after):
        began = _begin(read_steps(Span.MINUTE, {job_type: after}).get(job_type, []), share)
    return began


def _streak_around(hour: dt.datetime, job_type: str, share: float) -> dt.datetime | None:
    """Return in which minute of this hour, or of the one before, the last failures of this hour began."""
    return _begin(read_steps(Span.MINUTE, {job_type: hour - HOUR}, hour + HOUR).get(job_type, []), share)


def _begin(steps: Iterable[Step], share: float) -> dt.datetime | None:
    """Return when the newest row of steps began of whose attempts this share failed; the newest steps may be better."""
    began: dt.datetime | None = None
    for step in steps:
        if step.attempts.share >= share:
            began = step.starts_at
        elif began is not None:
            break
    return began


def attempts_since(moments: Mapping[str, dt.datetime]) -> dict[str, Attempts]:
    """Return the attempts of each type since a minute: whole hours, and the minutes before the first of these.

    After two days, when minutes are deleted, those before the first whole hour are no longer counted.
    """
    if not moments:
        return {}
    hours, minutes = Q(), Q()
    for name, since in moments.items():
        hour = start_of(Span.HOUR, since + HOUR - dt.timedelta(microseconds=1))
        hours |= Q(job_type=name, starts_at__gte=hour)
        minutes |= Q(job_type=name, starts_at__gte=since, starts_at__lt=hour)
    found = dict.fromkeys(moments, Attempts())
    for span, wanted in ((Span.HOUR, hours), (Span.MINUTE, minutes)):
        sums = _rows(span, min(moments.values())).filter(wanted).values("job_type")
        for row in sums.annotate(done=Sum("completed"), failures=Sum("failed")):
            before = found[row["job_type"]]
            failed = row["failures"]
            found[row["job_type"]] = Attempts(before.ended + row["done"] + failed, before.failed + failed)
    return found


def deaths_since(since: dt.datetime, after: Mapping[str, dt.datetime] | None = None) -> dict[str, int]:
    """Return how many jobs of each type became Dead Letters since, the most first, at most MAX_TYPES types.

    Of a type that ``after`` names, only those after that moment.
    """
    rows = _rows(Span.MINUTE, since)
    for name, moment in (after or {}).items():
        rows = rows.exclude(job_type=name, starts_at__lt=moment)
    sums = rows.values("job_type").annotate(deaths=Sum("died")).filter(deaths__gt=0)
    most = sums.order_by(F("deaths").desc(), "job_type")[:MAX_TYPES]
    return {row["job_type"]: row["deaths"] for row in most}


def _rows(span: Span, since: dt.datetime) -> Any:
    return activities(None, span, since).order_by()
