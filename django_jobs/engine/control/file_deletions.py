"""Deleting the files of jobs that are gone: after the commit that deleted them, and until the storage has done it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from django_jobs.engine.execution import outputs
from django_jobs.models import FileDeletion, Job

logger = logging.getLogger("django_jobs")

BATCH: Final = 200
#: How long a tick of the scheduler may spend on it: files in an object store take their time.
TICK_SECONDS: Final = 0.5


def note(jobs: Iterable[Job]) -> None:
    """Note, in the transaction that deletes these jobs, that their files are to go."""
    rows = [FileDeletion(job_id=job.name, organization_pk=str(job.organization_id)) for job in jobs]
    FileDeletion.primary.bulk_create(rows, batch_size=BATCH)


def delete_files_of(job_ids: Sequence[str]) -> None:
    """Delete the files of these jobs that are noted. What the storage refuses stays noted, for the scheduler."""
    rows = FileDeletion.primary.filter(job_id__in=job_ids)
    _delete(list(rows), math.inf)


class Sweep:
    """Walks over everything that is noted, again and again."""

    def __init__(self) -> None:
        self._after = ""
        #: Whether the last step came to the end, after which the next one begins anew.
        self.is_through = False

    def step(self, seconds: float = math.inf) -> int:
        """Delete the files of the next jobs, for so many seconds; of how many jobs. At least one is tried."""
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
