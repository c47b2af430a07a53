"""Deleting jobs that ended long ago, with their logs, in small batches. Their files are deleted afterwards."""

from __future__ import annotations

import datetime as dt
import logging
import math
import time
from dataclasses import dataclass
from typing import Any, Final

from django.db import DatabaseError, ProgrammingError
from django.db.models import Q, QuerySet

from django_jobs.conf import jobs_settings
from django_jobs.engine.control import file_deletions
from django_jobs.engine.insight import rollups
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.submission import duplicates
from django_jobs.engine.transitions import relatives
from django_jobs.models import ExecutionLog, Job, JobDependency
from django_jobs.statuses import TERMINAL, UNSUCCESSFUL, RunAfter, Status

logger = logging.getLogger("django_jobs")

#: Jobs looked at and deleted at once.
BATCH: Final = 200
#: Seconds that a tick of the scheduler may spend on deleting.
TICK_SECONDS: Final = 0.5
#: Seconds after which a job that the database refused to delete is tried again.
REFUSED_SECONDS: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Deletion:
    """The ids of the deleted jobs, and the keys of those that the database refused to delete."""

    job_ids: list[str]
    refused: list[int]


class Pruner:
    """Deletes old jobs in passes over the primary key; a pass looks at no job that was created after the cutoff."""

    def __init__(self, days: float | None = None, organization_pk: Any = None) -> None:
        self.days = days
        self.organization_pk = organization_pk
        #: Whether the last batch came to the end of a pass; the next one begins a new pass then.
        self.is_through = False
        self._after = 0
        self._refused: set[int] = set()
        self._refused_until = 0.0

    def prune_batch(self, seconds: float = math.inf) -> int:
        """Delete the next old jobs and return how many. Return 0 at the end of a pass, or when ``seconds`` are over."""
        until = time.monotonic() + seconds
        self.is_through = False
        while True:
            rows = list(self._next().values_list("pk", "status", "completed_at", "canceled_at")[:BATCH])
            if not rows:
                self._end_pass()
                return 0
            deletion = delete_rows(self._old(rows))
            # Go on behind the jobs that the database refuses, too: they hold up no other.
            self._after = rows[-1][0]
            self._note_refused(deletion.refused)
            if deletion.job_ids or time.monotonic() >= until:
                return len(deletion.job_ids)

    def _note_refused(self, pks: list[int]) -> None:
        if not self._refused:
            self._refused_until = time.monotonic() + REFUSED_SECONDS
        self._refused.update(pks)

    def _end_pass(self) -> None:
        self.is_through = True
        self._after = 0
        if time.monotonic() >= self._refused_until:
            self._refused.clear()
        if self._cutoff() is None:
            rollups.forget_organization(self.organization_pk)

    def _old(self, rows: list[tuple[Any, ...]]) -> list[int]:
        cutoff = self._cutoff()
        return [
            pk
            for pk, status, done, canceled in rows
            if status in TERMINAL and _before(done or canceled, cutoff) and pk not in self._refused
        ]

    def _cutoff(self) -> dt.datetime | None:
        """Return the moment before which a job must have ended to be deleted; None: every job that ended is."""
        if self.organization_pk is not None and self.days is None:
            return None
        days = self.days if self.days is not None else float(jobs_settings.RETENTION_DAYS)
        return database.now() - dt.timedelta(days=days)

    def _next(self) -> QuerySet[Job]:
        rows = Job.primary.filter(pk__gt=self._after).order_by("pk")
        if self.organization_pk is not None:
            rows = rows.filter(organization_id=self.organization_pk)
        cutoff = self._cutoff()
        # A job that ended before the cutoff was created before it.
        return rows if cutoff is None else rows.filter(created_at__lt=cutoff)


def _before(moment: dt.datetime | None, cutoff: dt.datetime | None) -> bool:
    return cutoff is None or moment is None or moment < cutoff


def delete_jobs(pks: list[int], *, release_children: bool = False) -> int:
    """Delete those of these jobs that have ended, with logs and files, and return how many.

    A parent stays while it has unfinished children. With ``release_children`` it is deleted, and its children do not
    wait for it any longer: else whoever submits a child could keep the parent for ever. That is for people who may
    delete. Files are deleted after the commit. Where the storage fails, the scheduler tries again.
    """
    deletion = delete_rows(pks, release_children=release_children)
    database.on_commit(lambda: file_deletions.delete_files_of(deletion.job_ids))
    return len(deletion.job_ids)


def delete_rows(pks: list[int], *, release_children: bool = False) -> Deletion:
    """Delete jobs like :func:`delete_jobs`, but leave their files to the scheduler; return what became of them."""
    jobs = _deletable(sorted(pks), release_children=release_children) if pks else []
    job_ids, refused = _halving(jobs, release_children=release_children)
    return Deletion(job_ids, refused)


def _halving(jobs: list[Job], *, release_children: bool) -> tuple[list[str], list[int]]:
    """Delete rows, and return the ids of the deleted jobs and the keys of the refused ones.

    When the database refuses a set, each half is tried, until the refused jobs stand alone. A foreign key of the host's
    that refers to a job is such a case.
    """
    if not jobs:
        return [], []
    try:
        pks = [job.pk for job in jobs]
        return database.in_transaction(lambda: _delete_rows(pks, release_children=release_children)), []
    except DatabaseError as error:
        if database.is_lost_connection(error) or database.is_lost_race(error) or isinstance(error, ProgrammingError):
            raise
        if len(jobs) == 1:
            logger.warning("job_id=%s event=job_not_deleted error=%r", jobs[0].name, error)
            return [], [jobs[0].pk]
    middle = len(jobs) // 2
    gone, refused = _halving(jobs[:middle], release_children=release_children)
    more, also_refused = _halving(jobs[middle:], release_children=release_children)
    return gone + more, refused + also_refused


def _deletable(pks: list[int], *, release_children: bool, lock: bool = False) -> list[Job]:
    rows: QuerySet[Job] = Job.primary.filter(pk__in=pks)
    if lock:
        rows = database.locked(rows, skip=True)
    jobs = [job for job in rows.defer("input_parameters", "result", "metadata") if job.status in TERMINAL]
    links = _open_links([job.pk for job in jobs])
    if release_children:
        # These stay for a moment longer: a child that is about to end with its parent must see how the parent ended.
        links = links.filter(parent__status__in=sorted(UNSUCCESSFUL), child__run_after=RunAfter.COMPLETED)
        links = links.filter(child__status=Status.PENDING, child__ready_at__isnull=True)
    needed = set(links.values_list("parent_id", flat=True))
    return [job for job in jobs if job.pk not in needed]


def _open_links(parents: list[int]) -> QuerySet[JobDependency]:
    """Return the links of unfinished children to these parents."""
    links = JobDependency.primary.filter(parent_id__in=parents)
    return links.exclude(child__status__in=sorted(TERMINAL))


def _delete_rows(pks: list[int], *, release_children: bool) -> list[str]:
    jobs = _deletable(pks, release_children=release_children, lock=True)
    ids = [job.pk for job in jobs]
    released = set(_open_links(ids).values_list("child_id", flat=True)) if release_children else ()
    file_deletions.note(jobs)
    duplicates.release(jobs)
    ExecutionLog.primary.filter(job_id__in=ids)._raw_delete(database.alias())  # noqa: SLF001
    links = JobDependency.primary.filter(Q(parent_id__in=ids) | Q(child_id__in=ids))
    links._raw_delete(database.alias())  # noqa: SLF001
    Job.primary.filter(pk__in=ids)._raw_delete(database.alias())  # noqa: SLF001
    relatives.remind(released)
    store().refuse_broken_references()
    return [job.name for job in jobs]
