"""What must hold for equal work: within the window there is one job of it, and its key names that job."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Iterator

from django_jobs.statuses import UNSUCCESSFUL, Status
from lab.faults.tables import JobRow, Tables


def findings(tables: Tables, *, may_repeat: bool) -> Iterator[str]:
    """Yield equal jobs that should have kept each other out, and keys that name the wrong job."""
    for key, pk in tables.keys:
        job = tables.jobs.get(pk)
        if job is None:
            yield f"A duplicate key names job {pk}, which is not there."
        elif job.job_hash != key:
            yield f"A duplicate key names job {pk}, which does other work."
    if may_repeat:
        return
    equal: dict[str, list[JobRow]] = defaultdict(list)
    for job in tables.jobs.values():
        kind = tables.types.get(job.job_type_id)
        if job.status not in UNSUCCESSFUL and kind is not None and kind.deduplication_window:
            equal[job.job_hash].append(job)
    for jobs in equal.values():
        for earlier, later in itertools.pairwise(jobs):
            window = dt.timedelta(seconds=tables.types[later.job_type_id].deduplication_window)
            if later.created_at < earlier.created_at + window and _kept_out(tables, earlier, later.created_at):
                yield f"Jobs {earlier.pk} and {later.pk} do the same work within its window."


def _kept_out(tables: Tables, job: JobRow, moment: dt.datetime) -> bool:
    """Return whether the job kept equal work out at that moment. It did not while it was canceled or dead."""
    status: str = Status.PENDING
    for change in tables.histories.get(job.pk, ()):
        if change.timestamp > moment:
            break
        status = change.to_status
    return status not in UNSUCCESSFUL
