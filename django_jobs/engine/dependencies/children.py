"""Decides what becomes of jobs that wait for others, from the status that their parents have at this moment.

A child waits until all its parents have completed, or, if it was submitted with ``run_after="ended"``, until all have
ended. When a parent ends without completing, a child of the first kind ends with it: as Canceled if the parent was
canceled, else as Dead Letter. A child is decided under its own lock, by reading its parents afterwards.

What died with a parent stays dead when that parent is deleted: nobody can retry it. Until such children have been
looked at, their links to it stay, and the task of the deleted parent tells how it ended.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.db.models import Case, F, QuerySet, When

from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.store import database
from django_jobs.engine.store.head_starts import place_in_lane
from django_jobs.engine.transitions import NOW, Move, move
from django_jobs.engine.transitions.error_fingerprints import fingerprint
from django_jobs.engine.transitions.reset_fields import RESET_FIELDS
from django_jobs.models import DependencyTask, Job, JobDependency
from django_jobs.models.job import format_job_id
from django_jobs.statuses import TERMINAL, UNSUCCESSFUL, RunAfter, Status
from django_jobs.texts import say

_READ: Final = ("pk", "status", "ready_at", "is_orphaned", "has_children", "run_after")


def links() -> QuerySet[JobDependency]:
    """Return all links between jobs, in no order."""
    return JobDependency.primary.order_by()


def dead_links() -> QuerySet[JobDependency]:
    """Return the links of children to parents that had to complete and ended otherwise."""
    # By the statuses that it is not in: by those that it is in, all jobs that ever died may be walked.
    others = sorted(frozenset(Status) - UNSUCCESSFUL)
    return links().filter(child__run_after=RunAfter.COMPLETED).exclude(parent__status__in=others)


def _jobs(pks: Iterable[int]) -> QuerySet[Job]:
    return Job.primary.filter(pk__in=pks)


class Decided(NamedTuple):
    """What came of a decision.

    ``held`` must be decided later, because somebody holds them or a parent; ``released`` is how many became ready;
    ``has_left_tasks`` tells whether descendants must be looked at now.
    """

    held: set[int]
    released: int
    has_left_tasks: bool


def decide(pks: Sequence[int]) -> Decided:
    """Decide each of these children: it becomes ready, ends, is revived, or goes on waiting."""
    undecided = _mark_parents(pks)
    concerned = {job.pk for job in _jobs(set(pks) - undecided).only(*_READ) if _is_undecided(job)}
    if not concerned:
        return Decided(undecided, 0, has_left_tasks=False)
    children = list(database.locked(_jobs(concerned).only(*_READ), skip=True))
    undecided_now = [job for job in children if _is_undecided(job)]
    waiting = [job for job in undecided_now if job.status == Status.PENDING]
    orphans = [job for job in undecided_now if job.status == Status.DEAD_LETTER]
    parents = _uncompleted_parents([job.pk for job in waiting + orphans])
    failed_parents = {job.pk: first for job in waiting + orphans if (first := _failed_parent(job, parents[job.pk]))}
    # Only now: a parent that was not found above had left its task by then.
    dead_for_ever = _leave_dead([job.pk for job in orphans])
    hopeful = [job for job in orphans if job.pk not in failed_parents and job.pk not in dead_for_ever]
    revived = _with_parents_kept(hopeful, parents)
    _revive(revived)
    ended = [job for job in waiting if job.pk in failed_parents]
    _end_with_parents(ended, failed_parents)
    _forget_deleted([job.pk for job in ended])
    free = [job.pk for job in [*waiting, *revived] if _is_free(job, parents[job.pk])]
    _release(free)
    put_off = {job.pk for job in hopeful} - {job.pk for job in revived}
    held = undecided | (concerned - {job.pk for job in children}) | put_off
    return Decided(held, len(free), has_left_tasks=any(job.has_children for job in [*ended, *revived]))


def _is_undecided(job: Job) -> bool:
    """Return whether a job waits for parents, or died with one.

    Asked of rows that were found by their keys: with this as a condition, an index of all such jobs may be walked.
    """
    if job.status == Status.PENDING:
        return job.ready_at is None
    return job.status == Status.DEAD_LETTER and job.is_orphaned


def _mark_parents(pks: Sequence[int]) -> set[int]:
    """Set ``has_children`` of the parents, under their locks. Return the children of parents that somebody holds."""
    unknown = links().filter(child_id__in=pks, parent__has_children=False)
    pairs = list(unknown.values_list("child_id", "parent_id"))
    if not pairs:
        return set()
    found = {job.pk for job in database.locked(_jobs({parent for _, parent in pairs}).only("pk"), skip=True)}
    _jobs(found).update(has_children=True)
    return {child for child, parent in pairs if parent not in found}


def _leave_dead(orphans: Sequence[int]) -> set[int]:
    """Let those that died with a parent which is deleted by now stay dead, and return them."""
    if not orphans:
        return set()
    killers = DependencyTask.primary.filter(deleted_as__in=sorted(UNSUCCESSFUL))
    found = links().filter(child_id__in=orphans, parent_id__in=killers.values("job_id"))
    dead = set(found.values_list("child_id", flat=True))
    _jobs(dead).update(is_orphaned=False)
    return dead


def _with_parents_kept(orphans: Sequence[Job], parents: Mapping[int, list[_Parent]]) -> list[Job]:
    """Lock the parents for which these would wait again, and return those of whose parents nobody holds one.

    One that may complete now could die and be deleted before this transaction commits: as long as the child has died,
    it keeps no parent, and nobody would end it then.
    """
    wanted = {parent.pk for job in orphans for parent in parents[job.pk]}
    if not wanted:
        return list(orphans)
    kept = {job.pk for job in database.locked(_jobs(wanted).only("pk"), skip=True)}
    return [job for job in orphans if all(parent.pk in kept for parent in parents[job.pk])]


def _forget_deleted(children: Sequence[int]) -> None:
    """Delete the links to deleted parents of those that die with another one, which may revive them."""
    if children:
        deleted = DependencyTask.primary.exclude(deleted_as="")
        part(links().filter(child_id__in=children, parent_id__in=deleted.values("job_id")))


def part(links: QuerySet[JobDependency]) -> None:
    """Delete these links, in one statement."""
    links._raw_delete(database.alias())  # noqa: SLF001


class _Parent(NamedTuple):
    """A parent that has not completed. ``ended_at`` is None where it has not ended either."""

    pk: int
    status: str
    created_at: dt.datetime
    ended_at: dt.datetime | None


def _uncompleted_parents(children: Sequence[int]) -> dict[int, list[_Parent]]:
    """Return, by child, its parents that have not completed."""
    found: dict[int, list[_Parent]] = defaultdict(list)
    # One plain join. With a subquery for each child, a database may read all jobs that ever died once for each of them.
    rows = (
        links().filter(child_id__in=children).exclude(parent__status=Status.COMPLETED) if children else links().none()
    )
    moments = ("parent__created_at", "parent__canceled_at", "parent__completed_at")
    for child, pk, status, created_at, *ends in rows.values_list("child_id", "parent_id", "parent__status", *moments):
        found[child].append(_Parent(pk, status, created_at, next(filter(None, ends), None)))
    return found


def _failed_parent(child: Job, parents: Iterable[_Parent]) -> _Parent | None:
    """Return the parent that the child ends with: the first that ended without completing, if it had to complete."""
    if child.run_after == RunAfter.ENDED:
        return None
    failed = [parent for parent in parents if parent.status in UNSUCCESSFUL]
    return min(failed, key=lambda parent: (parent.ended_at or parent.created_at, parent.pk), default=None)


def _is_free(child: Job, parents: Sequence[_Parent]) -> bool:
    """Return whether the child waits for none of these parents, which have not completed."""
    if child.run_after == RunAfter.ENDED:
        return all(parent.status in TERMINAL for parent in parents)
    return not parents


def _end_with_parents(children: Sequence[Job], failed_parents: Mapping[int, _Parent]) -> None:
    """End these children as their parents ended. It is not their error, and is not logged as one."""
    moves = [_end_like(failed_parents[child.pk], child.pk) for child in sorted(children, key=lambda job: job.pk)]
    move(moves, sources=[Status.PENDING], actor=SYSTEM, loudest=logging.INFO)


def _end_like(parent: _Parent, child: int) -> Move:
    name = format_job_id(parent.pk, parent.created_at.year)
    if parent.status == Status.CANCELED:
        values: dict[str, Any] = {"canceled_at": NOW, "canceled_by": name, "ready_at": None}
        return Move(
            pk=child,
            to_status=Status.CANCELED,
            message=say("Parent %(job)s was canceled", code="parent_canceled", job=name),
            values=values,
        )
    text = say("Parent %(job)s ended as %(status)s", code="parent_ended", job=name, status=parent.status)
    values = {"error_type": "Permanent", "error_message": text, "error_fingerprint": fingerprint(text)}
    values |= {"completed_at": NOW, "is_orphaned": True, "ready_at": None}
    return Move(pk=child, to_status=Status.DEAD_LETTER, message=text, values=values)


def _revive(children: Sequence[Job]) -> None:
    """Revive children that died with a parent which may complete again.

    Their own children get a task, and the caller walks the tasks until none is left.
    """
    values = {**RESET_FIELDS, "ready_at": None}
    text = say("Its parents may complete again", code="parents_again")
    moves = [Move(pk=job.pk, to_status=Status.PENDING, message=text, values=values) for job in children]
    move(moves, sources=[Status.DEAD_LETTER], actor=SYSTEM)
    tasks = [DependencyTask(job_id=job.pk) for job in children if job.has_children]
    DependencyTask.primary.bulk_create(tasks, batch_size=2_000)


def _release(children: Sequence[int]) -> None:
    """Make these children ready, at their ``run_at`` or now."""
    if children:
        now = database.now()
        ready_at = Case(When(run_at__gt=now, then=F("run_at")), default=place_in_lane(now))
        _jobs(children).update(ready_at=ready_at, is_delayed=Case(When(run_at__gt=now, then=True), default=False))
