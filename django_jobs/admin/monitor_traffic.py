"""What happened lately, read from the activity rows, so that it costs the same however many jobs there are."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import F, Q, Sum
from django.utils.functional import Promise
from django.utils.translation import ngettext

from django_jobs.admin.charts import Chart
from django_jobs.admin.monitor_charts import Steps, chart_of_times, charts_of_counts
from django_jobs.admin.monitor_range import Range
from django_jobs.engine.insight.metrics import read_last_minutes
from django_jobs.engine.insight.rollups import activities
from django_jobs.engine.store import values

#: Histograms are read of so many rows, the newest first.
MAX_SAMPLES: Final = 3_000
MAX_TYPES: Final = 50
ENDS: Final = ("completed", "failed", "died", "canceled")


@dataclass(slots=True)
class Times:
    """Durations, added up."""

    seconds: float = 0.0
    histogram: dict[str, int] = field(default_factory=dict)

    def add(self, seconds: float, histogram: dict[str, int]) -> None:
        """Add the durations of one row: their sum in seconds, and their histogram."""
        self.seconds += seconds
        values.merge_histograms(self.histogram, histogram)

    @property
    def average(self) -> float | None:
        """Return the mean in seconds; None if there are no durations."""
        count = values.histogram_count(self.histogram)
        return self.seconds / count if count else None

    def percentile(self, share: float) -> float | None:
        """Return the duration in seconds below which this share of all lies; None if there are no durations."""
        return values.percentile(self.histogram, share)


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeTraffic:
    """A type's attempts in the range.

    ``failure_rate`` is the share of those that failed, ``earlier_rate`` the same in the range before, and ``rates`` the
    same for each step.
    """

    name: str
    ended: int
    failures: int
    failure_rate: float | None
    earlier_rate: float | None
    run: Times
    rates: list[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The numbers of a range. With ``is_sampled``, the times are those of the newest MAX_SAMPLES rows alone."""

    range: Range
    totals: dict[str, int]
    charts: list[Chart]
    run: Times
    wait: Times
    types: list[TypeTraffic]
    has_more_types: bool
    is_sampled: bool

    @property
    def failures(self) -> int:
        """Return how many attempts failed."""
        return self.totals["failed"]

    @property
    def failure_rate(self) -> float | None:
        """Return the share of the attempts that failed; None if none ended."""
        return rate_of(self.totals["completed"], self.failures)


def rate_of(completed: int, failures: int) -> float | None:
    """Return the share of failures among the attempts that ended; None if none did."""
    return failures / (completed + failures) if completed + failures else None


def read_traffic(organizations: Collection[Any] | None, chosen: Range, now: dt.datetime) -> Traffic:
    """Return the numbers of a range, read in three statements, or in five where it has fine steps."""
    since = chosen.begins(now)
    slow = chosen.slow or chosen
    samples = _read_samples(organizations, slow, slow.begins(now))
    by_type, has_more = _read_types(organizations, chosen, since)
    counts = _read_counts(organizations, chosen, now)
    times, moments = _Times(samples), slow.moments(now)
    return Traffic(
        range=chosen,
        totals={name: sum(step.get(name, 0) for step in counts.steps.values()) for name in (*ENDS, "submitted")},
        charts=[
            *charts_of_counts(counts.labels, counts.moments, counts.steps, counts.by, chosen.zone),
            chart_of_times(slow, moments, _slow(times.wait_by_step, moments), _slow(times.run_by_step, moments)),
        ],
        run=times.run,
        wait=times.wait,
        types=[_type_traffic(row, times, moments) for row in by_type],
        has_more_types=has_more,
        is_sampled=len(samples) > MAX_SAMPLES,
    )


@dataclass(frozen=True, slots=True)
class _Counts:
    """What came and ended, by the beginning of each step; ``by`` says how long a step is."""

    labels: Sequence[str]
    moments: Sequence[dt.datetime]
    steps: Steps
    by: str | Promise


def _read_counts(organizations: Collection[Any] | None, chosen: Range, now: dt.datetime) -> _Counts:
    """Return the counts by fine steps where the range has any and they can be read, and else by its own."""
    since, seconds = chosen.begins(now), chosen.fine_seconds
    fine = read_last_minutes(organizations, since, seconds) if seconds else None
    if fine is not None:
        by = ngettext("by the second", "by %(count)d seconds", seconds) % {"count": seconds}
        moments = chosen.fine_moments(now)
        return _Counts([chosen.fine_label_of(moment) for moment in moments], moments, fine, by)
    moments = chosen.moments(now)
    labels = [chosen.label_of(moment) for moment in moments]
    return _Counts(labels, moments, _read_steps(organizations, chosen, since), chosen.steps)


def _read_steps(
    organizations: Collection[Any] | None, chosen: Range, since: dt.datetime
) -> dict[dt.datetime, dict[str, int]]:
    sums = {f"sum_{name}": Sum(name) for name in (*ENDS, "submitted")}
    rows = activities(organizations, chosen.span, since).order_by().values("starts_at").annotate(**sums)
    return {row["starts_at"]: {name: row[f"sum_{name}"] for name in (*ENDS, "submitted")} for row in rows}


def _read_types(
    organizations: Collection[Any] | None, chosen: Range, since: dt.datetime
) -> tuple[list[dict[str, Any]], bool]:
    """Return the busiest types of this range and of the one before, and whether there are more."""
    rows = activities(organizations, chosen.span, since - chosen.length).order_by().values("job_type")
    is_now = Q(starts_at__gte=since)
    sums: dict[str, Any] = {}
    for name in ("completed", "failed"):
        sums |= {f"now_{name}": Sum(name, filter=is_now, default=0)}
        sums |= {f"then_{name}": Sum(name, filter=~is_now, default=0)}
    found = list(
        rows.annotate(**sums).order_by((F("now_completed") + F("now_failed")).desc(), "job_type")[: MAX_TYPES + 1]
    )
    return found[:MAX_TYPES], len(found) > MAX_TYPES


_SAMPLED: Final = (
    "starts_at",
    "job_type",
    "completed",
    "failed",
    "run_seconds",
    "run_histogram",
    "wait_seconds",
    "wait_histogram",
)


def _read_samples(organizations: Collection[Any] | None, chosen: Range, since: dt.datetime) -> list[tuple[Any, ...]]:
    rows = activities(organizations, chosen.span, since).order_by("-starts_at")
    return list(rows.values_list(*_SAMPLED)[: MAX_SAMPLES + 1])


class _Times:
    """The samples, added up in the ways that the page needs."""

    def __init__(self, samples: Sequence[tuple[Any, ...]]) -> None:
        self.run_by_type: dict[str, Times] = defaultdict(Times)
        self.run_by_step: dict[dt.datetime, Times] = defaultdict(Times)
        self.wait_by_step: dict[dt.datetime, Times] = defaultdict(Times)
        self.ends: dict[tuple[str, dt.datetime], tuple[int, int]] = {}
        for moment, kind, completed, failed, run_seconds, run, wait_seconds, wait in samples:
            earlier = self.ends.get((kind, moment), (0, 0))
            self.ends[kind, moment] = (earlier[0] + completed, earlier[1] + failed)
            self.run_by_type[kind].add(run_seconds, run)
            self.run_by_step[moment].add(run_seconds, run)
            self.wait_by_step[moment].add(wait_seconds, wait)
        self.run, self.wait = _total(self.run_by_step), _total(self.wait_by_step)


def _slow(parts: dict[dt.datetime, Times], moments: Sequence[dt.datetime]) -> list[float | None]:
    """Return the 95th percentile of each step."""
    return [parts[moment].percentile(0.95) if moment in parts else None for moment in moments]


def _total(parts: dict[dt.datetime, Times]) -> Times:
    total = Times()
    for part in parts.values():
        total.add(part.seconds, part.histogram)
    return total


def _type_traffic(row: dict[str, Any], times: _Times, moments: Sequence[dt.datetime]) -> TypeTraffic:
    name = row["job_type"]
    failures = row["now_failed"]
    return TypeTraffic(
        name=name,
        ended=row["now_completed"] + failures,
        failures=failures,
        failure_rate=rate_of(row["now_completed"], failures),
        earlier_rate=rate_of(row["then_completed"], row["then_failed"]),
        run=times.run_by_type[name],
        rates=[rate_of(*times.ends.get((name, moment), (0, 0))) for moment in moments],
    )
