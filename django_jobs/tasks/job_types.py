"""The job type of each task: named by the task's path, and made at a deployment or at the first enqueue."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from django_jobs.engine.job_types import declared_types
from django_jobs.engine.job_types.handlers import TASK_PREFIX
from django_jobs.engine.job_types.types import Declaration
from django_jobs.engine.store import database
from django_jobs.tasks import declaring
from django_jobs.tasks.declaring import JobTask
from django_jobs.tasks.framework import InvalidTask, InvalidTaskBackend, Task, task_backends
from django_jobs.texts import said, say

PREFIX: Final = TASK_PREFIX
#: Characters of a type's name, and of the path of its handler.
MAX_NAME: Final = 100
MAX_PATH: Final = 255
#: Hexadecimal digits at the end of a name that is cut off.
DIGITS: Final = 8

#: The types that this process has seen to be there and up to date, by database and name, each with the alias of the
#: backend whose options its row follows.
_seen: dict[tuple[str, str], str] = {}
#: So many seconds after it saw a type, a process looks once more: while a release is rolled out, a process of the one
#: before may enqueue the task for the first time, and write what its code says.
LOOK_AGAIN_SECONDS: Final = 600.0
#: When this process looks at a type once more.
_looks_again: dict[tuple[str, str], float] = {}


def name_of(path: str) -> str:
    """Return the type's name for a task's path; of a path that is too long the beginning, and a hash of the whole."""
    name = PREFIX + path
    if len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(path.encode()).hexdigest()[:DIGITS]
    return f"{name[: MAX_NAME - DIGITS - 1]}-{digest}"


def ensure(task: Task[..., Any], alias: str, options: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name of the task's type, whose row is there then, and the backend whose options that row follows.

    ``options`` are what the backend ``alias`` and the task say. The row follows the backend that the task was declared
    with, where that is one of ours: else it would depend on which one each process happens to enqueue by first. Each
    process looks twice: at its first need, and at the first one after LOOK_AGAIN_SECONDS.
    """
    name = name_of(task.module_path)
    key = (database.alias(), name)
    followed = _seen.get(key)
    if followed is None:
        followed = _seen[key] = _make(task, alias, options)
        _looks_again[key] = time.monotonic() + LOOK_AGAIN_SECONDS
    elif time.monotonic() >= _looks_again.get(key, math.inf):
        _looks_again.pop(key, None)
        followed = _seen[key] = _make(task, alias, options)
    return name, followed


def forget(name: str) -> None:
    """Look again at the next need: the row is gone, or was made in a transaction that was rolled back."""
    _seen.pop((database.alias(), name), None)


def declaration_of(declared: Task[..., Any], options: Mapping[str, Any]) -> Declaration:
    """Return what the code says of the type of a task, as its module has it, by these options.

    Raises InvalidTask where nobody could enqueue it.
    """
    path = declared.module_path
    if len(PREFIX + path) > MAX_PATH:
        text = "%(path)s has more than %(most)d characters; move the function."
        raise InvalidTask(say(text, code="too_long", path=path, most=MAX_PATH - len(PREFIX)))
    declaring.refuse_contradictions(path, options)
    fields = declaring.type_fields(options)
    _refuse_values(path, fields)
    return Declaration(
        type_name=name_of(path), function=declared.func, serializer=None, fields=fields, path=PREFIX + path, place=path
    )


def defaults_of_one_job(task: Task[..., Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a backend's ``defaults`` say of one job in the place of its type, as a submission takes it.

    A value is taken as the type's row would take it. Raises InvalidTask where that would not.
    """
    path = task.module_path
    declaring.refuse_contradictions(path, defaults)
    fields = declaring.defaults_of_one_job(task, defaults)
    _refuse_values(path, fields)
    return {declaring.OF_BACKENDS_JOB[name]: declared_types.stored_value(name, value) for name, value in fields.items()}


def _refuse_values(path: str, fields: Mapping[str, Any]) -> None:
    problems = declared_types.value_problems(fields)
    if problems:
        text = "What is said of the jobs of %(path)s cannot be stored: %(problems)s"
        raise InvalidTask(say(text, code="wrong_options", path=path, problems="; ".join(problems)))


def _make(task: Task[..., Any], alias: str, options: Mapping[str, Any]) -> str:
    """Make the row, or bring it up to date with the code; what an administrator changed stays.

    Return the alias of the backend whose options it follows.
    """
    declared = _declared(task)
    if declared.backend != alias and (others := _options_of_backend(declared.backend)) is not None:
        alias, options = declared.backend, declaring.options_of(declared, others)
    try:
        declared_types.ensure_type(declaration_of(declared, options), using=database.alias())
    except ImproperlyConfigured as error:
        raise InvalidTask(said(error)) from error
    return alias


def _options_of_backend(alias: str) -> Mapping[str, Any] | None:
    """Return the options of a backend; None where it is none of ours, or there is none of this alias.

    Raises InvalidTaskBackend for an option that there is not.
    """
    try:
        backend = task_backends[alias]
    except InvalidTaskBackend:
        return None
    if not issubclass(backend.task_class, JobTask):
        return None
    declaring.refuse_unknown_of_backend(alias, backend.options)
    return backend.options


def _declared(task: Task[..., Any]) -> Task[..., Any]:
    """Return the task as its module has it, as a worker finds it.

    Raises InvalidTask where there would be none under the function's own path.
    """
    path = task.module_path
    try:
        found = import_string(path)
    except ImportError as error:
        text = "No worker could import %(path)s: %(error)s"
        raise InvalidTask(say(text, code="not_importable", path=path, error=str(error))) from error
    if getattr(found, "func", None) is not task.func:
        text = say(
            "%(path)s is not this task, so no worker could find it: let the task have the name of its function, as "
            "@task gives it.",
            code="another_task",
            path=path,
        )
        raise InvalidTask(text)
    return found  # type: ignore[no-any-return]
