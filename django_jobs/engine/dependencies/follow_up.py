"""Follows up what the end of a job, or its retry, means for its parents and children.

Whatever concerns a job's relatives leaves a :class:`DependencyTask` in the same transaction: a submission with
parents, the end of a job that has children, a retry by hand, the deletion of a parent. After the commit,
:func:`follow_up` reads how things stand then, and decides each child anew (``children``). So the order, the number of
times and the process do not matter; the scheduler does what a dead process left.

The flag ``has_children`` of a parent is set under the lock of its row. The end of the parent takes that lock too.
Either it comes first, and whoever links the child sees it; or it comes later, and leaves a task. A child is decided
under its own lock, by reading its parents afterwards: if two parents end at once, the later decision sees both.

Families move in pages, each a transaction of its own. The task of a family that is larger than a page notes how far its
children have been looked at, so that whoever comes next goes on there. Who committed the change works on it for a short
time; the rest is left to the scheduler.

A deleted parent's links are deleted with the page in which its children are looked at, and so its task has no position.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from collections.abc import Iterable
from typing import Final, NamedTuple

from django.db import Error
from django.db.models import Q, QuerySet

from django_jobs.engine.dependencies import children
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.store import database
from django_jobs.models import DependencyTask, Job, JobDependency
from django_jobs.models.job import format_job_id
from django_jobs.statuses import Status
from django_jobs.texts import marked as _
from django_jobs.texts import say

logger = logging.getLogger("django_jobs")

TASKS_AT_ONCE: Final = 100
#: Children that one transaction looks at.
PAGE: Final = 500
#: A transaction takes up further levels of small families for so many seconds.
LEVELS_SECONDS: Final = 0.05
#: Seconds that whoever changed something, such as a web request, goes on with what follows from it.
COMMIT_SECONDS: Final = 0.3
#: Seconds that a tick of the scheduler may take for it.
TICK_SECONDS: Final = 0.5
PAUSES = (0.005, 0.02, 0.1)


def hindrance(job: Job) -> str | None:
    """Return why a retry of the job would be in vain, or None: a parent that must complete ended without completing."""
    # A canceled one first, because it cannot be retried.
    rows = children.dead_links().filter(child_id=job.pk).order_by("parent__status", "parent_id")
    parent = rows.values_list("parent_id", "parent__created_at", "parent__status").first()
    if parent is None:
        return None
    name = format_job_id(parent[0], parent[1].year)
    if parent[2] == Status.CANCELED:
        return say(_("it waits for %(job)s, which was canceled"), code="parent_canceled", job=name)
    return say(_("it waits for %(job)s, which must be retried first"), code="parent_failed", job=name)


def without_hope(pks: Iterable[int]) -> set[int]:
    """Return those of these jobs for which a parent must complete that ended without completing."""
    return set(children.dead_links().filter(child_id__in=pks).values_list("child_id", flat=True))


def after_commit() -> int:
    """Follow up what was committed just now, for a short time: the caller may be a web request or a worker."""
    return follow_up(COMMIT_SECONDS)


def in_tick() -> int:
    """Follow up what others left, for a part of a tick of the scheduler."""
    # Mostly nothing was: to see that takes no transaction.
    return follow_up(TICK_SECONDS) if DependencyTask.primary.exists() else 0


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
    """Walk the tasks until a walk gets none done. If some wait for a lock, walk again after each of PAUSES."""
    total = 0
    pauses = iter(PAUSES)
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
    until = time.monotonic() + LEVELS_SECONDS
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
    decided = children.decide(pks)
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
    return children.links().filter(chosen)


def _part_from_deleted(tasks: list[DependencyTask], free: Iterable[int]) -> None:
    """Delete the links from those of these jobs that are deleted to children whom nobody holds."""
    deleted = [task.job_id for task in tasks if task.deleted_as]
    if deleted:
        children.part(children.links().filter(parent_id__in=deleted, child_id__in=sorted(free)))


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
        waited_for = children.links().filter(child_id__in=held, parent_id__in=pks)
        pks -= set(waited_for.values_list("parent_id", flat=True)) | held
    done = [task.pk for task in tasks if task.job_id in pks]
    DependencyTask.primary.filter(pk__in=done).delete()
    return len(done)
