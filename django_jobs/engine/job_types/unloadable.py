"""Jobs that wait for a worker which can load their handler, as after an incomplete deployment.

A worker that cannot load a handler puts the job back and says so in the Execution Log. Nothing else tells of it, so
the job is recognized by its last row there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from django.db.models import F, OuterRef, QuerySet, Subquery

from django_jobs.engine.job_types.handlers import NOT_LOADABLE, NOT_LOADABLE_DELAY
from django_jobs.engine.store import database
from django_jobs.engine.store.head_starts import waits_since_of
from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import Status

#: Such jobs that are looked for at most.
MAX_FOUND: Final = 500


def reasons(jobs: Sequence[Job]) -> dict[int, str]:
    """Return what the worker said of those of these jobs whose handler it could not load, by primary key.

    It names the handler's path, which is for system admins.
    A statement is made only where one of them may be such a job: Pending, and ready at a moment that its submission
    does not explain.
    """
    return _said([job.pk for job in jobs if _may_have_been_put_back(job)])


def find() -> dict[int, str]:
    """Return the same for the jobs that wait now, up to MAX_FOUND; one pass over the backlog."""
    now = database.now()
    rows: QuerySet[Job] = Job.primary.order_by().filter(status=Status.PENDING)
    until = now + dt.timedelta(seconds=NOT_LOADABLE_DELAY)
    rows = rows.filter(ready_at__gt=now, ready_at__lte=until).exclude(run_at=F("ready_at"), run_at__isnull=False)
    return _said(list(rows.values_list("pk", flat=True)[:MAX_FOUND]))


def _may_have_been_put_back(job: Job) -> bool:
    is_ready = job.status == Status.PENDING and job.ready_at is not None
    return is_ready and job.queued_at is None and waits_since_of(job) not in {job.created_at, job.run_at}


def _said(pks: Sequence[int]) -> dict[int, str]:
    if not pks:
        return {}
    logs = ExecutionLog.primary.filter(job_id=OuterRef("pk")).order_by("-id")
    rows = Job.primary.filter(pk__in=pks).order_by()
    last = rows.annotate(said=Subquery(logs.values("message")[:1]), detail=Subquery(logs.values("traceback")[:1]))
    found = last.values_list("pk", "said", "detail")
    return {pk: detail or said for pk, said, detail in found if said and said.startswith(NOT_LOADABLE)}
