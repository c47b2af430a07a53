"""The errors of a task's attempts, as the Execution Log of its job tells them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from django_jobs.engine.insight.failures import raised_error
from django_jobs.models import ExecutionLog
from django_jobs.statuses import AWAITING_RETRY, Status
from django_jobs.tasks.framework import TaskError

#: The exception that stands for an end without one, by the status: also of a handler that was killed, whose row has the
#: stacks of its threads in the place of a traceback.
_EXCEPTIONS: Final = {
    Status.CANCELED: "django_jobs.exceptions.JobCanceled",
    Status.TIMED_OUT: "django_jobs.exceptions.JobTimedOut",
}
#: The line of an exception group behind its own frames, before those of the exceptions in it.
_GROUP: Final = re.compile(r"^  \| ([\w.<>]+): ", re.MULTILINE)
FAILED: Final = "django_jobs.exceptions.JobFailed"
#: Our exceptions that stand for those which Django's own backends report.
_DJANGOS: Final = {"django_jobs.tasks.running.ResultIsNoJson": "builtins.TypeError"}


def errors_of(logs: Sequence[ExecutionLog]) -> list[TaskError]:
    """Return the errors in their order: of each attempt that failed, and of an end that no attempt explains."""
    return [_error(row) for row in logs if row.to_status != Status.RUNNING and not _repeats(row)]


def _repeats(row: ExecutionLog) -> bool:
    """Return whether a job only goes on to its end because its last attempt, which has a row of its own, failed."""
    return row.to_status == Status.DEAD_LETTER and row.from_status in AWAITING_RETRY


def _error(row: ExecutionLog) -> TaskError:
    without = _EXCEPTIONS.get(Status(row.to_status), FAILED)
    if not row.traceback or row.to_status == Status.CANCELED:
        return TaskError(exception_class_path=without, traceback=f"{row.message}\n")
    text = row.traceback if row.traceback.endswith("\n") else f"{row.traceback}\n"
    return TaskError(exception_class_path=class_path(text, without), traceback=text)


def class_path(traceback: str, without: str = FAILED) -> str:
    """Return the dotted path of the exception at the end of a traceback, where built-in ones have no module.

    Of a text that tells of no exception, ``without`` is returned.
    """
    name = raised_error(traceback).error_class
    if not name:  # no exception, or a group: one that another exception was raised from does not count
        group = _GROUP.search(traceback)
        if group is None:
            return without
        name = group[1]
    path = name if "." in name else f"builtins.{name}"
    return _DJANGOS.get(path, path)
