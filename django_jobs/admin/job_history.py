"""A job's Execution Log as a timeline, and its attempts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django_jobs.admin.attempt_drawing import draw_strip, tick_labels
from django_jobs.admin.attempt_spans import MAX_ATTEMPTS, AttemptSpans, SpanKind, Waterfall, lay_out
from django_jobs.admin.durations import brief_duration
from django_jobs.admin.formatting import NOTHING, actor, badge, block, line, moment
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.open_pages import worker_jobs
from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import TERMINAL, Status

#: Changes of status that the timeline shows, and that are read for the newest attempts.
ROWS: Final = 30
READ: Final = 120
MESSAGE: Final = 200
ALL_ROWS: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusStep:
    """One change of status. ``lasted`` is how long the new status held."""

    badge: Any
    moment: Any
    actor: Any
    message: Any
    attempt: int
    lasted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One run by one worker, or the wait for it, with its bars.

    ``error`` and ``traceback`` are empty if it did not fail. ``number`` is 0 for one that has not started.
    """

    number: int
    worker: Any
    started: Any
    waited: str
    ran: str
    backed_off: str
    strip: Any
    badge: Any
    error: Any
    traceback: Any
    log: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class JobHistory:
    """The newest changes of a job in their order, and its newest attempts, the newest first.

    ``is_cut`` if there were more changes; ``hidden`` is how many earlier attempts are not here. ``ticks`` stand below
    the bars. ``traceback`` is that of the newest error, if the reader may see it. ``has_ended`` if no attempt follows.
    """

    steps: list[StatusStep]
    attempts: list[AttemptRow]
    is_cut: bool
    hidden: int
    ticks: list[str]
    traceback: str
    has_ended: bool


def read_history(
    job: Job, now: dt.datetime, links: Links, *, whole: bool, is_for_admins: bool, logs: Mapping[int, Any]
) -> JobHistory:
    """Return the job's history, read in one statement.

    A traceback may quote secrets: unless it ``is_for_admins`` none is read, and no name of a machine is shown. With
    ``whole``, long texts are not cut. ``logs`` is what is shown of the handlers' own log lines, by attempt.
    """
    shown = ALL_ROWS if whole else ROWS
    rows = ExecutionLog.primary.filter(job_id=job.pk).order_by("-pk")
    found = list((rows if is_for_admins else rows.defer("traceback"))[: max(shown + 1, READ)])
    changes = list(reversed(found))
    waterfall = lay_out(changes, now, job.attempt, ALL_ROWS if whole else MAX_ATTEMPTS)
    latest = changes[-shown:]
    return JobHistory(
        steps=[_step(log, end, whole) for log, end in zip(latest, _ends(latest, now), strict=True)],
        attempts=[
            _attempt(item, waterfall, links, whole, is_for_admins, logs.get(item.number or 0, ""))
            for item in reversed(waterfall.attempts)
        ],
        is_cut=len(found) > shown,
        hidden=waterfall.hidden,
        ticks=tick_labels(waterfall),
        traceback=next((log.traceback for log in found if log.traceback), "") if is_for_admins else "",
        has_ended=bool(changes) and changes[-1].to_status in TERMINAL,
    )


def _ends(logs: Sequence[ExecutionLog], now: dt.datetime) -> list[dt.datetime | None]:
    """Return when each status was left: at the next change, or now, or never if it is an end."""
    last = [None if log.to_status in TERMINAL else now for log in logs[-1:]]
    return [*(log.timestamp for log in logs[1:]), *last]


def _step(log: ExecutionLog, end: dt.datetime | None, whole: bool) -> StatusStep:
    return StatusStep(
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


def _attempt(
    item: AttemptSpans, waterfall: Waterfall, links: Links, whole: bool, is_for_admins: bool, log: Any
) -> AttemptRow:
    started: Any = item.started
    ended: Any = item.ended
    is_bad = ended is not None and ended.to_status != Status.COMPLETED
    latest = ended or started
    worker = latest.worker_name or started.worker_name if started else ""
    return AttemptRow(
        number=item.number or 0,
        worker=worker_jobs(links, worker, 40) if worker and is_for_admins else "",
        started=moment(started.timestamp) if started else "",
        waited=_lasted(item, SpanKind.WAITED),
        ran=_lasted(item, SpanKind.RAN),
        backed_off=_lasted(item, SpanKind.BACKED_OFF),
        strip=draw_strip(item, waterfall),
        badge=badge(latest.to_status) if latest else "",
        error=block(ended.message, whole=whole) if is_bad else "",
        traceback=block(ended.traceback, whole=whole) if is_bad and is_for_admins and ended.traceback else "",
        log=log,
    )


def _lasted(item: AttemptSpans, kind: SpanKind) -> str:
    seconds = item.seconds(kind)
    return NOTHING if seconds is None else brief_duration(seconds)
