"""Submitting a task's job, for its organization."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final

from django.utils.module_loading import import_string

from django_jobs.engine import organizations
from django_jobs.engine.claimed_job import current_job
from django_jobs.engine.submission import submit
from django_jobs.exceptions import JobTypeNotFound, OrganizationNotFound
from django_jobs.models import Job, get_organization_model
from django_jobs.tasks import arguments, job_types, results
from django_jobs.tasks.arguments import head_start_of, priority_of
from django_jobs.tasks.declaring import changes_of, options_of
from django_jobs.tasks.framework import InvalidTaskBackend, Task, TaskResult
from django_jobs.texts import say

# Whose job a task becomes.


def organization_for(named: Any, alias: str) -> Any:
    """Return the organization of a new job, an id or an instance, for what ``@task`` or the backend's options name.

    It is the one that they name, or that the function returns which they name; else that of the job whose handler
    enqueues; else the system organization. Raises OrganizationNotFound where none of them is.
    """
    found = _said_by(named, alias)
    if found is not None:
        return found
    claimed = current_job.get()
    if claimed is not None:
        return get_organization_model()(pk=claimed.organization_pk)
    found = organizations.system_id()
    if found is not None:
        return found
    text = say(
        "Whose job is it? Let TASKS[%(alias)r]['OPTIONS']['organization'] name an organization or a function that "
        "returns one, call using(organization=…), or set DJANGO_JOBS['SYSTEM_ORGANIZATION'].",
        code="no_organization",
        alias=alias,
    )
    raise OrganizationNotFound({"organization": [text]})


def _said_by(named: Any, alias: str) -> Any:
    if callable(named):
        return named()
    function = function_at(named, alias) if isinstance(named, str) else None
    return named if function is None else function()


@functools.lru_cache(maxsize=100)
def function_at(path: str, alias: str) -> Callable[[], Any] | None:
    """Return the function of a dotted path; None for a text that is none, but an id.

    A text is a path where its first part is a module that is there. Raises InvalidTaskBackend for one that leads to no
    function.
    """
    if not all(part.isidentifier() for part in path.split(".")) or "." not in path or not _is_module(path):
        return None
    try:
        found = import_string(path)
    except ImportError as error:
        text = "TASKS[%(alias)r]: the organization %(path)r cannot be imported: %(error)s"
        raise InvalidTaskBackend(say(text, code="not_importable", alias=alias, path=path, error=str(error))) from error
    if not callable(found):
        text = "TASKS[%(alias)r]: the organization %(path)r is no function."
        raise InvalidTaskBackend(say(text, code="not_a_function", alias=alias, path=path))
    return found  # type: ignore[no-any-return]


def _is_module(path: str) -> bool:
    try:
        return find_spec(path.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


# Submitting a task's job.


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
