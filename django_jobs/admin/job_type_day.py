"""What became of a type's jobs in the last 24 hours."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F

from django_jobs.admin.capped_counts import CappedCount
from django_jobs.admin.durations import brief_duration
from django_jobs.admin.formatting import NOTHING, badge
from django_jobs.admin.numbers import format_percent
from django_jobs.engine.insight.inspection import jobs, waiting
from django_jobs.engine.store import database
from django_jobs.engine.store.counting import capped_count
from django_jobs.models import JobType
from django_jobs.statuses import Status

#: The day is read from the jobs themselves: from so many of the newest of all types, and no further back.
RECENT: Final = 50_000
DAY: Final = dt.timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The counts of one day.

    With ``is_cut``, jobs of that time that are not among the newest ``looked_at`` are left out.
    """

    counts: list[tuple[Any, CappedCount]]
    total: CappedCount
    failure_rate: str
    average: str
    waiting: CappedCount
    is_cut: bool
    looked_at: int = RECENT


def read_day(kind: JobType) -> Day:
    """Return the last 24 hours of a type, read in a constant number of statements of bounded cost."""
    now = database.now()
    oldest = (jobs().order_by("-pk").values_list("pk", flat=True).first() or 0) - RECENT
    rows = jobs().filter(pk__gt=oldest, created_at__gte=now - DAY)
    ran = ExpressionWrapper(F("completed_at") - F("started_at"), output_field=DurationField())
    grouped = rows.filter(job_type=kind).values_list("status").annotate(count=Count("pk"), average=Avg(ran))
    found = {status: (count, average) for status, count, average in grouped}
    counts = {status: found[status][0] for status in Status.values if status in found}
    backlog, has_more = capped_count(waiting().filter(job_type=kind))
    left_out = jobs().filter(pk__lte=oldest).order_by("-pk").values_list("created_at", flat=True).first()
    is_cut = left_out is not None and left_out > now - DAY
    return Day(
        counts=[(badge(status), CappedCount(count=count, is_cut=is_cut)) for status, count in counts.items()],
        total=CappedCount(count=sum(counts.values()), is_cut=is_cut),
        failure_rate=_rate(counts),
        average=_average(found),
        waiting=CappedCount(count=backlog, is_cut=has_more),
        is_cut=is_cut,
    )


def _rate(counts: dict[str, int]) -> str:
    died, done = counts.get(Status.DEAD_LETTER, 0), counts.get(Status.COMPLETED, 0)
    return format_percent(died / (died + done)) if died + done else NOTHING


def _average(found: dict[str, tuple[int, Any]]) -> str:
    average = found.get(str(Status.COMPLETED), (0, None))[1]
    return brief_duration(average.total_seconds()) if average is not None else NOTHING
