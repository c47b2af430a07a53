"""A job as the result of a task."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import re
from collections.abc import Sequence
from typing import Any, Final

from django_jobs.engine.insight.failures import raised_error
from django_jobs.engine.job_types.handlers import TASK_PREFIX
from django_jobs.engine.store.values import Moved
from django_jobs.engine.submission.values import TASK_NOTES
from django_jobs.models import ExecutionLog, Job
from django_jobs.models.job import parse_job_id
from django_jobs.statuses import AWAITING_RETRY, UNSUCCESSFUL, Status
from django_jobs.tasks.framework import (
    InvalidTask,
    Task,
    TaskError,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_backends,
    task_finished,
    task_started,
)
from django_jobs.texts import say

# The task that a job type's handler names.


def find(handler_method: str) -> Task[..., Any]:
    """Return the task that ``task:<path>``, or its path alone, names. Raises InvalidTask where there is none."""
    path = handler_method.removeprefix(TASK_PREFIX)
    if ":" in path:  # else another path would be followed than the one that was judged
        raise InvalidTask(say("%(path)r is not a dotted path of a task.", code="not_a_path", path=path))
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:
        text = say(
            "The task %(path)s cannot be loaded (%(kind)s: %(error)s).",
            code="not_loadable",
            path=path,
            kind=type(error).__name__,
            error=str(error),
        )
        raise InvalidTask(text) from error
    if not isinstance(found, Task):
        raise InvalidTask(say("%(path)s is no task: decorate the function with @task.", code="no_task", path=path))
    return found


# The errors of a task's attempts, as the Execution Log of its job tells them.


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


# What Django's interface tells of a task, read from its job.


#: Where a job's parameters have the task's arguments.
ARGS: Final = "args"
KWARGS: Final = "kwargs"
BACKEND, PRIORITY, QUEUE = TASK_NOTES
#: Where a job's result has what the function returned.
RETURN_VALUE: Final = "return_value"

_STATUSES: Final = {
    Status.RUNNING: TaskResultStatus.RUNNING,
    Status.COMPLETED: TaskResultStatus.SUCCESSFUL,
    Status.CANCELED: TaskResultStatus.FAILED,
    Status.DEAD_LETTER: TaskResultStatus.FAILED,
}
#: What the Execution Log is asked for: the beginning of attempts, and errors.
_TOLD: Final = [Status.RUNNING, *sorted(UNSUCCESSFUL | AWAITING_RETRY)]


def notes(task: Task[..., Any], alias: str) -> dict[str, Any]:
    """Return what a job's metadata keep of its task, beside what the function's module tells."""
    found: dict[str, Any] = {BACKEND: alias}
    if task.priority:
        found[PRIORITY] = task.priority
    if task.queue_name != "default":
        found[QUEUE] = task.queue_name
    return found


def read(result_id: str, alias: str | None = None) -> TaskResult[..., Any]:
    """Return the result of this id; with an alias only of that backend.

    Raises TaskResultDoesNotExist for what is no task's job, or another backend's.
    """
    parsed = parse_job_id(result_id)
    found = None if parsed is None else by_key([parsed[0]]).get(parsed[0])
    if found is None or found[0].name != result_id or alias not in {None, backend_of(found[0])}:
        raise TaskResultDoesNotExist(result_id)
    return result_of(*found)


def by_key(pks: Sequence[int]) -> dict[int, tuple[Job, list[ExecutionLog]]]:
    """Return the jobs of tasks among these, by primary key, with the rows of their Execution Logs, in two statements.

    These rows tell of attempts and errors, in order.
    """
    rows = Job.primary.filter(pk__in=pks).select_related("job_type").order_by()
    found: dict[int, tuple[Job, list[ExecutionLog]]] = {job.pk: (job, []) for job in rows if _is_of_task(job)}
    asked = [pk for pk, (job, _) in found.items() if job.attempt or job.status in UNSUCCESSFUL]
    told = ExecutionLog.primary.filter(job_id__in=asked, to_status__in=_TOLD).order_by("pk") if asked else []
    for row in told:
        found[row.job_id][1].append(row)
    return found


def _is_of_task(job: Job) -> bool:
    """Return whether the job is a task's: of the task's own type, or of one that an administrator made of the task."""
    return job.job_type_id.startswith(TASK_PREFIX) or job.job_type.handler_method.startswith(TASK_PREFIX)


def backend_of(job: Job) -> str:
    """Return the alias of the backend that the job was enqueued by; of one from elsewhere, as a schedule, the task's.

    Raises InvalidTask where only the task could tell, and this process cannot find it.
    """
    return str(job.metadata.get(BACKEND) or find(job.job_type.handler_method).backend)


def result_of(job: Job, logs: Sequence[ExecutionLog], task: Task[..., Any] | None = None) -> TaskResult[..., Any]:
    """Return what a job and its log tell of a task, which is the one that the job names where none is given.

    Raises InvalidTask where this process cannot find that.
    """
    starts = [row for row in logs if row.to_status == Status.RUNNING]
    result = TaskResult(
        task=task or task_of(job),
        id=job.name,
        status=_STATUSES.get(Status(job.status), TaskResultStatus.READY),
        enqueued_at=job.created_at,
        started_at=starts[0].timestamp if starts else None,
        last_attempted_at=starts[-1].timestamp if starts else None,
        finished_at=job.completed_at or job.canceled_at,
        args=job.input_parameters.get(ARGS, []),
        kwargs=job.input_parameters.get(KWARGS, {}),
        backend=backend_of(job),
        errors=errors_of(logs),
        worker_ids=[row.worker_name for row in starts],
    )
    if job.status == Status.COMPLETED:
        object.__setattr__(result, "_return_value", (job.result or {}).get(RETURN_VALUE))
    return result


def task_of(job: Job) -> Task[..., Any]:
    """Return the task as it was enqueued. Raises InvalidTask where this process cannot find it.

    Where its backend has another alias by now, it is of the backend that the task has now.
    """
    task = find(job.job_type.handler_method)
    alias = job.metadata.get(BACKEND)
    said = {
        "backend": alias if alias in list(task_backends) else task.backend,
        "priority": job.metadata.get(PRIORITY, 0),
        "queue_name": job.metadata.get(QUEUE, "default"),
        "run_after": job.run_at,
    }
    changes = {name: value for name, value in said.items() if getattr(task, name) != value}
    return dataclasses.replace(task, **changes) if changes else task


# Django's signals of tasks that started and finished, sent by the process that acted, after the commit.


logger = logging.getLogger("django_jobs")


def tell(moved: Sequence[Moved]) -> None:
    """Send the signals of tasks that began an attempt, or have ended for good. Their rows are read together."""
    found = by_key([item.pk for item in moved])
    for item in moved:
        if item.pk not in found:
            continue
        try:
            _tell(item, result_of(*found[item.pk]))
        except Exception as error:  # noqa: BLE001  (one task's fault, as a module that only workers have, is no other's)
            logger.warning("event=task_signal_not_sent job_id=%s error=%s", item.job_id, error)


def _tell(item: Moved, result: TaskResult[..., Any]) -> None:
    """Call the receivers; while the exception is handled that ended the task, as in Django's own backends."""
    sender = type(result.task.get_backend())
    if item.to_status == Status.RUNNING:
        object.__setattr__(result, "status", TaskResultStatus.RUNNING)  # it may have ended meanwhile
        object.__setattr__(result, "finished_at", None)
        task_started.send_robust(sender=sender, task_result=result)
    elif item.error is None:
        task_finished.send_robust(sender=sender, task_result=result)
    else:
        traceback = item.error.__traceback__
        try:
            raise item.error
        except BaseException:  # noqa: BLE001  (whatever a task raises)
            task_finished.send_robust(sender=sender, task_result=result)
        finally:
            item.error.__traceback__ = traceback
