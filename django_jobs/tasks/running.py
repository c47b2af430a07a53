"""Running a task's function as a handler."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from django_jobs.engine.claimed_job import Handler
from django_jobs.engine.job_types.handlers import NOT_LOADABLE, HandlerNotAllowed, HandlerNotLoadable
from django_jobs.exceptions import PermanentError
from django_jobs.tasks import results
from django_jobs.tasks.framework import InvalidTask, Task, TaskContext, normalize_json
from django_jobs.tasks.results import ARGS, KWARGS
from django_jobs.texts import said, say

if TYPE_CHECKING:
    from django_jobs.engine.execution.context import JobContext


class ResultIsNoJson(PermanentError, TypeError):
    """A task returned what cannot be stored. Another run would return the same."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobTaskContext(TaskContext):  # type: ignore[misc, type-arg]
    """Django's context of a task, and with ``job`` the job's: for progress, files, further jobs and steps."""

    job: JobContext


def handler_for(path: str) -> Handler:
    """Return the handler that runs the task of this path, a coroutine function where the task is one.

    Raises HandlerNotLoadable where it cannot be imported, and HandlerNotAllowed where the path names no task.
    """
    try:
        task = results.find(path)
    except InvalidTask as error:
        if error.__cause__ is None:
            raise HandlerNotAllowed(said(error)) from error
        text = f"{NOT_LOADABLE}: the task %(path)s (%(error)s)."
        kind = type(error.__cause__).__name__
        raise HandlerNotLoadable(say(text, code="handler_not_loadable", path=path, error=kind)) from error
    return _coroutine_handler(task) if inspect.iscoroutinefunction(task.func) else _handler(task)


def _handler(task: Task[..., Any]) -> Handler:
    def run_task(context: JobContext) -> dict[str, Any]:
        args, kwargs = _arguments(context.parameters)
        first = [_task_context(context)] if task.takes_context else []
        return _returned(task, task.func(*first, *args, **kwargs))

    return run_task


def _coroutine_handler(task: Task[..., Any]) -> Handler:
    async def run_task(context: JobContext) -> dict[str, Any]:
        args, kwargs = _arguments(context.parameters)
        first = [await sync_to_async(_task_context)(context)] if task.takes_context else []
        return _returned(task, await task.func(*first, *args, **kwargs))

    return run_task


def _arguments(given: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments that a job's parameters hold. Raises PermanentError for parameters of another shape.

    Those come from elsewhere, as from a schedule of the task's type.
    """
    args, kwargs = given.get(ARGS, []), given.get(KWARGS, {})
    if not isinstance(args, list) or not isinstance(kwargs, dict) or (given and not {ARGS, KWARGS} & given.keys()):
        raise PermanentError('The parameters of a task\'s job are {"args": [...], "kwargs": {...}}.')
    return args, kwargs


def _task_context(context: JobContext) -> JobTaskContext:
    """Return the context, whose result tells of this attempt and those before it."""
    with context.shielded():
        return JobTaskContext(task_result=results.read(context.job_id), job=context)


def _returned(task: Task[..., Any], value: Any) -> dict[str, Any]:
    try:
        return {results.RETURN_VALUE: normalize_json(value)}
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultIsNoJson(f"{task.module_path}() returned what is no JSON: {error}") from error
