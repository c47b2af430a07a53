"""How the jobs ran that ended within the last hour: their times, how many failed, how many a minute."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.db.models import Q, QuerySet

from django_jobs.engine.insight.activity import activities
from django_jobs.engine.store import histograms
from django_jobs.engine.store.aggregates import Tally, start_of
from django_jobs.models import Job, Span
from django_jobs.statuses import WITH_COMPLETED_AT, Status

RECENTLY: Final = dt.timedelta(hours=1)
_PERCENTILE: Final = 0.95


@dataclasses.dataclass(frozen=True, slots=True)
class Recent:
    """Average and 95th percentile in seconds, of all and by job type; shares from 0 to 1; completed jobs a minute."""

    times: dict[str, float | None]
    times_by_type: dict[str, dict[str, float | None]]
    failure_rates: dict[str, float]
    per_minute: float


class _Run(NamedTuple):
    """A job that completed or died."""

    job_type: str
    status: str
    started_at: Any
    completed_at: Any

    @property
    def seconds(self) -> float:
        return float((self.completed_at - (self.started_at or self.completed_at)).total_seconds())


def read(scope: QuerySet[Job], now: dt.datetime) -> Recent:
    """From the jobs themselves."""
    rows = scope.filter(status__in=sorted(WITH_COMPLETED_AT), completed_at__gte=now - RECENTLY)
    runs = [_Run(*row) for row in rows.values_list("job_type_id", "status", "started_at", "completed_at")]
    by_type: dict[str, list[float]] = defaultdict(list)
    died: Counter[str] = Counter()
    for run in runs:
        if run.status == Status.COMPLETED:
            by_type[run.job_type].append(run.seconds)
        else:
            died[run.job_type] += 1
    completed = {job_type: len(seconds) for job_type, seconds in by_type.items()}
    return Recent(
        times=_times([item for seconds in by_type.values() for item in seconds]),
        times_by_type={job_type: _times(by_type[job_type]) for job_type in sorted(by_type)},
        failure_rates=_failure_rates(completed, died),
        per_minute=sum(completed.values()) / (RECENTLY.total_seconds() / 60),
    )


def _times(seconds: Sequence[float]) -> dict[str, float | None]:
    """Average and 95th percentile (nearest rank); None where nothing ran."""
    ordered = sorted(seconds)
    if not ordered:
        return {"average_seconds": None, "p95_seconds": None}
    rank = math.ceil(_PERCENTILE * len(ordered))
    return {"average_seconds": round(sum(ordered) / len(ordered), 6), "p95_seconds": round(ordered[rank - 1], 6)}


def _failure_rates(completed: Mapping[str, int], died: Mapping[str, int]) -> dict[str, float]:
    types = sorted(completed.keys() | died.keys())
    return {kind: died.get(kind, 0) / (died.get(kind, 0) + completed.get(kind, 0)) for kind in types}


def recall(organizations: list[Any] | None, now: dt.datetime) -> Recent:
    """From the roll-ups of whole minutes, the last of which is not over."""
    since = start_of(Span.MINUTE, now - RECENTLY)
    sums: dict[str, Tally] = defaultdict(Tally)
    ended = activities(organizations, Span.MINUTE, since).filter(Q(completed__gt=0) | Q(died__gt=0))
    for item in map(_Ended._make, ended.values_list(*_Ended._fields)):
        sums[item.job_type].add_runs(item)
    total = Tally()
    for tally in sums.values():
        total.add_runs(tally)
    completed = {job_type: tally.completed for job_type, tally in sums.items() if tally.completed}
    return Recent(
        times=_times_of(total),
        times_by_type={job_type: _times_of(sums[job_type]) for job_type in sorted(completed)},
        failure_rates=_failure_rates(completed, {kind: tally.died for kind, tally in sums.items() if tally.died}),
        per_minute=total.completed / ((now - since).total_seconds() / 60),
    )


class _Ended(NamedTuple):
    """What a roll-up tells of the ends of jobs."""

    job_type: str
    completed: int
    died: int
    run_seconds: float
    run_histogram: dict[str, int]


def _times_of(tally: Tally) -> dict[str, float | None]:
    if not tally.completed:
        return _times([])
    p95 = histograms.percentile(tally.run_histogram, _PERCENTILE)
    return {"average_seconds": round(tally.run_seconds / tally.completed, 6), "p95_seconds": p95}
