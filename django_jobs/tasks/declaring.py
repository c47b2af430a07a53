"""Tasks that say more of their jobs than Django's own, and what may be said of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from django_jobs.engine.job_types import types
from django_jobs.tasks.framework import InvalidTaskBackend, Task
from django_jobs.texts import say

# A task that says more of its jobs than Django's own: the class of what ``@task`` makes with JobsBackend.


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class JobTask(Task):  # type: ignore[type-arg]
    """A task with options of its jobs: ``options`` as ``@task`` was given them, ``changes`` as ``using()`` was."""

    options: Mapping[str, Any] = field(hash=False)
    changes: Mapping[str, Any] = field(hash=False)

    def __init__(
        self, *, options: Mapping[str, Any] | None = None, changes: Mapping[str, Any] | None = None, **keywords: Any
    ) -> None:
        own = {name: keywords.pop(name) for name in OF_TASK.intersection(keywords)}
        refuse_unknown("@task", keywords.keys() - Task.__dataclass_fields__.keys(), OF_TASK)
        object.__setattr__(self, "options", {**(options or {}), **own})
        object.__setattr__(self, "changes", dict(changes or {}))
        Task.__init__(self, **keywords)

    def using(self, **changes: Any) -> JobTask:
        """Return a task with other defaults: Django's own four, and what one job may have of its own.

        These are ``organization``, ``unique_key``, ``on_duplicate``, ``deduplication_window``, ``timeout``,
        ``max_retries`` and ``expires_at``, as ``submit_job`` takes them.
        """
        own = {name: changes.pop(name) for name in OF_ONE_JOB.intersection(changes)}
        refuse_unknown("using()", changes.keys() - {"priority", "queue_name", "run_after", "backend"}, OF_ONE_JOB)
        changed: JobTask = Task.using(self, **changes)  # type: ignore[assignment]
        return replace(changed, changes={**self.changes, **own}) if own else changed


# What may be said of a task's jobs, in which place, and under which names.
#
# Three places say it: ``OPTIONS`` of the backend for all of its tasks, ``@task`` or ``@task_options`` for one task, and
# ``using()`` for one job. The names are those of ``@job_handler`` and ``submit_job``.


F = TypeVar("F", bound=Callable[..., Any])

#: The fields of the job type, by the names of their options.
OF_TYPE: Final = {"timeout" if name == "default_timeout" else name: name for name in types.DECLARED_FIELDS}
#: What only jobs have, and the type does not.
OF_EACH_JOB: Final = ("organization", "unique_key", "on_duplicate")
#: What one job may have in the place of what its type says.
OF_ONE_JOB: Final = frozenset({*OF_EACH_JOB, "timeout", "max_retries", "deduplication_window", "expires_at"})
#: What a backend's options may say of one job in the place of its type, and what a submission calls that.
OF_BACKENDS_JOB: Final = {
    "timeout": "timeout",
    "max_retries": "max_retries",
    "deduplication_window": "deduplication_window",
    "default_priority": "priority",
}
OF_TASK: Final = frozenset({*OF_EACH_JOB, *OF_TYPE})
OF_BACKEND: Final = frozenset({"organization", *OF_TYPE})

_ATTRIBUTE: Final = "_django_jobs_options"


def task_options(**options: Any) -> Callable[[F], F]:
    """Say what the jobs of a task need, where ``@task`` takes no such keywords; return a decorator to stand below it.

    The keywords are the fields of a Job Type, as ``@job_handler`` takes them, ``timeout``, and ``organization``,
    ``unique_key`` and ``on_duplicate`` of a submission. With JobsBackend, ``@task`` of Django 6.1 and of django-tasks
    takes the same keywords itself. Raises TypeError for unknown ones.
    """
    refuse_unknown("@task_options", options, OF_TASK)

    def mark(function: F) -> F:
        if not inspect.isfunction(function):
            raise TypeError(say("@task_options decorates a function: put it below @task.", code="not_a_function"))
        setattr(function, _ATTRIBUTE, {**getattr(function, _ATTRIBUTE, {}), **options})
        return function

    return mark


def refuse_unknown(
    place: str, options: Iterable[str], known: frozenset[str], kind: type[Exception] = TypeError
) -> None:
    """Raise an error of this kind where an option is not known in this place."""
    unknown = sorted(set(options) - known)
    if unknown:
        text = "%(place)s takes no option %(name)r; of a job it takes %(known)s."
        raise kind(say(text, code="unknown_option", place=place, name=unknown[0], known=", ".join(sorted(known))))


def refuse_unknown_of_backend(alias: str, options: Iterable[str]) -> None:
    """Raise InvalidTaskBackend where ``OPTIONS`` of the backend ``alias`` has an option that there is not."""
    refuse_unknown(f"TASKS[{alias!r}]['OPTIONS']", options, OF_BACKEND, InvalidTaskBackend)


def options_of(task: Task[..., Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of all jobs of a task, by the backend's ``defaults``, its function and its decorator."""
    return {**defaults, **getattr(task.func, _ATTRIBUTE, {}), **getattr(task, "options", {})}


def type_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the job type that the options say.

    Each enqueuing is a job of its own, unless the options name what makes two of them the same work.
    """
    fields = {OF_TYPE[name]: value for name, value in options.items() if name not in OF_EACH_JOB}
    if "unique_key" not in options:
        fields.setdefault("deduplication_window", 0)
    return fields
