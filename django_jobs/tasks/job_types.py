"""The job type of each task: named by the task's path, and made when the task is enqueued for the first time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from django.utils.module_loading import import_string

from django_jobs.engine.job_types import declared_types
from django_jobs.engine.job_types.declarations import Declaration
from django_jobs.engine.job_types.handlers import TASK_SCHEME
from django_jobs.engine.store import database
from django_jobs.tasks import options as task_options
from django_jobs.tasks.framework import InvalidTask, Task

PREFIX: Final = f"{TASK_SCHEME}:"
#: Characters of a type's name, and of the path of its handler.
MAX_NAME: Final = 100
MAX_PATH: Final = 255
#: Hexadecimal digits at the end of a name that is cut off.
DIGITS: Final = 8

#: The types that this process has seen to be there and up to date, by database and name.
_seen: set[tuple[str, str]] = set()


def name_of(path: str) -> str:
    """Return the type's name for a task's path; of a path that is too long the beginning, and a hash of the whole."""
    name = PREFIX + path
    if len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(path.encode()).hexdigest()[:DIGITS]
    return f"{name[: MAX_NAME - DIGITS - 1]}-{digest}"


def ensure(task: Task[..., Any], options: Mapping[str, Any]) -> str:
    """Return the name of the task's type, whose row is there then. Each process looks once."""
    name = name_of(task.module_path)
    key = (database.alias(), name)
    if key not in _seen:
        _make(name, task, options)
        _seen.add(key)
    return name


def forget(name: str) -> None:
    """Look again at the next need: the row is gone, or was made in a transaction that was rolled back."""
    _seen.discard((database.alias(), name))


def _make(name: str, task: Task[..., Any], options: Mapping[str, Any]) -> None:
    """Make the row, or bring it up to date with the code; what an administrator changed stays."""
    path = task.module_path
    task_options.refuse_contradictions(path, options)
    fields = task_options.type_fields(options)
    problems = declared_types.value_problems(fields)
    if problems:
        raise InvalidTask(f"What is said of the jobs of {path} cannot be stored: {'; '.join(problems)}")
    if len(PREFIX + path) > MAX_PATH:
        raise InvalidTask(f"{path} has more than {MAX_PATH - len(PREFIX)} characters; move the function.")
    _refuse_unfindable(task)
    declaration = Declaration(
        type_name=name, function=task.func, serializer=None, fields=fields, path=PREFIX + path, place=path
    )
    declared_types.ensure(declaration, using=database.alias())


def _refuse_unfindable(task: Task[..., Any]) -> None:
    """Raise InvalidTask where a worker would find no task under the function's own path."""
    path = task.module_path
    try:
        found = import_string(path)
    except ImportError as error:
        raise InvalidTask(f"No worker could import {path}: {error}") from error
    if getattr(found, "func", None) is not task.func:
        raise InvalidTask(
            f"{path} is not this task, so no worker could find it: let the task have the name of its function, "
            "as @task gives it."
        )
