"""The job type of each task: named by the task's path, and made at a deployment or at the first enqueue."""

from __future__ import annotations

import hashlib
import importlib
import logging
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, Final

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import module_has_submodule

from django_jobs.engine.job_types import declared_types
from django_jobs.engine.job_types.handlers import TASK_PREFIX
from django_jobs.engine.job_types.types import Declaration
from django_jobs.engine.memory import Memory
from django_jobs.engine.store import database
from django_jobs.tasks import declaring, results
from django_jobs.tasks.declaring import OF_BACKEND, OF_BACKENDS_JOB, OF_TYPE, JobTask, options_of
from django_jobs.tasks.framework import BaseTaskBackend, InvalidTask, InvalidTaskBackend, Task, task_backends
from django_jobs.texts import said, say

logger = logging.getLogger("django_jobs")

#: Characters of a type's name.
MAX_NAME: Final = 100
#: Hexadecimal digits at the end of a name that is cut off.
DIGITS: Final = 8

#: The types that this process has seen to be there and up to date, by database and name, each with the alias of the
#: backend whose options its row follows.
_seen: Final[Memory[tuple[str, str], str]] = Memory(1_000)
#: So many seconds after it saw a type, a process looks once more: while a release is rolled out, a process of the one
#: before may enqueue the task for the first time, and write what its code says.
LOOK_AGAIN_SECONDS: Final = 600.0


def name_of(path: str) -> str:
    """Return the type's name for a task's path; of a path that is too long the beginning, and a hash of the whole."""
    name = TASK_PREFIX + path
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
    followed = _seen.fresh(key)
    if followed is None:
        followed = _make(task, alias, options)
        # The second look is the last: two releases that stay would write for ever.
        _seen.put(key, followed, math.inf if key in _seen else LOOK_AGAIN_SECONDS)
    return name, followed


def forget(name: str) -> None:
    """Look again at the next need: the row is gone, or was made in a transaction that was rolled back."""
    _seen.pop((database.alias(), name), None)


def declaration_of(declared: Task[..., Any], options: Mapping[str, Any]) -> Declaration:
    """Return what the code says of the type of a task, as its module has it, by these options.

    Raises InvalidTask where nobody could enqueue it.
    """
    path = declared.module_path
    fields = declaring.type_fields(options)
    _refuse_values(path, fields)
    return Declaration(
        type_name=name_of(path),
        function=declared.func,
        serializer=None,
        fields=fields,
        path=TASK_PREFIX + path,
        place=path,
    )


def defaults_of_one_job(task: Task[..., Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a backend's ``defaults`` say of one job in the place of its type, as a submission takes it.

    What the task says itself goes before them. A value is taken as the type's row would take it. Raises InvalidTask
    where that would not.
    """
    said = options_of(task, {})
    own = {name: defaults[name] for name in OF_BACKENDS_JOB if name in defaults and name not in said}
    fields = {OF_TYPE[name]: value for name, value in own.items()}
    _refuse_values(task.module_path, fields)
    return {OF_BACKENDS_JOB[name]: declared_types.stored_value(OF_TYPE[name], own[name]) for name in own}


def _refuse_values(path: str, fields: Mapping[str, Any]) -> None:
    problems = declared_types.value_problems(fields)
    if problems:
        text = "What is said of the jobs of %(path)s cannot be stored: %(problems)s"
        raise InvalidTask(say(text, code="wrong_options", path=path, problems="; ".join(problems)))


def _make(task: Task[..., Any], alias: str, options: Mapping[str, Any]) -> str:
    """Make the row, or bring it up to date with the code; what an administrator changed stays.

    Return the alias of the backend whose options it follows. Raises InvalidTaskBackend for an option that there is not.
    """
    declared = _declared(task)
    if declared.backend != alias and (backend := _own_backends().get(declared.backend)) is not None:
        declaring.refuse_unknown_of_backend(declared.backend, backend.options)
        alias, options = declared.backend, options_of(declared, backend.options)
    try:
        declared_types.ensure_type(declaration_of(declared, options), using=database.alias())
    except ImproperlyConfigured as error:
        raise InvalidTask(said(error)) from error
    return alias


def _declared(task: Task[..., Any]) -> Task[..., Any]:
    """Return the task as its module has it, as a worker finds it.

    Raises InvalidTask where there would be none under the function's own path.
    """
    path = task.module_path
    found = results.find(path)
    if found.func is not task.func:
        text = say(
            "%(path)s is not this task, so no worker could find it: let the task have the name of its function, as "
            "@task gives it.",
            code="another_task",
            path=path,
        )
        raise InvalidTask(text)
    return found


# Finding the tasks of the installed apps, whose types get their rows before anybody enqueues them.


#: The module of an app in which tasks are looked for though nothing has imported it yet.
MODULE: Final = "tasks"


def declarations_of_tasks() -> list[Declaration]:
    """Return what the code says of the type of each task that a JobsBackend runs; nothing where there is no such one.

    A backend whose options a system check refuses counts for none. These are the tasks in the module ``tasks`` of an
    installed app, and in whatever else of the apps is loaded. What cannot be imported, or enqueued, is logged and left
    out.
    """
    own = {alias: backend for alias, backend in _own_backends().items() if OF_BACKEND.issuperset(backend.options)}
    if not own:
        return []
    _load()
    found = {}
    for task in tasks_in(_modules_of_apps()):
        if task.backend in own:
            try:
                declaration = declaration_of(task, options_of(task, own[task.backend].options))
            except InvalidTask as error:
                logger.warning("event=task_left_out task=%s error=%s", task.module_path, error)
            else:
                found[declaration.type_name] = declaration
    return list(found.values())


def tasks_in(modules: Iterable[ModuleType]) -> Iterator[Task[..., Any]]:
    """Yield the tasks that these modules define: each under the name of its function, where workers find it."""
    for module in modules:
        for name, value in list(vars(module).items()):
            # By its type: a lazy object would be made by the question whether it is a task.
            if issubclass(type(value), Task) and value.module_path == f"{module.__name__}.{name}":
                yield value


def _own_backends() -> dict[str, BaseTaskBackend]:
    """Return those of ``TASKS`` that are ours."""
    found = {}
    for alias in task_backends:
        try:
            backend = task_backends[alias]
        except InvalidTaskBackend:  # its checks say so
            continue
        except Exception as error:  # noqa: BLE001  (somebody else's, which may ask for what is not there)
            logger.warning("event=task_backend_left_out backend=%s error=%r", alias, error)
            continue
        if issubclass(backend.task_class, JobTask):
            found[alias] = backend
    return found


def _load() -> None:
    """Import the modules of the apps in which tasks stand by Django's custom."""
    for config in apps.get_app_configs():
        if config.module is None or not module_has_submodule(config.module, MODULE):
            continue
        try:
            importlib.import_module(f"{config.name}.{MODULE}")
        except (Exception, SystemExit) as error:  # noqa: BLE001  (no deployment fails at what only tasks need)
            logger.warning("event=tasks_not_loaded module=%s.%s error=%r", config.name, MODULE, error)


def _modules_of_apps() -> list[ModuleType]:
    """Return all loaded modules of the installed apps."""
    starts = tuple(f"{config.name}." for config in apps.get_app_configs())
    loaded: list[tuple[str, Any]] = sorted(sys.modules.items())
    return [module for name, module in loaded if isinstance(module, ModuleType) and f"{name}.".startswith(starts)]
