"""A task that says more of its jobs than Django's own: the class of what ``@task`` makes with JobsBackend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django_jobs.tasks.framework import BaseTaskBackend, Task, task_backends
from django_jobs.tasks.options import OF_ONE_JOB, OF_TASK, refuse_unknown


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

    def get_backend(self) -> BaseTaskBackend:
        """Return the backend, as Django's own class does, without an import statement in each call."""
        return task_backends[self.backend]

    def using(self, **changes: Any) -> JobTask:
        """Return a task with other defaults: Django's own four, and what one job may have of its own.

        These are ``organization``, ``unique_key``, ``on_duplicate``, ``deduplication_window``, ``timeout``,
        ``max_retries`` and ``expires_at``, as ``submit_job`` takes them.
        """
        own = {name: changes.pop(name) for name in OF_ONE_JOB.intersection(changes)}
        refuse_unknown("using()", changes.keys() - {"priority", "queue_name", "run_after", "backend"}, OF_ONE_JOB)
        changed: JobTask = Task.using(self, **changes)  # type: ignore[assignment]
        return replace(changed, changes={**self.changes, **own}) if own else changed
