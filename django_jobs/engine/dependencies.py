"""What the end of a job means for the jobs that wait for it."""

from __future__ import annotations

import datetime as dt
import functools
import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.db import Error
from django.db.models import Case, F, Q, QuerySet, When

from django_jobs.engine import timing
from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.store import database
from django_jobs.engine.store.values import NOW, Move, Terms, place_in_lane
from django_jobs.engine.transitions import RESET_FIELDS, fingerprint, move
from django_jobs.models import DependencyTask, Job, JobDependency
from django_jobs.models.job import format_job_id
from django_jobs.statuses import TERMINAL, UNSUCCESSFUL, RunAfter, Status
from django_jobs.texts import marked as _
from django_jobs.texts import say

# What the end of a job means for the jobs that wait for it.


# Decides what becomes of jobs that wait for others, from the status that their parents have at this moment.
#
# A child waits until all its parents have completed, or, if it was submitted with ``run_after="ended"``, until all have
# ended. When a parent ends without completing, a child of the first kind ends with it: as Canceled if the parent was
# canceled, else as Dead Letter. A child is decided under its own lock, by reading its parents afterwards.
#
# What died with a parent stays dead when that parent is deleted: nobody can retry it. Until such children have been
# looked at, their links to it stay, and the task of the deleted parent tells how it ended.


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
    locked_parents = {job.pk for job in database.locked(_jobs({parent for _, parent in pairs}).only("pk"), skip=True)}
    _jobs(locked_parents).update(has_children=True)
    return {child for child, parent in pairs if parent not in locked_parents}


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
    parents_by_child: dict[int, list[_Parent]] = defaultdict(list)
    # One plain join. With a subquery for each child, a database may read all jobs that ever died once for each of them.
    rows = (
        links().filter(child_id__in=children).exclude(parent__status=Status.COMPLETED) if children else links().none()
    )
    moments = ("parent__created_at", "parent__canceled_at", "parent__completed_at")
    for child, pk, status, created_at, *ends in rows.values_list("child_id", "parent_id", "parent__status", *moments):
        parents_by_child[child].append(_Parent(pk, status, created_at, next(filter(None, ends), None)))
    return parents_by_child


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
    move(moves, Terms(sources=[Status.PENDING], actor=SYSTEM), loudest=logging.INFO)


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
    move(moves, Terms(sources=[Status.DEAD_LETTER], actor=SYSTEM))
    tasks = [DependencyTask(job_id=job.pk) for job in children if job.has_children]
    DependencyTask.primary.bulk_create(tasks, batch_size=2_000)


def _release(children: Sequence[int]) -> None:
    """Make these children ready, at their ``run_at`` or now."""
    if children:
        now = database.now()
        ready_at = Case(When(run_at__gt=now, then=F("run_at")), default=place_in_lane(now))
        _jobs(children).update(ready_at=ready_at, is_delayed=Case(When(run_at__gt=now, then=True), default=False))


# Follows up what the end of a job, or its retry, means for its parents and children.
#
# Whatever concerns a job's relatives leaves a :class:`DependencyTask` in the same transaction: a submission with
# parents, the end of a job that has children, a retry by hand, the deletion of a parent. After the commit,
# :func:`follow_up` reads how things stand then, and decides each child anew. So the order, the number of
# times and the process do not matter; the scheduler does what a dead process left.
#
# The flag ``has_children`` of a parent is set under the lock of its row. The end of the parent takes that lock too.
# Either it comes first, and whoever links the child sees it; or it comes later, and leaves a task. A child is decided
# under its own lock, by reading its parents afterwards: if two parents end at once, the later decision sees both.
#
# Families move in pages, each a transaction of its own. The task of a family that is larger than a page notes how far
# its children have been looked at, so that whoever comes next goes on there. Who committed the change works on it for a
# short time; the rest is left to the scheduler.
#
# A deleted parent's links are deleted with the page in which its children are looked at, and so its task has no
# position.


logger = logging.getLogger("django_jobs")

TASKS_AT_ONCE: Final = 100
#: Children that one transaction looks at.
PAGE: Final = 500


def hindrances(pks: Iterable[int]) -> dict[int, str]:
    """Return why a retry would be in vain, of each of these jobs for which a parent must complete that ended otherwise.

    A canceled parent is told before others, because it cannot be retried.
    """
    rows = dead_links().filter(child_id__in=pks).order_by("-parent__status", "-parent_id")  # the last one is told
    found = rows.values_list("child_id", "parent_id", "parent__created_at", "parent__status")
    return {pk: _hindrance(format_job_id(parent, moment.year), status) for pk, parent, moment, status in found}


def _hindrance(name: str, status: str) -> str:
    if status == Status.CANCELED:
        return say(_("it waits for %(job)s, which was canceled"), code="parent_canceled", job=name)
    return say(_("it waits for %(job)s, which must be retried first"), code="parent_failed", job=name)


def follow_up_after_commit() -> int:
    """Follow up what was committed just now, for a short time: the caller may be a web request or a worker."""
    return follow_up(timing.FAMILY_CALL_SECONDS)


def follow_up_in_tick() -> int:
    """Follow up what others left, for a part of a tick of the scheduler."""
    # Mostly nothing was: to see that takes no transaction.
    return follow_up(timing.FAMILY_TICK_SECONDS) if DependencyTask.primary.exists() else 0


def follow_up(seconds: float = math.inf) -> int:
    """Work off the tasks, page by page, for so many seconds. Return how many tasks, or pages of large ones, were done.

    What is left then, and tasks whose rows others hold, is the scheduler's. Never raises: the scheduler tries again
    what fails now.
    """
    if _here.is_busy:  # called by the commit of one of its own pages; the loop below goes on
        return 0
    _here.is_busy = True
    try:
        return _follow_up(time.monotonic() + seconds)
    except Error as error:
        logger.warning("event=follow_up_failed error=%r", error)
        return 0
    finally:
        _here.is_busy = False


class _Here(threading.local):
    is_busy = False


_here = _Here()


def _follow_up(until: float) -> int:
    """Walk the tasks until a walk gets none done. Where some wait for a lock, pause for FAMILY_RETRY_SECONDS."""
    total = 0
    pauses = iter(timing.FAMILY_RETRY_SECONDS)
    while True:
        done, skipped = _walk(until)
        total += done
        if time.monotonic() >= until:
            return total
        if done:
            continue  # others may have skipped rows that this walk held
        pause = next(pauses, None) if skipped else None
        if pause is None:
            return total
        time.sleep(pause)


def _walk(until: float) -> tuple[int, int]:
    """Walk all tasks, page by page. Return how many are done and how many must wait for a lock."""
    total = skipped = last = 0
    while True:
        step = database.in_transaction(functools.partial(_one_transaction, last))
        if step.released:
            dispatcher.wake()
        total += step.done
        skipped += step.held
        last = step.last
        if not last or time.monotonic() >= until:
            return total, skipped


class _Step(NamedTuple):
    """What was done: tasks, or pages of large ones; tasks that wait for a lock; children that may start now.

    ``looked_at`` are the children that were looked at, and ``last`` is the id of the last task; 0 behind all of them.
    """

    done: int
    held: int
    released: int
    looked_at: int
    last: int


def _one_transaction(after: int) -> _Step:
    """Work off a page of the tasks behind the id ``after``, or several levels of descendants where they are few."""
    until = time.monotonic() + timing.FAMILY_TRANSACTION_SECONDS
    done = held = released = looked_at = 0
    while True:
        step = _one_page(after)
        done, held, released = done + step.done, held + step.held, released + step.released
        looked_at, after = looked_at + step.looked_at, step.last
        if not after or looked_at >= PAGE or time.monotonic() >= until:
            return _Step(done, held, released, looked_at, after)


def _one_page(after: int) -> _Step:
    """Look at the relatives of some tasks' jobs, in the transaction that is open."""
    rows = DependencyTask.primary.filter(pk__gt=after)
    locked = list(database.locked(rows, skip=True)[:TASKS_AT_ONCE])
    tasks, family, is_part = _page(locked)
    if not tasks:
        return _Step(0, 0, 0, 0, 0)
    # A child may be a task's job itself; once a large family is begun, that has been looked at.
    pks = sorted({task.job_id for task in tasks if not task.position} | set(family))
    decided = decide(pks)
    free = set(family) - decided.held
    _part_from_deleted(tasks, free)
    if is_part and tasks[0].deleted_as:
        done = 1 if free else 0
    else:
        done = _turn_page(tasks[0], family[-1], decided.held) if is_part else _finish(tasks, decided.held)
    is_last = len(locked) < TASKS_AT_ONCE and len(tasks) == len(locked) and not decided.has_left_tasks
    return _Step(done, len(tasks) - done, decided.released, len(pks), 0 if is_last else tasks[-1].pk)


def _page(tasks: list[DependencyTask]) -> tuple[list[DependencyTask], list[int], bool]:
    """Return the first of the tasks, as many as have children for one page, those children, and whether there are more.

    A family that is larger than a page is taken alone, and of it the next children in the order of their ids.
    """
    family: list[int] = []
    while tasks:
        rows = _left_of(tasks).values_list("child_id", flat=True)
        family = list(rows[: PAGE + 1])
        if len(family) <= PAGE:
            break
        if len(tasks) == 1:
            return tasks, list(rows.order_by("child_id")[:PAGE]), True
        tasks = tasks[: len(tasks) // 2]
    return tasks, family, False


def _left_of(tasks: list[DependencyTask]) -> QuerySet[JobDependency]:
    """Return the links to children at whom these tasks have not looked yet."""
    chosen = Q(parent_id__in=[task.job_id for task in tasks if not task.position])
    for task in tasks:
        if task.position:
            chosen |= Q(parent_id=task.job_id, child_id__gt=task.position)
    return links().filter(chosen)


def _part_from_deleted(tasks: list[DependencyTask], free: Iterable[int]) -> None:
    """Delete the links from those of these jobs that are deleted to children whom nobody holds."""
    deleted = [task.job_id for task in tasks if task.deleted_as]
    if deleted:
        part(links().filter(parent_id__in=deleted, child_id__in=sorted(free)))


def _turn_page(task: DependencyTask, last: int, held: set[int]) -> int:
    """Note up to whom the children of a large family are looked at. Those that somebody holds get tasks of their own.

    Return 1, or 0 where the parent itself is held, and so the page is to be looked at again.
    """
    if task.job_id in held:
        return 0
    DependencyTask.primary.bulk_create([DependencyTask(job_id=pk) for pk in sorted(held)])
    DependencyTask.primary.filter(pk=task.pk).update(position=last)
    return 1


def _finish(tasks: list[DependencyTask], held: set[int]) -> int:
    """Delete the tasks of which nobody holds a job or a child, and return how many those were."""
    pks = {task.job_id for task in tasks}
    if held:
        waited_for = links().filter(child_id__in=held, parent_id__in=pks)
        pks -= set(waited_for.values_list("parent_id", flat=True)) | held
    done = [task.pk for task in tasks if task.job_id in pks]
    DependencyTask.primary.filter(pk__in=done).delete()
    return len(done)
