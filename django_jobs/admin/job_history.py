"""A job's Execution Log as a timeline, and its attempts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django_jobs.admin.durations import brief_duration
from django_jobs.admin.formatting import actor, badge, block, line, moment
from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import TERMINAL, Status

ROWS: Final = 50
MESSAGE: Final = 200
ALL_ROWS: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change of status. ``lasted`` is how long the new status held."""

    badge: Any
    moment: Any
    actor: Any
    message: Any
    attempt: int
    lasted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run by one worker. ``error`` and ``traceback`` are empty if it did not fail."""

    number: int
    worker: str
    started: Any
    ran: str
    badge: Any
    error: Any
    traceback: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The newest changes of a job in their order, and the attempts among them. ``is_cut`` if there were more."""

    steps: list[Step]
    attempts: list[Attempt]
    is_cut: bool


def read_history(job: Job, now: dt.datetime, *, whole: bool, tracebacks: bool) -> History:
    """Return the job's history, read in one statement.

    A traceback may quote secrets: without ``tracebacks`` none is read. With ``whole``, long texts are not cut.
    """
    limit = ALL_ROWS if whole else ROWS
    rows = ExecutionLog.primary.filter(job_id=job.pk).order_by("-pk")
    found = list((rows if tracebacks else rows.defer("traceback"))[: limit + 1])
    logs = list(reversed(found[:limit]))
    return History(
        steps=[_step(log, end, whole) for log, end in zip(logs, _ends(logs, now), strict=True)],
        attempts=_attempts(logs, now, whole=whole, tracebacks=tracebacks),
        is_cut=len(found) > limit,
    )


def _ends(logs: Sequence[ExecutionLog], now: dt.datetime) -> list[dt.datetime | None]:
    """Return when each status was left: at the next change, or now, or never if it is an end."""
    last = [None if log.to_status in TERMINAL else now for log in logs[-1:]]
    return [*(log.timestamp for log in logs[1:]), *last]


def _step(log: ExecutionLog, end: dt.datetime | None, whole: bool) -> Step:
    return Step(
        badge=badge(log.to_status),
        moment=moment(log.timestamp),
        actor=actor(log),
        message=_message(log, whole) if log.message else "",
        attempt=log.attempt,
        lasted="" if end is None else brief_duration((end - log.timestamp).total_seconds()),
    )


def _message(log: ExecutionLog, whole: bool) -> Any:
    """Return the message of a change. The errors of attempts stand in full beside those, so here they are cut."""
    is_told = log.from_status == Status.RUNNING
    return line(log.message, MESSAGE) if is_told or len(log.message) <= MESSAGE else block(log.message, whole=whole)


def _attempts(logs: Sequence[ExecutionLog], now: dt.datetime, *, whole: bool, tracebacks: bool) -> list[Attempt]:
    """Return the attempts, the newest first."""
    found = []
    started: ExecutionLog | None = None
    for log in logs:
        if log.to_status == Status.RUNNING:
            started = log
        elif log.from_status == Status.RUNNING:
            found.append(_attempt(started, log, log.timestamp, whole, tracebacks))
            started = None
    if started is not None:
        found.append(_attempt(started, started, now, whole, tracebacks))
    return found[::-1]


def _attempt(
    started: ExecutionLog | None, ended: ExecutionLog, until: dt.datetime, whole: bool, tracebacks: bool
) -> Attempt:
    is_good = ended is started or ended.to_status == Status.COMPLETED
    return Attempt(
        number=ended.attempt,
        worker=ended.worker_name or (started.worker_name if started else ""),
        started=moment(started.timestamp) if started else "",
        ran=brief_duration((until - started.timestamp).total_seconds()) if started else "",
        badge=badge(ended.to_status),
        error="" if is_good else block(ended.message, whole=whole),
        traceback=block(ended.traceback, whole=whole) if tracebacks and ended.traceback else "",
    )
