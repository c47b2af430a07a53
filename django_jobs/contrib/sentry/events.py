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
from sentry_sdk.utils import safe_repr

from django_jobs.engine import observers
from django_jobs.engine.claimed_job import Claimed, current_job
from django_jobs.engine.observers import Ending, Submission
from django_jobs.models.job import parse_job_id

LOGGER: Final = "django_jobs"
#: The loggers of the task interface, Django's own and that of the package django-tasks.
TASK_LOGGERS: Final = ("django.tasks", "django_tasks")
TAGS: Final = ("job_id", "job_type", "organization", "attempt")
#: The attribute of an exception that masks the sensitive values of its job.
_MASK: Final = "_django_jobs_mask"

#: Where an event has what code gave: arguments of log records, their extras, local variables and the like.
DATA: Final = frozenset({"params", "extra", "vars", "data", "contexts"})

#: Levels of data. Sentry shows what lies deeper by its text.
DEEPEST: Final = 6

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
        mask = claimed.mask
        if mask is not str:
            scope.add_event_processor(lambda event, _hint: _masked(event, mask))
            _mask_logs(get_client().options)
        Scope.set_isolation_scope(scope)
        Scope.set_current_scope(Scope.get_current_scope().fork())

        def end(ending: Ending) -> None:
            if mask is not str and ending.error is not None:
                with contextlib.suppress(Exception):  # an exception that takes no attribute
                    setattr(ending.error, _MASK, mask)

        return end

    def drain(self, timeout: float) -> None:
        """Send what waits."""
        sentry_sdk.flush(timeout=timeout)


def install() -> None:
    """Have Sentry's events tell which job they are about. Repeating it changes nothing that is told."""
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


def _masked(value: Any, mask: Mask, depth: int = 0) -> Any:
    """Return a value with all its texts masked: those of messages, and of the local variables of frames.

    Data that code gave is masked also where it is a number, or an object that Sentry would show by its text. ``depth``
    counts levels of data; outside of it it is 0.
    """
    if isinstance(value, str):
        return mask(value)
    below = depth + 1 if depth else 0
    if isinstance(value, dict) and depth <= DEEPEST:
        return {
            mask(key) if depth and isinstance(key, str) else key: _masked(inner, mask, below or int(key in DATA))
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple) and depth <= DEEPEST:
        return [_masked(inner, mask, below) for inner in value]
    if not depth or value is None or isinstance(value, bool):
        return value
    text = value.decode(errors="replace") if isinstance(value, bytes | bytearray) else safe_repr(value)
    shown = mask(text)
    return value if shown == text else shown


def _mask_logs(options: dict[str, Any]) -> None:
    """Have what a job writes to Sentry's logs masked before the host's ``before_send_log`` sees it."""
    sees = options.get("before_send_log")
    if isinstance(sees, _LogMask):
        return
    options["before_send_log"] = _LogMask(sees or options.get("_experiments", {}).get("before_send_log"))


class _LogMask:
    """Masks a log of the job that runs here, and hands it on to the host's function, where there is one."""

    def __init__(self, then: Callable[[Any, Any], Any] | None) -> None:
        self._then = then

    def __call__(self, log: Any, hint: Any) -> Any:
        claimed = current_job.get()
        if claimed is not None and claimed.mask is not str:
            told = {name: log.get(name) for name in ("body", "attributes")}
            log = {**log, **_masked(told, claimed.mask, depth=1)}
        return log if self._then is None else self._then(log, hint)


SCOPES: Final = Scopes()
