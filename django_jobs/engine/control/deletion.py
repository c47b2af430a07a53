"""Deleting ended jobs with their logs, links and keys, in sets.

One transaction deletes a set: the rows of the jobs, all that belongs to each alone, and the links to its parents. It
touches no row of another job, so that its size does not grow with a family. Two things follow after its commit, for
which it leaves rows: the files, and, page by page, the children of which somebody must see to it
that they go on, or stay dead (``dependencies``); the links to them go with that page. Until then these links name a job
that is gone, which reads like no link. What a process that dies leaves there, the scheduler does.
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from django.db import DatabaseError, ProgrammingError
from django.db.models import Count, Q

from django_jobs.engine import dependencies, transitions
from django_jobs.engine.execution import context
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.submission import same_work
from django_jobs.models import AttemptLog, ExecutionLog, FileDeletion, Job, JobCheckpoint, JobStep
from django_jobs.statuses import TERMINAL, UNSUCCESSFUL, RunAfter, Status

logger = logging.getLogger("django_jobs")

#: Links to children that one transaction deletes; where there are more, their pages follow.
LINKS_AT_ONCE: Final = 5_000

_READ: Final = (
    *("pk", "status", "created_at", "completed_at", "canceled_at"),
    *("organization_id", "job_hash", "attempt", "fileless_attempts"),
)
#: Of a link: the child ends with its parent, if that ended without completing, but nobody has looked yet.
_UNDECIDED: Final = Q(child__status=Status.PENDING, child__ready_at=None, child__run_after=RunAfter.COMPLETED)


@dataclass(frozen=True, slots=True)
class Deletion:
    """The ids of the deleted jobs, and the keys of those that the database refused to delete."""

    job_ids: list[str]
    refused: list[int]


def delete_rows(
    pks: Iterable[int], *, release_children: bool = False, ended_before: dt.datetime | None = None
) -> Deletion:
    """Delete those of these jobs that have ended, with their logs; return what became of them.

    A parent stays while it has unfinished children. With ``release_children`` it is deleted, and its children do not
    wait for it any longer: else whoever submits a child could keep the parent for ever. That is for people who may
    delete. What died with a parent stays dead when that parent is deleted. With ``ended_before``, only jobs go that
    ended before that moment: one may have run again since the caller looked.

    The files are left to the scheduler, unless the caller has them deleted after the commit (:func:`delete_files_of`).
    """
    delete = functools.partial(_delete_set, release_children=release_children, ended_before=ended_before)
    job_ids, refused = _halving(sorted(set(pks)), delete)
    return Deletion(job_ids, refused)


def _halving(pks: list[int], delete: Callable[[list[int]], list[str]]) -> tuple[list[str], list[int]]:
    """Delete rows, and return the ids of the deleted jobs and the keys of the refused ones.

    When the database refuses a set, each half is tried, until the refused jobs stand alone. A foreign key of the host's
    that refers to a job is such a case.
    """
    if not pks:
        return [], []
    try:
        return delete(pks), []
    except DatabaseError as error:
        if database.is_lost_connection(error) or database.is_lost_race(error) or isinstance(error, ProgrammingError):
            raise
        if len(pks) == 1:
            job = Job.primary.only("pk", "created_at").filter(pk=pks[0]).first()
            logger.warning("job_id=%s event=job_not_deleted error=%r", job.name if job else pks[0], error)
            return [], pks
    middle = len(pks) // 2
    gone, refused = _halving(pks[:middle], delete)
    more, also_refused = _halving(pks[middle:], delete)
    return gone + more, refused + also_refused


class _Family(NamedTuple):
    """How many children a parent has, and how many of them are not indifferent to its deletion."""

    parent: int
    children: int
    #: Have not ended.
    open: int
    #: End with the parent, if that ended without completing, but nobody has looked yet.
    undecided: int
    #: Died with a parent.
    orphaned: int

    def keeps_parent(self, status: str, *, release_children: bool) -> bool:
        """Return whether the parent, which ended with this status, must stay because of a child.

        One that releases its children stays for a moment longer where a child is about to end with it, which must see
        how it ended.
        """
        return bool(self.undecided and status in UNSUCCESSFUL) if release_children else self.open > 0


def _families(pks: list[int]) -> dict[int, _Family]:
    """Return the family of each of these jobs that has children. It reads them, but neither locks nor returns them."""
    rows = dependencies.links().filter(parent_id__in=pks).values_list("parent_id")
    counted = rows.annotate(
        children_count=Count("pk"),
        open_count=Count("pk", filter=~Q(child__status__in=sorted(TERMINAL))),
        undecided_count=Count("pk", filter=_UNDECIDED),
        orphaned_count=Count("pk", filter=Q(child__is_orphaned=True)),
    )
    return {row[0]: _Family(*row) for row in counted}


def _delete_set(pks: list[int], *, release_children: bool, ended_before: dt.datetime | None) -> list[str]:
    """Delete a set in one transaction, and return the ids of the deleted jobs."""
    if not release_children:
        # Looked at before the transaction begins, too: most that must stay are not locked at all.
        families = _families(pks)
        pks = [pk for pk in pks if pk not in families or not families[pk].open]
    delete = functools.partial(_delete_rows, release_children=release_children, ended_before=ended_before)
    return database.in_transaction(lambda: delete(pks)) if pks else []


def _delete_rows(pks: list[int], *, release_children: bool, ended_before: dt.datetime | None) -> list[str]:
    """Delete the jobs, except those that must stay by now and those of which somebody holds the row."""
    rows = Job.primary.filter(pk__in=pks).only(*_READ)
    ended = {job.pk: job for job in database.locked(rows, skip=True) if _has_ended(job, ended_before)}
    families = _families(list(ended))
    for family in families.values():
        if family.keeps_parent(ended[family.parent].status, release_children=release_children):
            del ended[family.parent]
    jobs = list(ended.values())
    _delete(jobs, _followed_up(family for pk, family in families.items() if pk in ended))
    store().refuse_broken_references()
    return [job.name for job in jobs]


def _has_ended(job: Job, before: dt.datetime | None) -> bool:
    moment = job.completed_at or job.canceled_at
    return job.status in TERMINAL and (before is None or moment is None or moment < before)


def _followed_up(families: Iterable[_Family]) -> set[int]:
    """Return the parents whose children must be looked at, or are too many for their links to go in one statement."""
    child_pks: set[int] = set()
    left = LINKS_AT_ONCE
    for family in families:
        if family.open or family.orphaned or family.children > left:
            child_pks.add(family.parent)
        else:
            left -= family.children
    return child_pks


def _delete(jobs: list[Job], followed_up: set[int]) -> None:
    ids = [job.pk for job in jobs]
    # To ask an object store takes longer than all the rest, and most jobs have no files.
    note_file_deletions(job for job in jobs if job.fileless_attempts != job.attempt)
    same_work.release_keys(jobs)
    alias = database.alias()
    ExecutionLog.primary.filter(job_id__in=ids)._raw_delete(alias)  # noqa: SLF001
    for model in (JobStep, JobCheckpoint, AttemptLog):
        model.primary.filter(job_id__in=ids)._raw_delete(alias)  # noqa: SLF001
    parted = [pk for pk in ids if pk not in followed_up]
    dependencies.part(dependencies.links().filter(Q(parent_id__in=parted) | Q(child_id__in=ids)))
    transitions.note_relatives_of_deleted({job.pk: job.status for job in jobs if job.pk in followed_up})
    Job.primary.filter(pk__in=ids)._raw_delete(alias)  # noqa: SLF001


# Deleting the files of deleted jobs: after the commit, and again until the storage has done it.


#: Rows read at once.
BATCH: Final = 200


def note_file_deletions(jobs: Iterable[Job]) -> None:
    """Note that the files of these jobs are to be deleted; call it in the transaction that deletes the jobs."""
    rows = [FileDeletion(job_id=job.name, organization_pk=str(job.organization_id)) for job in jobs]
    FileDeletion.primary.bulk_create(rows, batch_size=BATCH)


def delete_files_of(job_ids: Sequence[str]) -> None:
    """Delete the noted files of these jobs. What the storage refuses stays noted, and the scheduler tries again."""
    rows = FileDeletion.primary.filter(job_id__in=job_ids)
    _delete_noted(list(rows), math.inf)


class FileSweep:
    """Deletes the noted files of all jobs, step by step, and begins anew at the end."""

    def __init__(self) -> None:
        self._after = ""
        #: Whether the last step reached the end; the next one begins anew then.
        self.is_through = False

    def step(self, seconds: float = math.inf) -> int:
        """Delete the files of the next jobs for ``seconds``, of at least one job, and return of how many jobs."""
        until = time.monotonic() + seconds
        count = 0
        self.is_through = False
        while not self.is_through:
            rows = FileDeletion.primary.filter(job_id__gt=self._after).order_by("job_id")
            batch = list(rows[:BATCH])
            tried, gone = _delete_noted(batch, until)
            count += gone
            self.is_through = len(batch) < BATCH and tried == len(batch)
            self._after = "" if self.is_through else batch[tried - 1].job_id
            if time.monotonic() >= until:
                break
        return count


def _delete_noted(batch: Sequence[FileDeletion], until: float) -> tuple[int, int]:
    """Return how many jobs were tried until that moment, and of how many the files are gone."""
    gone: list[str] = []
    tried = 0
    for row in batch:
        tried += 1
        if _delete_files(row):
            gone.append(row.job_id)
        if time.monotonic() >= until:
            break
    FileDeletion.primary.filter(job_id__in=gone).delete()
    return tried, len(gone)


def _delete_files(row: FileDeletion) -> bool:
    try:
        context.delete_outputs(row.organization_pk, row.job_id)
    except Exception as error:  # noqa: BLE001  (the host's storage; the scheduler tries again)
        logger.warning("job_id=%s event=files_not_deleted error=%r", row.job_id, error)
        return False
    return True
