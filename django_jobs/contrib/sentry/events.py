"""What Sentry is told of jobs.

Sentry makes an event of each log record at ERROR, and a job that fails for good is one: it carries the exception, by
which Sentry groups. A failure that is retried is a WARNING, which is no event. So nothing is captured here. What is
added: tags, a scope of its own for each attempt, and masks for sensitive values. What is left out: the record at ERROR
that Django itself logs of a task that failed or was canceled, since the job's own record tells of a failure.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import sentry_sdk
from sentry_sdk import get_client  # which releases before 2.0 lack, so that they are refused here
from sentry_sdk.scope import Scope, add_global_event_processor

from django_jobs.engine import observers
from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.job_types.masking import mask_of, sensitive_names
from django_jobs.engine.observers import Ending, Submission
from django_jobs.models.job import parse_job_id

LOGGER: Final = "django_jobs"
#: The loggers of the task interface, Django's own and that of the package django-tasks.
TASK_LOGGERS: Final = ("django.tasks", "django_tasks")
TAGS: Final = ("job_id", "job_type", "organization", "attempt")
#: The attribute of an exception that masks the sensitive values of its job.
_MASK: Final = "_django_jobs_mask"

Mask = Callable[[str], str]


class Scopes:
    """The observer that gives each attempt a scope: what its handler tells Sentry has the job's tags, and no crumbs of
    the jobs that ran before it in the same process.
    """

    carries = False

    def submitting(self, submission: Submission) -> None:
        """Do nothing."""

    def carried(self) -> Mapping[str, str]:
        """Return nothing."""
        return {}

    def begin(self, claimed: Claimed) -> Callable[[Ending], None] | None:
        """Begin a scope, in a context that ends with the handler."""
        if not get_client().is_active():
            return None
        scope = Scope.get_isolation_scope().fork()
        scope.clear_breadcrumbs()
        for name in TAGS:
            scope.set_tag(name, str(getattr(claimed, name)))
        mask = mask_of(claimed.parameters) if sensitive_names() else None
        if mask is not None:
            scope.add_event_processor(lambda event, _hint: _masked(event, mask))
        Scope.set_isolation_scope(scope)
        Scope.set_current_scope(Scope.get_current_scope().fork())

        def end(ending: Ending) -> None:
            if mask is not None and ending.error is not None:
                with contextlib.suppress(Exception):  # an exception that takes no attribute
                    setattr(ending.error, _MASK, mask)

        return end

    def drain(self, timeout: float) -> None:
        """Send what waits."""
        sentry_sdk.flush(timeout=timeout)


def install() -> None:
    """Have Sentry's events tell which job they are about. Repeating it changes nothing."""
    if SCOPES not in observers.all_of_them():
        observers.add(SCOPES)
        add_global_event_processor(_with_job)


def _with_job(event: Any, hint: dict[str, Any]) -> Any:
    """Return the event with the tags of the job whose log record it is made of, and sensitive values masked.

    Return None for what Django logs of a job's task.
    """
    record = hint.get("log_record")
    if record is not None and _is_of_task(record):
        return None
    if record is not None and record.name == LOGGER and hasattr(record, "job_id"):
        told = {name: str(getattr(record, name)) for name in TAGS if hasattr(record, name)}
        event["tags"] = {**dict(event.get("tags") or {}), **told}
        _keep_own_crumbs(event, record.job_id)
    _type, error, _traceback = hint.get("exc_info") or (None, None, None)
    mask = getattr(error, _MASK, None)
    return event if mask is None else _masked(event, mask)


def _is_of_task(record: logging.LogRecord) -> bool:
    """Return whether Django tells by this record of a task that is a job: its first argument is the task's id."""
    if record.name not in TASK_LOGGERS or not isinstance(record.args, tuple):
        return False
    return parse_job_id(next(iter(record.args), None)) is not None


def _keep_own_crumbs(event: Any, job_id: str) -> None:
    """Leave out what was logged of other jobs in this process: those of other tenants do not belong here."""
    crumbs = event.get("breadcrumbs")
    values = crumbs.get("values") if isinstance(crumbs, dict) else None
    if isinstance(values, list):
        crumbs["values"] = [item for item in values if (item.get("data") or {}).get("job_id") == job_id]


def _masked(value: Any, mask: Mask) -> Any:
    """Return a value with all its texts masked: those of messages, and of the local variables of frames."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {key: _masked(inner, mask) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(inner, mask) for inner in value]
    return value


SCOPES: Final = Scopes()
