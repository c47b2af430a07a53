"""What became of the jobs that operations acted on: counted by status, while they go on and after that.

Each job has the mark of the operation that acted on it last. Who retries it by hand afterwards takes the mark away, and
so does a later operation: then the outcome of the earlier one says "at least". Once all its jobs have ended, the counts
stand, however long the jobs themselves are kept.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import Any, Final, NamedTuple

from django.db.models import Count, F, Q

from django_jobs.engine.control.operation_actions import Action
from django_jobs.engine.store import database
from django_jobs.models import Job, Operation
from django_jobs.models.job import format_job_id
from django_jobs.statuses import TERMINAL, UNSUCCESSFUL, WITH_ERRORS, Status

State: Final = Operation.State
#: Actions after which nothing becomes of the jobs that would be told.
UNCOUNTED: Final = frozenset({Action.DELETE, Action.SET_PRIORITY})
#: Seconds between two counts of an operation that goes on, of one that has ended, and of one that ended an hour ago
#: or is paused and did nothing for an hour.
OPEN_PAUSE: Final = 2
ENDED_PAUSE: Final = 5
OLD_PAUSE: Final = 60
OLD: Final = dt.timedelta(hours=1)
#: After a count, the operation is not counted for so many times the time that it took.
REST_FACTOR: Final = 20.0
#: Seconds for which a count tells whether too many fail.
FRESH_SECONDS: Final = 1.0
#: Operations that are counted in one round.
AT_ONCE: Final = 5
#: A share of failures is judged when so many jobs have come to an end.
LEAST_JUDGED: Final = 10
#: Where a share is watched, so many jobs are under way at most, and as many more as have completed.
UNDER_WAY: Final = 50


class _Reading(NamedTuple):
    """An outcome, when it was read, and how many jobs the operation had changed before."""

    outcome: dict[str, int]
    at: float
    changed: int


class OutcomeCounts:
    """Counts outcomes for one scheduler, which remembers what it read a moment ago, and which counts take long."""

    def __init__(self) -> None:
        self._rests_until: dict[int, float] = {}
        self._readings: dict[int, _Reading] = {}

    def count_due(self) -> int:
        """Count the outcomes that were not counted for a while, and return how many it was."""
        self._forget()
        found = Operation.primary.filter(is_settled=False).filter(_is_due(database.now()))
        found = found.exclude(pk__in=list(self._rests_until)).order_by("counted_at", "pk")
        operations = list(found[:AT_ONCE])
        for operation in operations:
            started = time.monotonic()
            try:
                count(operation)
            finally:  # also one whose count fails must not keep the others uncounted
                now = time.monotonic()
                self._rests_until[operation.pk] = now + REST_FACTOR * (now - started)
        return len(operations)

    def allowed(self, operation: Operation) -> int:
        """Return how many more jobs may be taken up now, as far as failures are watched; pause or stop it if they say
        so.

        A large number where nothing is watched.
        """
        if operation.tries_one_first and not operation.is_tried:
            return _allowed_by_first(operation)
        if operation.stop_above is None:
            return operation.last_id + 1
        reading = self._read(operation)
        since = operation.changed - reading.changed
        return _allowed_by_outcome(operation, operation.stop_above, reading.outcome, since)

    def _read(self, operation: Operation) -> _Reading:
        found = self._readings.get(operation.pk)
        if found is None or time.monotonic() - found.at >= FRESH_SECONDS:
            outcome = read(operation.pk)
            found = self._readings[operation.pk] = _Reading(outcome, time.monotonic(), operation.changed)
        return found

    def _forget(self) -> None:
        now = time.monotonic()
        self._rests_until = {pk: until for pk, until in self._rests_until.items() if until > now}
        self._readings = {pk: item for pk, item in self._readings.items() if now - item.at < FRESH_SECONDS}


def _is_due(now: dt.datetime) -> Q:
    def older(seconds: int) -> Q:
        return Q(counted_at__isnull=True) | Q(counted_at__lt=now - dt.timedelta(seconds=seconds))

    ended = Q(ended_at__isnull=False)
    recent = Q(ended_at__gte=now - OLD)
    just_ended = Q(counted_at__lt=F("ended_at"))
    idle = Q(state=State.PAUSED, released_until__lt=now - OLD)
    return (~ended & ~idle & older(OPEN_PAUSE)) | (recent & (just_ended | older(ENDED_PAUSE))) | older(OLD_PAUSE)


def count(operation: Operation) -> None:
    """Count what became of the operation's jobs, and note it. A paused or running operation does not settle."""
    outcome = {} if operation.action in UNCOUNTED else read(operation.pk)
    now = database.now()
    unfinished = sum(count for status, count in outcome.items() if status not in TERMINAL)
    is_settled = operation.ended_at is not None and not unfinished
    operation.outcome, operation.counted_at, operation.is_settled = outcome, now, is_settled
    Operation.primary.filter(pk=operation.pk).update(outcome=outcome, counted_at=now, is_settled=is_settled)


def read(pk: int) -> dict[str, int]:
    """Return how many of the operation's jobs are in each status now."""
    rows = Job.primary.filter(operation_id=pk).order_by().values("status").annotate(count=Count("pk"))
    return {row["status"]: row["count"] for row in rows}


def _allowed_by_outcome(operation: Operation, share: float, outcome: dict[str, int], since: int) -> int:
    """Return how many more may be taken up, where ``since`` were after the count; stop it if a larger share failed."""
    completed = outcome.get(Status.COMPLETED, 0)
    failed = sum(outcome.get(status, 0) for status in WITH_ERRORS)
    judged = completed + failed
    if judged >= LEAST_JUDGED and failed / judged > share:
        values: dict[str, Any] = {"reason": Operation.Reason.TOO_MANY_FAILED, "note": f"{failed} / {judged}"}
        rows = Operation.primary.filter(pk=operation.pk, state=State.RUNNING)
        rows.update(state=State.STOPPED, ended_at=database.now(), **values)
        return 0
    under_way = sum(outcome.values()) + since - judged - outcome.get(Status.CANCELED, 0)
    return max(0, UNDER_WAY + completed - under_way)


def _allowed_by_first(operation: Operation) -> int:
    """Return 1 while none was tried, and none until that has completed; pause the operation if it does not."""
    if operation.first_job_id is None:
        return 1
    job = Job.primary.filter(pk=operation.first_job_id).only("status", "created_at", "error_message").first()
    rows = Operation.primary.filter(pk=operation.pk, state=State.RUNNING)
    if job is not None and job.status == Status.COMPLETED:
        rows.update(is_tried=True, released_until=database.now())
        operation.is_tried = True
        return 0  # the next turn reads it anew
    if job is None or job.status in UNSUCCESSFUL | WITH_ERRORS:
        name = "" if job is None else format_job_id(job.pk, job.created_at.year)
        note = name if job is None else f"{name}: {job.status}. {job.error_message}"
        rows.update(state=State.PAUSED, reason=Operation.Reason.FIRST_FAILED, note=note[:255])
    return 0
