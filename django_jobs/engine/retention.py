"""Deleting what ended long ago: jobs, their logs and files, in small batches."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

from django.db.models import Q, QuerySet

from django_jobs.conf import jobs_settings
from django_jobs.engine import database, duplicates, outputs, rollups
from django_jobs.models import ExecutionLog, Job, JobDependency
from django_jobs.statuses import TERMINAL

logger = logging.getLogger("django_jobs")

BATCH = 200


class Pruner:
    """Walks the oldest jobs by primary key, so that a pass costs what it looks at, not the table's size."""

    def __init__(self, days: float | None = None, organization_pk: Any = None) -> None:
        self.days = days
        self.organization_pk = organization_pk
        self._after = 0

    def prune_batch(self) -> int:
        """Delete the next old jobs; how many went. 0 at the end of a pass, after which the next one starts."""
        while True:
            rows = list(self._next().values_list("pk", "status", "completed_at", "canceled_at")[:BATCH])
            if not rows:
                self._after = 0
                if self._cutoff() is None:
                    rollups.forget_organization(self.organization_pk)
                return 0
            self._after = rows[-1][0]
            cutoff = self._cutoff()
            old = [
                pk for pk, status, done, canceled in rows if status in TERMINAL and _before(done or canceled, cutoff)
            ]
            count = delete_jobs(old) if old else 0
            if count:
                return count

    def _cutoff(self) -> dt.datetime | None:
        """Jobs that ended before this go; None: whatever ended goes."""
        if self.organization_pk is not None and self.days is None:
            return None
        days = self.days if self.days is not None else float(jobs_settings.RETENTION_DAYS)
        return database.now() - dt.timedelta(days=days)

    def _next(self) -> QuerySet[Job]:
        rows = Job.objects.using(database.alias()).filter(pk__gt=self._after).order_by("pk")
        if self.organization_pk is not None:
            rows = rows.filter(organization_id=self.organization_pk)
        cutoff = self._cutoff()
        # What ended before the cutoff was created before it.
        return rows if cutoff is None else rows.filter(created_at__lt=cutoff)


def _before(moment: dt.datetime | None, cutoff: dt.datetime | None) -> bool:
    return cutoff is None or moment is None or moment < cutoff


def delete_jobs(pks: list[int]) -> int:
    """Delete ended jobs with logs and files; how many went. A parent stays while it has unfinished children.

    Files go first: of a job whose files cannot be deleted now the row stays too, and with it the way to them.
    """
    gone = [job.pk for job in _deletable(pks) if _delete_files(job)]
    return database.in_transaction(lambda: _delete_rows(gone)) if gone else 0


def _deletable(pks: list[int], *, lock: bool = False) -> list[Job]:
    rows: QuerySet[Job] = Job.objects.using(database.alias()).filter(pk__in=pks)
    if lock:
        rows = database.locked(rows, skip=True)
    jobs = [job for job in rows.defer("input_parameters", "result", "metadata") if job.status in TERMINAL]
    links = JobDependency.objects.using(database.alias()).filter(parent_id__in=[job.pk for job in jobs])
    needed = set(links.exclude(child__status__in=sorted(TERMINAL)).values_list("parent_id", flat=True))
    return [job for job in jobs if job.pk not in needed]


def _delete_files(job: Job) -> bool:
    try:
        outputs.delete_all(job.organization_id, job.name)
    except Exception as error:  # noqa: BLE001  (the host's storage; the next pass tries again)
        logger.warning("job_id=%s event=files_not_deleted error=%r", job.name, error)
        return False
    return True


def _delete_rows(pks: list[int]) -> int:
    jobs = _deletable(pks, lock=True)
    ids = [job.pk for job in jobs]
    duplicates.release(jobs)
    ExecutionLog.objects.using(database.alias()).filter(job_id__in=ids)._raw_delete(database.alias())  # noqa: SLF001
    links = JobDependency.objects.using(database.alias()).filter(Q(parent_id__in=ids) | Q(child_id__in=ids))
    links._raw_delete(database.alias())  # noqa: SLF001
    Job.objects.using(database.alias()).filter(pk__in=ids)._raw_delete(database.alias())  # noqa: SLF001
    return len(ids)
