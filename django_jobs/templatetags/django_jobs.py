"""Live progress in hosts' templates: ``{% load django_jobs %}{% job_progress job %}``, ``{% batch_progress batch %}``.

What the server renders stands by itself; ``jobs.js``, which ``{% job_progress_script %}`` includes once a page, keeps
it up to date. Nothing is inline, so that a strict Content-Security-Policy may stay.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from django import template
from django.core.serializers.json import DjangoJSONEncoder
from django.middleware.csrf import get_token
from django.urls import NoReverseMatch, get_script_prefix, reverse
from django.utils import timezone

from django_jobs.engine.batches import get_batch_status
from django_jobs.engine.control.acts import Action, is_offered
from django_jobs.engine.insight.status import describe, get_job_status
from django_jobs.engine.scope import Scope
from django_jobs.engine.submission.targets import may_cancel_batch, may_manage_batch
from django_jobs.models import Batch, Job
from django_jobs.statuses import FINAL, BatchState, Status
from django_jobs.templatetags.words import (
    BATCH_PLURALS,
    BATCH_WORDS,
    PLURALS,
    WORDS,
    counts_in_words,
    failed_of,
    message_in_words,
    percent_in_words,
    spoken,
    state_in_words,
    status_in_words,
    words_for_script,
)
from django_jobs.values import BatchStatus, JobStatus

register = template.Library()

#: The fields of a job's status that ``jobs.js`` reads.
STATE: Final = (
    "job_id",
    "status",
    "attempt",
    "progress",
    "progress_message",
    "output_reference",
    "error_type",
    "waiting_for",
    "cancel_requested",
    "run_at",
    "next_retry_at",
    "queued_at",
    "started_at",
    "completed_at",
    "canceled_at",
)
#: Characters of an error that are sent with the page. It shows fewer of them.
MAX_ERROR: Final = 2_000


@register.inclusion_tag("django_jobs/job_progress.html", takes_context=True)
def job_progress(
    context: template.Context,
    job: Job | JobStatus | str,
    *,
    room: str = "",
    label: str = "",
    ws_url: str = "",
    waits_for: str = "",
    words: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """Render a ``<job-progress>`` element that shows a job and follows it. ``job`` is a Job, a JobStatus or a job id.

    ``room`` is where the element listens, by default the job's own room; many jobs of one organization share a
    subscription with ``org:<organization>``. ``label`` is what a screen reader says before the job's state, by default
    its id. ``ws_url`` is needed where the host mounts the websocket elsewhere. ``waits_for`` names the jobs that it
    depends on, in words for people; without it the element says that it waits for other jobs. ``words`` are what it
    says of states in the place of the usual words, by status or by ``ready``, ``stopping`` and ``expired``.

    An id that the request's user may not know of raises JobNotFound. A Job or JobStatus that is handed in is shown.
    """
    request = context.get("request")
    user = getattr(request, "user", None)
    status = _status(job, user)
    api_url = _address("job-list")
    now = timezone.now()
    rights = _rights(job, status, user) if api_url and user is not None else {}
    file = _file(status) if api_url else ""
    told = status_in_words(status, now, waits_for=waits_for, is_ready=bool(file), own=words)
    percent = percent_in_words(status.progress)
    return {
        "job": status,
        "label": label or status.job_id,
        "room": room,
        "waits_for": waits_for,
        "words": json.dumps({key: str(text) for key, text in words.items()}) if words else "",
        "state": json.dumps(_state(status, now), cls=DjangoJSONEncoder),
        "status": told,
        "percent": percent,
        "spoken": WORDS["spoken"].format(status=told, percent=percent),
        "message": message_in_words(status),
        "time": _time(status, now),
        "file": file,
        "output": WORDS["output"].format(file=file),
        "api_url": api_url,
        "ws_url": ws_url or _ws_url(request),
        "csrf_token": get_token(request) if request is not None else "",
        **rights,
    }


@register.inclusion_tag("django_jobs/batch_progress.html", takes_context=True)
def batch_progress(
    context: template.Context, batch: Batch | BatchStatus | str, *, label: str = "", ws_url: str = ""
) -> dict[str, Any]:
    """Render a ``<batch-progress>`` element that shows a batch and follows it.

    ``batch`` is a Batch, a BatchStatus or a batch id. ``label`` is what a screen reader says before the state, by
    default the batch's name or its id. ``ws_url`` is needed where the host mounts the websocket elsewhere.

    An id that the request's user may not know of raises BatchNotFound. A Batch or BatchStatus that is handed in is
    shown.
    """
    request = context.get("request")
    user = getattr(request, "user", None)
    status = _batch_status(batch, user)
    api_url = _address("batch-list")
    return {
        "batch": status,
        "label": label or status.name or status.batch_id,
        "state": json.dumps(status.as_dict(), cls=DjangoJSONEncoder),
        "status": state_in_words(status),
        "percent": percent_in_words(status.progress),
        "message": counts_in_words(status),
        "spoken": spoken(status),
        "is_amiss": failed_of(status) > 0,
        "api_url": api_url,
        "ws_url": ws_url or _ws_url(request),
        "csrf_token": get_token(request) if request is not None else "",
        **(_batch_rights(batch, status, user) if api_url and user is not None else {}),
    }


@register.inclusion_tag("django_jobs/job_progress_script.html")
def job_progress_script() -> Mapping[str, Any]:
    """Render the style sheet and the script of both elements, and their words in the page's language.

    A page needs them once.
    """
    return {
        "words": {
            "job": words_for_script(WORDS, PLURALS),
            "batch": words_for_script(BATCH_WORDS, BATCH_PLURALS),
        }
    }


def _status(job: Job | JobStatus | str, user: Any) -> JobStatus:
    if isinstance(job, JobStatus):
        return job
    return describe(job, user=user) if isinstance(job, Job) else get_job_status(job, user=user)


def _batch_status(batch: Batch | BatchStatus | str, user: Any) -> BatchStatus:
    if isinstance(batch, BatchStatus):
        return batch
    return get_batch_status(batch, user=None if isinstance(batch, Batch) else user)


def _batch_rights(batch: Batch | BatchStatus | str, status: BatchStatus, user: Any) -> dict[str, bool]:
    """What the user may do now, or once a job has failed. The policy is not asked where nothing can be done."""
    if status.state in {BatchState.COMPLETED, BatchState.CANCELED}:
        return {}
    row = batch if isinstance(batch, Batch) else Scope().batch(status.batch_id)
    return {"can_cancel": may_cancel_batch(user, row), "can_retry": may_manage_batch(user, row)}


def _address(name: str) -> str:
    """The address of a list in REST; empty where the host does not mount it, so that there is only the socket."""
    try:
        return reverse(f"django_jobs:{name}")
    except NoReverseMatch:
        return ""


def _ws_url(request: Any) -> str:
    host = "" if request is None else f"{'wss' if request.is_secure() else 'ws'}://{request.get_host()}"
    return f"{host}{get_script_prefix()}ws/jobs/"


def _state(status: JobStatus, now: dt.datetime) -> dict[str, Any]:
    """The job as it stands, and the time of the server's clock, from which the script counts seconds."""
    state = {name: getattr(status, name) for name in STATE}
    return {**state, "error_message": status.error_message[:MAX_ERROR], "rendered_at": now}


def _rights(job: Job | JobStatus | str, status: JobStatus, user: Any) -> dict[str, bool]:
    """What the user may do now, or once the job has failed. The policy is not asked where nothing can be done."""
    may_cancel, may_retry = is_offered(Action.CANCEL, status.status), status.status not in FINAL
    if not may_cancel and not may_retry:
        return {}
    scope, row = Scope(user), job if isinstance(job, Job) else Scope().job(status.job_id)
    return {
        "can_cancel": may_cancel and scope.may("can_cancel", row),
        "can_retry": may_retry and scope.may("can_retry", row),
    }


def _file(status: JobStatus) -> str:
    """The name of the file that the handler saved, if it did. Any other reference is mere text."""
    pattern = rf"django_jobs/[^/]+/{re.escape(status.job_id)}/[^/]+/([^/]+)"
    match = re.fullmatch(pattern, status.output_reference or "")
    return match[1] if match else ""


def _time(status: JobStatus, now: dt.datetime) -> str:
    """How long the job has run, or took: ``1:05``."""
    end = now if status.status == Status.RUNNING else status.completed_at or status.canceled_at
    if status.started_at is None or end is None:
        return ""
    seconds = int(max(end - status.started_at, dt.timedelta()).total_seconds())
    return f"{seconds // 60}:{seconds % 60:02}"
