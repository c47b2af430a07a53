"""Follows up what the end of a job, or its retry, means for its parents and children.

Whatever concerns a job's relatives leaves a :class:`DependencyTask` in the same transaction: a submission with
parents, the end of a job that has children, a retry by hand. After the commit, :func:`follow_up` reads how things stand
then, and decides each child anew (``children``). So the order, the number of times and the process do not matter; the
scheduler does what a dead process left.

The flag ``has_children`` of a parent is set under the lock of its row. The end of the parent takes that lock too.
Either it comes first, and whoever links the child sees it; or it comes later, and leaves a task. A child is decided
under its own lock, by reading its parents afterwards: if two parents end at once, the later decision sees both.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Iterable, Iterator

from django.db import Error

from django_jobs.engine.dependencies import children
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.store import database
from django_jobs.models import DependencyTask, Job
from django_jobs.models.job import format_job_id
from django_jobs.statuses import Status

logger = logging.getLogger("django_jobs")

TASKS_AT_ONCE = 100
CHILDREN_AT_ONCE = 2_000
PAUSES = (0.005, 0.02, 0.1)


def hindrance(job: Job) -> str | None:
    """Return why a retry of the job would be in vain, or None: a parent that must complete ended without completing."""
    # A canceled one first, because it cannot be retried.
    rows = children.dead_links().filter(child_id=job.pk).order_by("parent__status", "parent_id")
    parent = rows.values_list("parent_id", "parent__created_at", "parent__status").first()
    if parent is None:
        return None
    name = format_job_id(parent[0], parent[1].year)
    what = "was canceled" if parent[2] == Status.CANCELED else "must be retried first"
    return f"it waits for {name}, which {what}"


def without_hope(pks: Iterable[int]) -> set[int]:
    """Return those of these jobs for which a parent must complete that ended without completing."""
    return set(children.dead_links().filter(child_id__in=pks).values_list("child_id", flat=True))


def follow_up() -> int:
    """Work off the tasks, set by set. Return how many were done.

    Tasks whose rows others hold are left to the scheduler. Never raises: the scheduler tries again what fails now.
    """
    if _here.is_busy:  # called by the commit of one of its own sets; the loop below goes on
        return 0
    _here.is_busy = True
    try:
        return _follow_up()
    except Error as error:
        logger.warning("event=follow_up_failed error=%r", error)
        return 0
    finally:
        _here.is_busy = False


class _Here(threading.local):
    is_busy = False


_here = _Here()


def _follow_up() -> int:
    """Walk the tasks until a walk gets none done. If some wait for a lock, walk again after each of PAUSES."""
    total = 0
    pauses = iter(PAUSES)
    while True:
        done, skipped = _walk()
        total += done
        if done:
            continue  # others may have skipped rows that this walk held
        pause = next(pauses, None) if skipped else None
        if pause is None:
            return total
        time.sleep(pause)


def _walk() -> tuple[int, int]:
    """Walk all tasks, set by set. Return how many are done and how many must wait for a lock."""
    total = skipped = last = 0
    while True:
        done, held, released, last = database.in_transaction(functools.partial(_one_set, last))
        if released:
            dispatcher.wake()
        total += done
        skipped += held
        if not last:
            return total, skipped


def _one_set(after: int) -> tuple[int, int, int, int]:
    """Work off some tasks behind the id ``after``.

    Return how many are done, how many must wait for a lock, how many children may start now, and the id of the last
    task; 0 when there are no more.
    """
    rows = DependencyTask.primary.all()
    tasks = list(database.locked(rows.filter(pk__gt=after), skip=True)[:TASKS_AT_ONCE])
    pks = {task.job_id for task in tasks}
    if not pks:
        return 0, 0, 0, 0
    held: set[int] = set()
    released = 0
    for chunk in _chunks(_concerned(pks)):
        busy, ready = children.decide(chunk)
        held |= busy
        released += ready
    if held:
        waited_for = children.links().filter(child_id__in=held, parent_id__in=pks)
        pks -= set(waited_for.values_list("parent_id", flat=True)) | held
    done = [task.pk for task in tasks if task.job_id in pks]
    rows.filter(pk__in=done).delete()
    last = tasks[-1].pk if len(tasks) == TASKS_AT_ONCE else 0
    return len(done), len(tasks) - len(done), released, last


def _concerned(pks: set[int]) -> list[int]:
    """Return the jobs of the tasks, which may be children, and their children, in ascending order."""
    return sorted(pks | set(children.links().filter(parent_id__in=pks).values_list("child_id", flat=True)))


def _chunks(pks: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(pks), CHILDREN_AT_ONCE):
        yield pks[start : start + CHILDREN_AT_ONCE]
