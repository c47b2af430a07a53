"""Adding up what the Execution Log tells, row by row."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.db.models import F, Max, Q

from django_jobs.engine.store.aggregates import COUNTED_AS, Place, Tally, start_of
from django_jobs.engine.store.base.transactions import Transactions
from django_jobs.engine.store.histograms import class_of
from django_jobs.models import ExecutionLog, Job, JobDependency, Span
from django_jobs.statuses import FAILED_FOR_GOOD, Status

CHUNK: Final = 2_000
#: A row of the same status twice tells that something else was changed.
_COUNTED: Final = Q(from_status="") | (Q(to_status__in=sorted(COUNTED_AS)) & ~Q(from_status=F("to_status")))
_READ_OF_EVENTS: Final = ("job_id", "from_status", "to_status", "timestamp", "attempt", "organization_id")
_READ_OF_JOBS: Final = ("job_type_id", "organization_name", "created_at", "run_at", "started_at", "completed_at")


class Tallies(Transactions):
    """Sums of what happened."""

    def tally(self, after: int, last: int) -> dict[Place, Tally]:
        """Return the sums of the log rows with ids above ``after``, up to ``last``, by minute, type and organization.

        Rows of jobs that are deleted by now are passed over.
        """
        events = _events(after, last)
        jobs = _jobs({event.job_id for event in events})
        freed = _freed({event.job_id for event in events if _is_first_start(event)})
        tallies: dict[Place, Tally] = defaultdict(Tally)
        for event in events:
            job = jobs.get(event.job_id)
            if job is None:
                continue
            place = Place(
                span=int(Span.MINUTE),
                starts_at=start_of(Span.MINUTE, event.timestamp),
                job_type=job.job_type_id,
                organization=event.organization_id,
            )
            tallies[place].organization_name = job.organization_name
            _count(tallies[place], event, job, freed.get(event.job_id))
        return tallies


def _count(found: Tally, event: ExecutionLog, job: Job, freed_at: dt.datetime | None) -> None:
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


def _is_first_start(event: ExecutionLog) -> bool:
    return event.to_status == Status.RUNNING and event.attempt == 1


def _seconds(start: dt.datetime, end: dt.datetime) -> float:
    return max(0.0, (end - start).total_seconds())


def _events(after: int, last: int) -> list[Any]:
    logs = ExecutionLog.primary.filter(_COUNTED, pk__gt=after, pk__lte=last).order_by("pk")
    return list(logs.values_list(*_READ_OF_EVENTS, named=True))


def _jobs(pks: set[int]) -> dict[int, Any]:
    # Not joined to the log: for so many rows the database might rather read all jobs.
    rows = Job.primary.order_by()
    found = {}
    for chunk in _chunks(sorted(pks)):
        for job in rows.filter(pk__in=chunk).values_list("id", *_READ_OF_JOBS, named=True):
            found[job.id] = job
    return found


def _freed(pks: set[int]) -> dict[int, dt.datetime]:
    """Return by child when the last of its parents completed."""
    links = JobDependency.primary.order_by()
    found: dict[int, dt.datetime] = {}
    for chunk in _chunks(sorted(pks)):
        parents = links.filter(child_id__in=chunk).values_list("child_id")
        found.update(dict(parents.annotate(freed_at=Max("parent__completed_at"))))
    return found


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
