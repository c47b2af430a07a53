"""Live progress in a host's templates: ``{% load django_jobs %}{% job_progress job %}``.

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

from django_jobs.engine.access import get_policy
from django_jobs.engine.lookup import find_job
from django_jobs.engine.status import JobStatus, describe, get_job_status
from django_jobs.models import Job
from django_jobs.statuses import TERMINAL, Status

register = template.Library()

#: What ``jobs.js`` starts from.
STATE: Final = (
    "job_id",
    "status",
    "attempt",
    "progress",
    "progress_message",
    "error_message",
    "output_reference",
    "waiting_for",
    "cancel_requested",
    "started_at",
    "completed_at",
    "canceled_at",
)
#: Why a job waits, in the words that ``job_facts.js`` has too.
WAITING_FOR: Final = {
    "run_at": "Scheduled for later",
    "dependency": "Waits for another job",
    "retry": "Will be tried again",
    "organization_inactive": "The organization is suspended",
    "type_disabled": "Jobs of this type are switched off",
    "type_paused": "Jobs of this type are paused",
    "handler": "Waits for a worker that can run it",
    "limit": "Waits for its turn",
    "window": "Waits for its turn",
    "broker": "Waits for its turn",
}


@register.inclusion_tag("django_jobs/job_progress.html", takes_context=True)
def job_progress(
    context: template.Context, job: Job | JobStatus | str, *, room: str = "", label: str = "", ws_url: str = ""
) -> dict[str, Any]:
    """The job as it stands, as a ``<job-progress>``. ``job`` is a Job, a JobStatus, or a job id.

    A page with many jobs of one organization has them listen to one ``room``, ``org:<organization>``. ``label`` is read
    out before the job's state, by default its id. ``ws_url`` is for a host that mounts the websocket elsewhere.
    An id that the request's user may not know of raises JobNotFound; a row or status that is handed in is shown.
    """
    request = context.get("request")
    user = getattr(request, "user", None)
    status = _status(job, user)
    api_url = _api_url()
    return {
        "job": status,
        "label": label or status.job_id,
        "room": room,
        "state": json.dumps({name: getattr(status, name) for name in STATE}, cls=DjangoJSONEncoder),
        "message": status.error_message or status.progress_message or WAITING_FOR.get(status.waiting_for or "", ""),
        "time": _time(status),
        "file": _file(status),
        "api_url": api_url,
        "ws_url": ws_url or f"{_host(request)}{get_script_prefix()}ws/jobs/",
        "csrf_token": get_token(request) if request is not None else "",
        "can_cancel": bool(api_url) and request is not None and _can_cancel(job, status, user),
    }


@register.inclusion_tag("django_jobs/job_progress_script.html")
def job_progress_script() -> Mapping[str, Any]:
    """The style sheet and the script of ``<job-progress>``, once a page."""
    return {}


def _status(job: Job | JobStatus | str, user: Any) -> JobStatus:
    if isinstance(job, JobStatus):
        return job
    return describe(job, user=user) if isinstance(job, Job) else get_job_status(job, user=user)


def _api_url() -> str:
    """Where REST has the jobs; empty where the host does not mount it: then there is only the socket."""
    try:
        return reverse("django_jobs:job-list")
    except NoReverseMatch:
        return ""


def _host(request: Any) -> str:
    if request is None:
        return ""
    return f"{'wss' if request.is_secure() else 'ws'}://{request.get_host()}"


def _can_cancel(job: Job | JobStatus | str, status: JobStatus, user: Any) -> bool:
    """Asked only of jobs that have not ended: each question is some queries."""
    if status.status in TERMINAL or user is None:
        return False
    return get_policy().can_cancel(user, job if isinstance(job, Job) else find_job(status.job_id))


def _file(status: JobStatus) -> str:
    """The name of the file that the handler saved, if it did. Any other reference is mere text."""
    pattern = rf"django_jobs/[^/]+/{re.escape(status.job_id)}/[^/]+/([^/]+)"
    match = re.fullmatch(pattern, status.output_reference or "")
    return match[1] if match else ""


def _time(status: JobStatus) -> str:
    """How long the job has run, or took: ``1:05``."""
    end = timezone.now() if status.status == Status.RUNNING else status.completed_at or status.canceled_at
    if status.started_at is None or end is None:
        return ""
    seconds = int(max(end - status.started_at, dt.timedelta()).total_seconds())
    return f"{seconds // 60}:{seconds % 60:02}"
