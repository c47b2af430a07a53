"""Summing up in Python, for databases that do not it well themselves."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from django.db.models import Max, Q

from django_jobs.engine.store.aggregates import COUNTED_AS, Place, Tally, start_of
from django_jobs.engine.store.histograms import class_of
from django_jobs.models import ExecutionLog, Job, JobDependency, Span
from django_jobs.statuses import FAILED_FOR_GOOD, Status

CHUNK: Final = 2_000
_COUNTED: Final = Q(from_status="") | Q(to_status__in=sorted(COUNTED_AS))


class _Event(NamedTuple):
    job_pk: int
    from_status: str
    to_status: str
    timestamp: dt.datetime
    attempt: int
    organization_pk: Any


_FACTS: Final = ("job_type_id", "organization_name", "created_at", "run_at", "started_at", "completed_at")


class _Facts(NamedTuple):
    """What a job's row adds to its log."""

    job_type: str
    organization_name: str
    created_at: dt.datetime
    run_at: dt.datetime | None
    started_at: dt.datetime | None
    completed_at: dt.datetime | None


def tally(after: int, last: int) -> dict[Place, Tally]:
    """See :func:`django_jobs.engine.insight.aggregates.tally`."""
    events = _events(after, last)
    facts = _facts({event.job_pk for event in events})
    freed = _freed({event.job_pk for event in events if _is_first_start(event)})
    tallies: dict[Place, Tally] = defaultdict(Tally)
    for event in events:
        job = facts.get(event.job_pk)
        if job is None:
            continue
        minute = start_of(Span.MINUTE, event.timestamp)
        found = tallies[Place(int(Span.MINUTE), minute, job.job_type, event.organization_pk)]
        found.organization_name = job.organization_name
        _count(found, event, job, freed.get(event.job_pk))
    return tallies


def _count(found: Tally, event: _Event, job: _Facts, freed_at: dt.datetime | None) -> None:
    found.count(COUNTED_AS[event.to_status] if event.from_status else "submitted")
    # What dies on another way had its last attempt counted before, or never had one.
    if (event.from_status, event.to_status) == FAILED_FOR_GOOD:
        found.count("failed")
    if event.to_status == Status.COMPLETED and job.completed_at is not None:
        seconds = _seconds(job.started_at or job.completed_at, job.completed_at)
        found.ran(seconds, class_of(seconds))
    elif _is_first_start(event):
        # A job that asked to run later has another `run_at` by now, which is not what its first attempt waited for.
        due = [moment for moment in (job.created_at, job.run_at, freed_at) if moment and moment <= event.timestamp]
        seconds = _seconds(max(due, default=event.timestamp), event.timestamp)
        found.waited(seconds, class_of(seconds))


def _is_first_start(event: _Event) -> bool:
    return event.to_status == Status.RUNNING and event.attempt == 1


def _seconds(start: dt.datetime, end: dt.datetime) -> float:
    return max(0.0, (end - start).total_seconds())


def _events(after: int, last: int) -> list[_Event]:
    logs = ExecutionLog.primary.filter(_COUNTED, pk__gt=after, pk__lte=last).order_by("pk")
    rows = logs.values_list("job_id", "from_status", "to_status", "timestamp", "attempt", "organization_id")
    return [_Event(*row) for row in rows]


def _facts(pks: set[int]) -> dict[int, _Facts]:
    # Not joined to the log: for so many rows the database might rather read all jobs.
    rows = Job.primary.order_by()
    found: dict[int, _Facts] = {}
    for chunk in _chunks(sorted(pks)):
        for row in rows.filter(pk__in=chunk).values_list("pk", *_FACTS):
            found[row[0]] = _Facts(*row[1:])
    return found


def _freed(pks: set[int]) -> dict[int, dt.datetime]:
    """When the last parent of a child completed."""
    links = JobDependency.primary.order_by()
    found: dict[int, dt.datetime] = {}
    for chunk in _chunks(sorted(pks)):
        parents = links.filter(child_id__in=chunk).values_list("child_id")
        found.update(dict(parents.annotate(freed_at=Max("parent__completed_at"))))
    return found


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
