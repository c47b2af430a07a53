"""Notes that the parents and children of a job must be looked at, which :mod:`..dependencies` does after the commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django_jobs.engine.store import database
from django_jobs.engine.transitions import hooks
from django_jobs.models import DependencyTask


def remind(pks: Iterable[int]) -> None:
    """Have the relatives of these jobs looked at once the open transaction is committed."""
    _leave([DependencyTask(job_id=pk) for pk in sorted(pks)])


def remind_of_deleted(endings: Mapping[int, str]) -> None:
    """Have the children of these jobs looked at likewise. They are deleted now; ``endings`` has the status of each."""
    _leave([DependencyTask(job_id=pk, deleted_as=endings[pk]) for pk in sorted(endings)])


def _leave(tasks: list[DependencyTask]) -> None:
    DependencyTask.primary.bulk_create(tasks, batch_size=2_000)
    if tasks:
        database.once_on_commit(hooks.follow_up)
