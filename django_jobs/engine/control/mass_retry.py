"""Retrying many Dead Letters in a few statements, each as ``control.retry_job`` does it to one."""

from __future__ import annotations

from typing import Any

from django_jobs.engine.actors import Actor
from django_jobs.engine.dependencies import follow_up
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.store import database
from django_jobs.engine.transitions import NOW, Move, move, relatives
from django_jobs.engine.transitions.reset_fields import NEW_LIFE
from django_jobs.models import JobDependency
from django_jobs.statuses import Status


def retry_dead_letters(pks: list[int], *, message: str, actor: Actor) -> tuple[int, int]:
    """How many got a new life, and how many did not since a job that they wait for is dead."""
    links = JobDependency.primary.filter(child_id__in=pks)
    parented = set(links.values_list("child_id", flat=True))
    held = follow_up.without_hope(pks)
    free = [pk for pk in pks if pk not in held]

    def give_new_life(chosen: list[int], *, ready_at: Any) -> list[Any]:
        values = {**NEW_LIFE, "ready_at": ready_at}
        moves = [Move(pk=pk, to_status=Status.PENDING, message=message, values=values) for pk in chosen]
        return move(moves, sources=[Status.DEAD_LETTER], actor=actor)

    moved = [
        *give_new_life([pk for pk in free if pk not in parented], ready_at=NOW),
        *give_new_life([pk for pk in free if pk in parented], ready_at=None),
    ]
    relatives.remind(item.pk for item in moved if item.has_children or item.pk in parented)
    if moved:
        database.on_commit(dispatcher.wake)
    return len(moved), len(held)
