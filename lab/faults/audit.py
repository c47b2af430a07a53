"""Looks at every row and every log row, and says which promises do not hold, each in a sentence.

Call :func:`audit` when nothing works on the jobs: it reads table by table, a few statements whatever the number of
jobs. With ``at_rest`` the work must be over too: workers and scheduler had time for all that they could do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from django_jobs.models import FileDeletion, Job
from django_jobs.statuses import WAITING, Status
from lab.faults import families, histories, keys, rows, runs
from lab.faults.tables import Tables, read_tables
from tests.support import batch_audit, verbs

AT_ONCE: Final = 1_000
#: Reasons that hold only for as long as somebody works: at rest, a job must not wait for its turn or for its ticket.
NO_REASONS: Final = frozenset({None, "window", "broker", "limit"})


def audit(
    *,
    at_rest: bool = True,
    submitted: Iterable[int] = (),
    record: Path | None = None,
    may_repeat: bool = False,
) -> list[str]:
    """Return what is wrong, a sentence for each finding; empty when every promise holds.

    ``submitted`` are the primary keys of jobs whose submission was committed and which nobody deleted. ``record`` is
    the file of :mod:`tests.support.record`; its jobs are those of :mod:`tests.support.recorded_handlers`. With
    ``may_repeat``, submissions had a deduplication window of their own, so that equal jobs are no finding.
    """
    tables = read_tables()
    found = [*rows.findings(tables), *histories.findings(tables), *families.findings(tables, at_rest=at_rest)]
    found += keys.findings(tables, may_repeat=may_repeat)
    found += [f"Job {pk} was submitted and is gone." for pk in submitted if pk not in tables.jobs]
    found += batch_audit.findings(at_rest=at_rest)
    if record is not None:
        found += runs.findings(tables, record)
    return [*found, *_unfinished(tables)] if at_rest else found


def _unfinished(tables: Tables) -> Iterator[str]:
    """Yield what should have ended by now."""
    for job in tables.jobs.values():
        if job.status == Status.RUNNING:
            yield f"Job {job.pk} still runs for {job.worker_name!r}."
    waiting = [job.pk for job in tables.jobs.values() if job.status in WAITING]
    for start in range(0, len(waiting), AT_ONCE):
        yield from _without_reason(waiting[start : start + AT_ONCE])
    for deletion in FileDeletion.primary.all():
        yield f"The files of the deleted job {deletion.job_id} are still there."


def _without_reason(pks: list[int]) -> Iterator[str]:
    for status in verbs.describe_jobs(list(Job.primary.filter(pk__in=pks).order_by("pk"))):
        if status.waiting_for in NO_REASONS:
            yield f"{status.job_id} is {status.status} and waits for {status.waiting_for or 'nothing'}."
