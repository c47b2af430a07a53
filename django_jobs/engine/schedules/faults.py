"""Why a schedule cannot fire: what stands on its row, and in the log, from the first firing that fails on."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Final

from django_jobs.engine.access import cause_of
from django_jobs.engine.execution.retry_policy import is_expected, readable
from django_jobs.engine.insight.events import on_one_line
from django_jobs.engine.json_storage import clean_text
from django_jobs.engine.store import database
from django_jobs.exceptions import JobsError, PolicyFailed
from django_jobs.models import Schedule
from django_jobs.texts import code_of, say

logger = logging.getLogger("django_jobs")

#: Characters of a note.
MAX_NOTE: Final = 2_000


def is_refusal(error: Exception) -> bool:
    """Return whether an error is the schedule's own: not one of the database, which may be over in a moment."""
    return isinstance(error, JobsError | PolicyFailed) or not (
        database.is_lost_connection(error) or database.is_lost_race(error) or database.was_too_slow(error)
    )


def told(error: Exception) -> str:
    """Return what people read of an error: of one that was not made for them its class alone, as of a job's error."""
    text = clean_text(error if isinstance(error, JobsError) else readable(cause_of(error)), MAX_NOTE)
    if isinstance(error, PolicyFailed):
        return say("The access policy failed: %(error)s", code="policy_failed", error=text)
    return say(text, code=error.code if isinstance(error, JobsError) else "error")


def mark(schedule: Schedule, reason: str, now: dt.datetime, error: Exception | None = None) -> None:
    """Note the reason on the schedule. When that begins, the log has it, of the host's errors with the traceback."""
    if not schedule.fault:
        name, cause = str(schedule), None if error is None or is_expected(error) else cause_of(error)
        database.on_commit(
            lambda: logger.warning(
                "event=schedule_cannot_fire schedule=%s reason=%s",
                on_one_line(name),
                on_one_line(reason),
                exc_info=cause,
                extra={"code": code_of(reason, "")},
            )
        )
        schedule.faulty_since = now
    schedule.fault = reason


def clear(schedule: Schedule) -> None:
    """Forget the reason: the schedule fires again, which the log has once."""
    if schedule.fault:
        name = str(schedule)
        database.on_commit(lambda: logger.info("event=schedule_fires_again schedule=%s", on_one_line(name)))
    schedule.fault, schedule.faulty_since = "", None
