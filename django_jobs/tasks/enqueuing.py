"""Submitting a task's job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django_jobs.engine.submission import submit
from django_jobs.exceptions import JobTypeNotFound
from django_jobs.models import Job
from django_jobs.tasks import arguments, job_types, results
from django_jobs.tasks.framework import Task, TaskResult
from django_jobs.tasks.options import changes_of, options_of
from django_jobs.tasks.organizations import organization_for
from django_jobs.tasks.priorities import head_start_of, priority_of

#: What a submission takes as it is.
_AS_IT_IS: Final = ("timeout", "max_retries", "deduplication_window", "expires_at")


def enqueue(
    task: Task[..., Any], alias: str, args: Sequence[Any], kwargs: Mapping[str, Any], defaults: Mapping[str, Any]
) -> tuple[TaskResult[..., Any], bool]:
    """Submit the job, and return the task's result and whether the job is new.

    It is not where the task has a ``unique_key`` and the same work is there already: then the result is that job's.
    """
    try:
        result = results.of_unsubmitted(task, alias, args, kwargs)
    except (TypeError, ValueError, RecursionError):
        arguments.blame(task, args, kwargs)
        raise
    options, changes = options_of(task, defaults), changes_of(task)
    given = _given(task, alias, result.args, result.kwargs, {**options, **changes} if changes else options)
    for name in _AS_IT_IS:
        if name in changes:
            given[name] = changes[name]
    # A path is followed only where the code names it: what using() gets may come from outside.
    organization = changes.get("organization")
    if organization is None:
        organization = organization_for(options.get("organization"), alias)
    job, is_new = _submit(task, alias, options, organization, given, defaults)
    if is_new:
        return results.submitted(result, job), True
    return results.by_key([job.pk])[job.pk].result(), False


def _given(
    task: Task[..., Any], alias: str, args: list[Any], kwargs: dict[str, Any], said: Mapping[str, Any]
) -> dict[str, Any]:
    given: dict[str, Any] = {
        "parameters": arguments.parameters(task, args, kwargs, said),
        "metadata": results.notes(task, alias),
        "priority": priority_of(task.priority),
        "head_start": head_start_of(task.priority),
        "run_at": task.run_after,
        "on_duplicate": said.get("on_duplicate", "return"),
    }
    if said.get("unique_key") is not None:
        given["unique_key"] = arguments.unique_key(task, args, kwargs, said["unique_key"])
    return given


def _submit(
    task: Task[..., Any],
    alias: str,
    options: Mapping[str, Any],
    organization: Any,
    given: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> tuple[Job, bool]:
    name, followed = job_types.ensure(task, alias, options)
    if followed != alias:
        given = _with_defaults(given, job_types.defaults_of_one_job(task, defaults))
    try:
        return submit.submit_or_find(name, organization, given, None)
    except JobTypeNotFound:  # the row that this process saw is gone
        job_types.forget(name)
        job_types.ensure(task, alias, options)
        return submit.submit_or_find(name, organization, given, None)


def _with_defaults(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is given, and what is not by default: the type's row follows another backend than the job's."""
    return {**defaults, **{name: value for name, value in given.items() if value is not None or name not in defaults}}
