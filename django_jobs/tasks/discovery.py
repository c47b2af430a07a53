"""Finding the tasks of the installed apps, whose types get their rows before anybody enqueues them."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any, Final

from django.apps import apps
from django.utils.module_loading import module_has_submodule

from django_jobs.engine.job_types.types import Declaration
from django_jobs.tasks import job_types
from django_jobs.tasks.backend import JobsBackend
from django_jobs.tasks.declaring import OF_BACKEND, options_of
from django_jobs.tasks.framework import InvalidTask, InvalidTaskBackend, Task, task_backends

logger = logging.getLogger("django_jobs")

#: The module of an app in which tasks are looked for though nothing has imported it yet.
MODULE: Final = "tasks"


def declarations_of_tasks() -> list[Declaration]:
    """Return what the code says of the type of each task that a JobsBackend runs; nothing where there is no such one.

    These are the tasks in the module ``tasks`` of an installed app, and in whatever else of the apps is loaded. What
    cannot be imported, or enqueued, is logged and left out.
    """
    backends = _own_backends()
    if not backends:
        return []
    _load()
    found = {}
    for task in tasks_in(_modules_of_apps()):
        if task.backend in backends:
            try:
                declaration = job_types.declaration_of(task, options_of(task, backends[task.backend].options))
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


def _own_backends() -> dict[str, JobsBackend]:
    """Return those of ``TASKS`` that are ours, but for those whose options a system check refuses."""
    found = {}
    for alias in task_backends:
        try:
            backend = task_backends[alias]
        except InvalidTaskBackend:  # its checks say so
            continue
        except Exception as error:  # noqa: BLE001  (somebody else's, which may ask for what is not there)
            logger.warning("event=task_backend_left_out backend=%s error=%r", alias, error)
            continue
        if isinstance(backend, JobsBackend) and OF_BACKEND.issuperset(backend.options):
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
