"""Deleting what ended long ago: jobs and their logs, in small batches. Their files go after them."""

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

BATCH = 200
#: How long a tick of the scheduler may spend on deleting.
TICK_SECONDS: Final = 0.5
#: What the database kept is tried again after so long.
REFUSED_SECONDS: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Deletion:
    """The ids of the jobs that went, and the keys of those that the database keeps."""

    job_ids: list[str]
    refused: list[int]


class Pruner:
    """Walks the oldest jobs by primary key, so that a pass costs what it looks at, not the table's size."""

    def __init__(self, days: float | None = None, organization_pk: Any = None) -> None:
        self.days = days
        self.organization_pk = organization_pk
        #: Whether the last batch came to the end of a pass, after which the next one starts.
        self.is_through = False
        self._after = 0
        self._refused: set[int] = set()
        self._refused_until = 0.0

    def prune_batch(self, seconds: float = math.inf) -> int:
        """Delete the next old jobs; how many went. 0 at the end of a pass, or when ``seconds`` are over."""
        until = time.monotonic() + seconds
        self.is_through = False
        while True:
            rows = list(self._next().values_list("pk", "status", "completed_at", "canceled_at")[:BATCH])
            if not rows:
                self._end_pass()
                return 0
            deletion = delete_rows(self._old(rows))
            # Past those that the database refuses, too: they hold up no other.
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
        """Jobs that ended before this go; None: whatever ended goes."""
        if self.organization_pk is not None and self.days is None:
            return None
        days = self.days if self.days is not None else float(jobs_settings.RETENTION_DAYS)
        return database.now() - dt.timedelta(days=days)

    def _next(self) -> QuerySet[Job]:
        rows = Job.primary.filter(pk__gt=self._after).order_by("pk")
        if self.organization_pk is not None:
            rows = rows.filter(organization_id=self.organization_pk)
        cutoff = self._cutoff()
        # What ended before the cutoff was created before it.
        return rows if cutoff is None else rows.filter(created_at__lt=cutoff)


def _before(moment: dt.datetime | None, cutoff: dt.datetime | None) -> bool:
    return cutoff is None or moment is None or moment < cutoff


def delete_jobs(pks: list[int], *, release_children: bool = False) -> int:
    """Delete ended jobs with logs and files; how many went. A parent stays while it has unfinished children.

    With ``release_children``, for a person who may delete, the parent goes and its children wait for it no longer:
    else whoever submits a child could keep the parent for ever. Files go after the commit, and those of a job that
    stays are not touched. Where the storage cannot delete them now, the scheduler tries again.
    """
    deletion = delete_rows(pks, release_children=release_children)
    database.on_commit(lambda: file_deletions.delete_files_of(deletion.job_ids))
    return len(deletion.job_ids)


def delete_rows(pks: list[int], *, release_children: bool = False) -> Deletion:
    """As :func:`delete_jobs`, and leave the files to the scheduler."""
    jobs = _deletable(sorted(pks), release_children=release_children) if pks else []
    job_ids, refused = _halving(jobs, release_children=release_children)
    return Deletion(job_ids, refused)


def _halving(jobs: list[Job], *, release_children: bool) -> tuple[list[str], list[int]]:
    """Delete rows; if the database refuses a set, its halves, until the culprits stand alone: which went, and those.

    A culprit is, for example, a job that a foreign key of the host's refers to.
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
        # Only for a moment: a child that is about to end because its parent did must see how that ended.
        links = links.filter(parent__status__in=sorted(UNSUCCESSFUL), child__run_after=RunAfter.COMPLETED)
        links = links.filter(child__status=Status.PENDING, child__ready_at__isnull=True)
    needed = set(links.values_list("parent_id", flat=True))
    return [job for job in jobs if job.pk not in needed]


def _open_links(parents: list[int]) -> QuerySet[JobDependency]:
    """Those of unfinished children to these parents."""
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
