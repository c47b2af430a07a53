"""Deleting the files of deleted jobs: after the commit, and again until the storage has done it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from django_jobs.engine.execution import outputs
from django_jobs.models import FileDeletion, Job

logger = logging.getLogger("django_jobs")

#: Rows read at once.
BATCH: Final = 200


def note(jobs: Iterable[Job]) -> None:
    """Note that the files of these jobs are to be deleted; call it in the transaction that deletes the jobs."""
    rows = [FileDeletion(job_id=job.name, organization_pk=str(job.organization_id)) for job in jobs]
    FileDeletion.primary.bulk_create(rows, batch_size=BATCH)


def delete_files_of(job_ids: Sequence[str]) -> None:
    """Delete the noted files of these jobs. What the storage refuses stays noted, and the scheduler tries again."""
    rows = FileDeletion.primary.filter(job_id__in=job_ids)
    _delete(list(rows), math.inf)


class Sweep:
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
            done = _delete(batch, until)
            count += done.gone
            self.is_through = len(batch) < BATCH and done.tried == len(batch)
            self._after = "" if self.is_through else batch[done.tried - 1].job_id
            if time.monotonic() >= until:
                break
        return count


class _Done(NamedTuple):
    """How many jobs were tried, and of how many the files are gone."""

    tried: int
    gone: int


def _delete(batch: Sequence[FileDeletion], until: float) -> _Done:
    gone: list[str] = []
    tried = 0
    for row in batch:
        tried += 1
        if _delete_files(row):
            gone.append(row.job_id)
        if time.monotonic() >= until:
            break
    FileDeletion.primary.filter(job_id__in=gone).delete()
    return _Done(tried, len(gone))


def _delete_files(row: FileDeletion) -> bool:
    try:
        outputs.delete_all(row.organization_pk, row.job_id)
    except Exception as error:  # noqa: BLE001  (the host's storage; the scheduler tries again)
        logger.warning("job_id=%s event=files_not_deleted error=%r", row.job_id, error)
        return False
    return True
