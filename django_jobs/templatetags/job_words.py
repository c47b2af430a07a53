"""The state of a job in words for the people who wait for it. ``job_facts.js`` has the same words."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.utils import timezone
from django.utils.formats import date_format

from django_jobs.engine.dispatch.expirations import EXPIRED as DID_NOT_START
from django_jobs.statuses import AWAITING_RETRY, WITH_ERRORS, Status
from django_jobs.values import JobStatus

WORDS: Final[dict[str, str]] = {
    Status.PENDING: "Waiting for its turn",
    Status.QUEUED: "Waiting for its turn",
    Status.TIMED_OUT: "Took too long",
    Status.DEAD_LETTER: "Did not complete",
}
STOPPING: Final = "Being canceled"
EXPIRED: Final = "Canceled: it expired"
#: Said of a job that is not held, and waits for others.
AFTER_OTHERS: Final = {
    "dependency": "Waiting for other jobs",
    "concurrency": "Waiting for others of its kind",
}
#: Said while no job of its type or of its organization runs.
HELD: Final = {
    "organization_inactive": "On hold: the organization is suspended",
    "type_disabled": "On hold: jobs of this kind are switched off",
    "type_paused": "On hold: jobs of this kind are paused",
    "handler": "On hold: waiting for a worker that can run it",
    "breaker": "On hold: jobs of this kind fail at present",
}
AGAIN: Final = "{}, will be tried again"
#: Characters of an error or a message.
LONGEST: Final = 300


def status_in_words(status: JobStatus, now: dt.datetime) -> str:
    """Return what the job does, such as ``Failed, will be tried again at 14:05 UTC``."""
    plain = WORDS.get(status.status, status.status)
    reason = status.waiting_for or ""
    if status.status == Status.RUNNING:
        return STOPPING if status.cancel_requested else plain
    if status.status == Status.CANCELED and status.error_message == DID_NOT_START:
        return EXPIRED
    if status.status in AWAITING_RETRY:
        return f"{plain}. {HELD[reason]}" if reason in HELD else _again(plain, status.next_retry_at, now)
    if reason == "run_at" and status.run_at is not None:
        return f"Runs {_when(status.run_at, now)}"
    return HELD.get(reason) or AFTER_OTHERS.get(reason, plain)


def message_in_words(status: JobStatus) -> str:
    """Return the error of a job that failed, else what its handler said last; at most LONGEST characters of it."""
    text = (status.status in WITH_ERRORS and status.error_message) or status.progress_message
    return f"{text[:LONGEST]}…" if len(text) > LONGEST else text


def _again(plain: str, due: dt.datetime | None, now: dt.datetime) -> str:
    again = AGAIN.format(plain)
    return f"{again} {_when(due, now)}" if due is not None and due > now else again


def _when(moment: dt.datetime, now: dt.datetime) -> str:
    """The moment in the active time zone, with the zone's name. The script shows the reader's own zone instead."""
    local = timezone.localtime(moment)
    clock = f"{local:%H:%M} {local.tzname()}"
    today = timezone.localtime(now)
    if local.date() == today.date():
        return f"at {clock}"
    return f"on {date_format(local, 'j M' if local.year == today.year else 'j M Y')}, {clock}"
