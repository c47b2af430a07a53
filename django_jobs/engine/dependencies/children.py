"""Decides what becomes of jobs that wait for others, from the status that their parents have at this moment.

A child waits until all its parents have completed, or, if it was submitted with ``run_after="ended"``, until all have
ended. When a parent ends without completing, a child of the first kind ends with it: as Canceled if the parent was
canceled, else as Dead Letter. A child is decided under its own lock, by reading its parents afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Greatest

from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.store import database
from django_jobs.engine.transitions import NOW, Move, move
from django_jobs.engine.transitions.error_fingerprints import fingerprint
from django_jobs.engine.transitions.reset_fields import RESET_FIELDS
from django_jobs.models import DependencyTask, Job, JobDependency
from django_jobs.models.job import format_job_id
from django_jobs.statuses import TERMINAL, UNSUCCESSFUL, RunAfter, Status

#: A job that waits for parents, or died with one.
_UNDECIDED: Final = Q(status=Status.PENDING, ready_at__isnull=True) | Q(status=Status.DEAD_LETTER, is_orphaned=True)
_READ: Final = ("pk", "status", "ready_at", "is_orphaned", "has_children", "run_after")


def links() -> QuerySet[JobDependency]:
    """Return all links between jobs, in no order."""
    return JobDependency.primary.order_by()


def dead_links() -> QuerySet[JobDependency]:
    """Return the links of children to parents that had to complete and ended otherwise."""
    return links().filter(parent__status__in=sorted(UNSUCCESSFUL), child__run_after=RunAfter.COMPLETED)


def _jobs(pks: Iterable[int]) -> QuerySet[Job]:
    return Job.primary.filter(pk__in=pks)


def decide(pks: Sequence[int]) -> tuple[set[int], int]:
    """Decide each of these children: it becomes ready, ends, is revived, or goes on waiting.

    Return the children that must be decided later, because somebody holds them or a parent, and how many became ready.
    """
    undecided = _mark_parents(pks)
    concerned = set(_jobs(set(pks) - undecided).filter(_UNDECIDED).values_list("pk", flat=True))
    if not concerned:
        return undecided, 0
    children = list(database.locked(_jobs(concerned).only(*_READ), skip=True))
    waiting = [job for job in children if job.status == Status.PENDING and job.ready_at is None]
    orphans = [job for job in children if job.status == Status.DEAD_LETTER and job.is_orphaned]
    known = [job.pk for job in waiting + orphans]
    failed_parents = _failed_parents(known) if known else {}
    revived = [job for job in orphans if job.pk not in failed_parents]
    _revive(revived)
    _end_with_parents([job for job in waiting if job.pk in failed_parents], failed_parents)
    held = undecided | (concerned - {job.pk for job in children})
    return held, _release([job for job in [*waiting, *revived] if job.pk not in failed_parents])


def _mark_parents(pks: Sequence[int]) -> set[int]:
    """Set ``has_children`` of the parents, under their locks. Return the children of parents that somebody holds."""
    unknown = links().filter(child_id__in=pks, parent__has_children=False)
    pairs = list(unknown.values_list("child_id", "parent_id"))
    if not pairs:
        return set()
    found = {job.pk for job in database.locked(_jobs({parent for _, parent in pairs}).only("pk"), skip=True)}
    _jobs(found).update(has_children=True)
    return {child for child, parent in pairs if parent not in found}


def _failed_parents(children: Sequence[int]) -> dict[int, Job]:
    """Return, by child, the parent that it ends with: the first that ended without completing."""
    ended_at = Coalesce("parent__canceled_at", "parent__completed_at")
    first = dead_links().filter(child_id=OuterRef("pk")).order_by(ended_at, "parent_id").values("parent_id")[:1]
    found = dict(_jobs(children).order_by().annotate(failed_parent=Subquery(first)).values_list("pk", "failed_parent"))
    parents = _jobs({pk for pk in found.values() if pk is not None}).only("pk", "status", "created_at").in_bulk()
    return {child: parents[parent] for child, parent in found.items() if parent is not None}


def _end_with_parents(children: Sequence[Job], failed_parents: dict[int, Job]) -> None:
    """End these children as their parents ended. It is not their error, and is not logged as one."""
    moves = [_end_like(failed_parents[child.pk], child.pk) for child in sorted(children, key=lambda job: job.pk)]
    move(moves, sources=[Status.PENDING], actor=SYSTEM, loudest=logging.INFO)


def _end_like(parent: Job, child: int) -> Move:
    name = format_job_id(parent.pk, parent.created_at.year)
    if parent.status == Status.CANCELED:
        values: dict[str, Any] = {"canceled_at": NOW, "canceled_by": name, "ready_at": None}
        return Move(pk=child, to_status=Status.CANCELED, message=f"Parent {name} was canceled", values=values)
    text = f"Parent {name} ended as {parent.status}"
    values = {"error_type": "Permanent", "error_message": text, "error_fingerprint": fingerprint(text)}
    values |= {"completed_at": NOW, "is_orphaned": True, "ready_at": None}
    return Move(pk=child, to_status=Status.DEAD_LETTER, message=text, values=values)


def _revive(children: Sequence[Job]) -> None:
    """Revive children that died with a parent which may complete again.

    Their own children get a task, and the caller walks the tasks until none is left.
    """
    values = {**RESET_FIELDS, "ready_at": None}
    moves = [
        Move(pk=job.pk, to_status=Status.PENDING, message="Its parents may complete again", values=values)
        for job in children
    ]
    move(moves, sources=[Status.DEAD_LETTER], actor=SYSTEM)
    tasks = [DependencyTask(job_id=job.pk) for job in children if job.has_children]
    DependencyTask.primary.bulk_create(tasks, batch_size=2_000)


def _release(children: Sequence[Job]) -> int:
    """Make those children ready whose parents have all completed, or ended where that is enough. Return how many."""
    until_ended = [job.pk for job in children if job.run_after == RunAfter.ENDED]
    others = [job.pk for job in children if job.run_after != RunAfter.ENDED]
    free = _without_parents_outside(TERMINAL, until_ended) + _without_parents_outside({Status.COMPLETED}, others)
    if free:
        now = Value(database.now())
        _jobs(free).update(ready_at=Greatest(Coalesce(F("run_at"), now), now))
    return len(free)


def _without_parents_outside(statuses: Iterable[str], children: Sequence[int]) -> list[int]:
    """Return those of the children whose parents are all in one of these statuses."""
    if not children:
        return []
    others = links().filter(child_id=OuterRef("pk")).exclude(parent__status__in=sorted(statuses))
    return list(_jobs(children).order_by("pk").exclude(Exists(others)).values_list("pk", flat=True))
