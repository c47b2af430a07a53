"""What a job's page begins with when the job failed: the error, what happens next, and where to go from here."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from django_jobs.admin.durations import brief_duration
from django_jobs.admin.formatting import CUT, block
from django_jobs.admin.monitor_links import Links
from django_jobs.engine.execution.retry_policy import PERMANENT
from django_jobs.engine.insight.failures import RaisedError, raised_error
from django_jobs.models import Job
from django_jobs.statuses import AWAITING_RETRY, WITH_ERRORS, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """The error of a job for its page. ``place``, ``code`` and ``traceback`` are empty for who may not see them.

    ``is_earlier`` says that it is the error of an attempt before the present one.
    """

    title: str
    text: Any
    place: str
    code: str
    traceback: Any
    next_code: str
    next_words: str
    group_url: str
    is_earlier: bool


def read_error(job: Job, traceback: str, now: dt.datetime, links: Links, *, whole: bool) -> JobError | None:
    """Return the error of a job; None where it has none, or none that matters any more.

    ``traceback`` is that of the newest error, empty for who may not see it.
    """
    is_failed = job.status in WITH_ERRORS
    if job.status == Status.COMPLETED or not (is_failed or job.error_message):
        return None
    raised = raised_error(traceback)
    title, text = _told(job, raised)
    next_code, next_words = next_of(job, now) if is_failed else ("", "")
    return JobError(
        title=title,
        text=block(text, whole=whole) if text else "",
        place=raised.place,
        code=raised.source,
        traceback=block(traceback, whole=whole) if traceback else "",
        next_code=next_code,
        next_words=next_words,
        group_url=links.failure_group(job.job_type_id, job.error_fingerprint) if is_failed else "",
        is_earlier=not is_failed and job.status != Status.CANCELED,
    )


def _told(job: Job, raised: RaisedError) -> tuple[str, str]:
    """Return the error in a line, and the whole of it where that says more."""
    text = job.error_message or _("(without a text)")
    # Of an unexpected error its message is told only where the traceback may be read.
    error = raised.error if raised.error and job.status != Status.TIMED_OUT else text
    first, _line, rest = error.strip().partition("\n")
    parts = [first if len(first) > CUT or rest else "", rest, "" if text in error or error in text else text]
    return first[:CUT], "\n".join(part for part in parts if part)


def next_of(job: Job, now: dt.datetime) -> tuple[str, str]:
    """Return what becomes of a job whose last attempt failed, if nobody does anything: a code, and words."""
    if job.status in AWAITING_RETRY:
        values: dict[str, Any] = {"number": job.retry_count + 1, "total": job.max_retries + 1}
        seconds = (job.next_retry_at - now).total_seconds() if job.next_retry_at else 0.0
        if seconds <= 0:
            return "retry_due", _("It is due to be tried again, attempt %(number)d of %(total)d.") % values
        values["duration"] = brief_duration(seconds)
        return "retry", _("It will be tried again in %(duration)s, attempt %(number)d of %(total)d.") % values
    if job.is_orphaned:
        text = _("A job that it waited for did not complete. Once that one is retried, this one comes to life with it.")
        return "parent_failed", text
    if job.error_type == PERMANENT:
        return "permanent", _("The error is permanent: the job is not tried again by itself.")
    if not job.max_retries:
        return "no_retries", _("It is not tried again by itself: it has no retries.")
    return "retries_spent", _("It is not tried again by itself: no retries are left.")
