"""The addresses of the lists that show what the monitor counted."""

from __future__ import annotations

from django.urls import reverse
from django.utils.http import urlencode

from django_jobs.admin.job_filters import RETRYING
from django_jobs.admin.log_filters import FAILURES
from django_jobs.admin.monitor_range import Range
from django_jobs.statuses import Status


def running_url() -> str:
    return _list("job", {"status": str(Status.RUNNING)})


def retrying_url() -> str:
    return _list("job", {"status": RETRYING})


def jobs_of_type_url(job_type: str) -> str:
    return _list("job", {"type": job_type})


def dead_letters_url() -> str:
    return _list("deadletter", {})


def failures_url(chosen: Range, job_type: str = "") -> str:
    """The changes of status that the counts of failures in this time are sums of."""
    return _list("executionlog", {"became": FAILURES, "since": chosen.key} | ({"type": job_type} if job_type else {}))


def _list(model: str, query: dict[str, str]) -> str:
    address = reverse(f"admin:django_jobs_{model}_changelist")
    return f"{address}?{urlencode(query)}" if query else address
