"""Notes that the parents and children of a job must be looked at, which :mod:`..dependencies` does after the commit."""

from __future__ import annotations

from collections.abc import Iterable

from django_jobs.engine.store import database
from django_jobs.engine.transitions import hooks
from django_jobs.models import DependencyTask


def remind(pks: Iterable[int]) -> None:
    """Have the relatives of these jobs looked at once the open transaction is committed."""
    tasks = [DependencyTask(job_id=pk) for pk in sorted(pks)]
    DependencyTask.primary.bulk_create(tasks, batch_size=2_000)
    if tasks:
        database.on_commit(hooks.follow_up)
