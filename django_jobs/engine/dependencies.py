"""Parents and children: who starts, dies or lives again because of how another job stands.

Whatever concerns a job's relatives leaves a :class:`DependencyTask` in the same transaction: a submission with
parents, the end of a job that has children, a retry by hand. After the commit :func:`follow_up` looks at how things
stand then, and decides each child anew; so it does not matter in which order, how often, or by whom it is done, and
the scheduler does what a dead process left.

A parent learns that it has children under its row's lock. Its end, which takes that lock too, either comes first and
is seen by who links the child, or comes later and leaves a task. A child is decided under its own lock, by reading
its parents afterwards: of two parents that end at once, the later decision sees both.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db import Error
from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Coalesce, Greatest

from django_jobs.engine import database, dispatch
from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.fingerprints import fingerprint
from django_jobs.engine.transitions import NOW, Move, move
from django_jobs.engine.transitions.lives import NEW_LIFE
from django_jobs.models import DependencyTask, Job, JobDependency
from django_jobs.models.job import format_job_id
from django_jobs.statuses import Status

logger = logging.getLogger("django_jobs")

TASKS_AT_ONCE = 100
CHILDREN_AT_ONCE = 2_000
DEAD = (Status.CANCELED, Status.DEAD_LETTER)
PAUSES = (0.005, 0.02, 0.1)
#: A job that waits for parents, or died with one. Whatever makes it so leaves a task.
_UNDECIDED = Q(status=Status.PENDING, ready_at__isnull=True) | Q(status=Status.DEAD_LETTER, is_orphaned=True)


def link(families: Iterable[tuple[int, Sequence[int]]]) -> None:
    """Write (child, its parents) of new jobs, in their transaction."""
    links = [JobDependency(child_id=child, parent_id=parent) for child, parents in families for parent in parents]
    JobDependency.objects.using(database.alias()).bulk_create(links, batch_size=2_000)
    remind({item.child_id for item in links})


def remind(pks: Iterable[int]) -> None:
    """Have the relatives of these jobs looked at once the open transaction is committed."""
    tasks = [DependencyTask(job_id=pk) for pk in sorted(pks)]
    DependencyTask.objects.using(database.alias()).bulk_create(tasks, batch_size=2_000)
    if tasks:
        database.on_commit(follow_up)


def dead_parent(job: Job) -> str | None:
    """The id of a parent that ended without completing, if there is one."""
    parents = Job.objects.using(database.alias()).filter(child_links__child=job, status__in=DEAD).order_by("pk")
    parent = parents.only("pk", "created_at").first()
    return None if parent is None else parent.name


def follow_up() -> int:
    """Do what is outstanding, set by set; how many tasks were done. What others hold now is left to the scheduler.

    Never raises: what fails now, the scheduler tries again.
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
    """Walk the tasks again and again while that gets any done, or some wait for a lock and there is a pause left."""
    total = 0
    pauses = iter(PAUSES)
    while True:
        done, skipped = _walk()
        total += done
        if done:
            continue  # meanwhile others may have left what they found held by this one
        pause = next(pauses, None) if skipped else None
        if pause is None:
            return total
        time.sleep(pause)


def _walk() -> tuple[int, int]:
    """All tasks set by set: how many are done, how many must wait. Those that must wait do not stop those behind."""
    total = skipped = last = 0
    while True:
        done, held, released, last = database.in_transaction(functools.partial(_one_set, last))
        if released:
            dispatch.wake()
        total += done
        skipped += held
        if not last:
            return total, skipped


def _one_set(after: int) -> tuple[int, int, int, int]:
    """Some tasks behind ``after``: how many are done, how many must wait for somebody's lock, how many children may
    start now, and the last task if there may be more.
    """
    rows = DependencyTask.objects.using(database.alias())
    tasks = list(database.locked(rows.filter(pk__gt=after), skip=True)[:TASKS_AT_ONCE])
    pks = {task.job_id for task in tasks}
    if not pks:
        return 0, 0, 0, 0
    held: set[int] = set()
    released = 0
    for chunk in _chunks(_concerned(pks)):
        busy, ready = _decide(chunk)
        held |= busy
        released += ready
    if held:
        pks -= set(_links().filter(child_id__in=held, parent_id__in=pks).values_list("parent_id", flat=True)) | held
    done = [task.pk for task in tasks if task.job_id in pks]
    rows.filter(pk__in=done).delete()
    last = tasks[-1].pk if len(tasks) == TASKS_AT_ONCE else 0
    return len(done), len(tasks) - len(done), released, last


def _concerned(pks: set[int]) -> list[int]:
    """The jobs of the tasks, as children, and their children, in ascending order."""
    return sorted(pks | set(_links().filter(parent_id__in=pks).values_list("child_id", flat=True)))


def _links() -> QuerySet[JobDependency]:
    return JobDependency.objects.using(database.alias()).order_by()


def _chunks(pks: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(pks), CHILDREN_AT_ONCE):
        yield pks[start : start + CHILDREN_AT_ONCE]


def _decide(pks: list[int]) -> tuple[set[int], int]:
    """Let each of these children start, die, live again, or wait; (those that somebody holds, how many may start)."""
    strangers = _introduce(pks)
    rows = Job.objects.using(database.alias()).filter(pk__in=set(pks) - strangers)
    concerned = set(rows.filter(_UNDECIDED).values_list("pk", flat=True))
    if not concerned:
        return strangers, 0
    rows = Job.objects.using(database.alias()).filter(pk__in=concerned)
    children = list(database.locked(rows.only("pk", "status", "ready_at", "is_orphaned", "has_children"), skip=True))
    waiting = [job for job in children if job.status == Status.PENDING and job.ready_at is None]
    orphans = [job for job in children if job.status == Status.DEAD_LETTER and job.is_orphaned]
    known = [job.pk for job in waiting + orphans]
    killers = _killers(known) if known else {}
    revived = [job for job in orphans if job.pk not in killers]
    _revive(revived)
    _bury([job for job in waiting if job.pk in killers], killers)
    candidates = [job.pk for job in [*waiting, *revived] if job.pk not in killers]
    held = strangers | (concerned - {job.pk for job in children})
    return held, _release(candidates) if candidates else 0


def _introduce(pks: list[int]) -> set[int]:
    """Tell parents that they have children, under their locks; the children of those that somebody holds."""
    unknown = _links().filter(child_id__in=pks, parent__has_children=False)
    links = list(unknown.values_list("child_id", "parent_id"))
    if not links:
        return set()
    rows = Job.objects.using(database.alias()).filter(pk__in={parent for _, parent in links})
    found = {job.pk for job in database.locked(rows.only("pk"), skip=True)}
    Job.objects.using(database.alias()).filter(pk__in=found).update(has_children=True)
    return {child for child, parent in links if parent not in found}


def _killers(children: list[int]) -> dict[int, Job]:
    """Child by child, the first of its parents that ended without completing."""
    dead = _links().filter(child_id__in=children, parent__status__in=DEAD)
    first = dict(dead.values_list("child_id").annotate(parent=Min("parent_id")))
    parents = Job.objects.using(database.alias()).in_bulk(set(first.values()))
    return {child: parents[parent] for child, parent in first.items()}


def _bury(children: list[Job], killers: dict[int, Job]) -> None:
    groups: dict[str, list[Move]] = defaultdict(list)
    for child in children:
        parent = killers[child.pk]
        text = f"Parent {format_job_id(parent.pk, parent.created_at.year)} ended as {parent.status}"
        values: dict[str, Any] = {"error_type": "Permanent", "error_message": text}
        values["error_fingerprint"] = fingerprint(text)
        values |= {"completed_at": NOW, "is_orphaned": True, "ready_at": None}
        groups[text].append(Move(pk=child.pk, to_status=Status.DEAD_LETTER, message=text, values=values))
    moves = sorted((item for group in groups.values() for item in group), key=lambda item: item.pk)
    move(moves, sources=[Status.PENDING], actor=SYSTEM)


def _revive(children: list[Job]) -> None:
    """Give those that died with a parent a new life, since it has one; their own children follow by their tasks."""
    values = {**NEW_LIFE, "ready_at": None}
    moves = [
        Move(pk=job.pk, to_status=Status.PENDING, message="Its parents may complete again", values=values)
        for job in children
    ]
    move(moves, sources=[Status.DEAD_LETTER], actor=SYSTEM)
    remind(job.pk for job in children if job.has_children)


def _release(children: list[int]) -> int:
    """Make those ready whose parents have all completed."""
    open_links = JobDependency.objects.filter(child_id=OuterRef("pk")).exclude(parent__status=Status.COMPLETED)
    rows = Job.objects.using(database.alias()).filter(pk__in=children)
    free = list(rows.exclude(Exists(open_links)).values_list("pk", flat=True))
    now = Value(database.now())
    Job.objects.using(database.alias()).filter(pk__in=free).update(ready_at=Greatest(Coalesce(F("run_at"), now), now))
    return len(free)
