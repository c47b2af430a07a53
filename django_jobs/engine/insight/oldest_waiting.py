"""Since when the job waits that has waited the longest, by the index of the lanes wherever that tells it.

The index has ``ready_at``, which is a job's place in its lane. Only tasks with numbers have another moment than that,
and with the usual priority there are none of these.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import Aggregate, Count, Min, Q, QuerySet

from django_jobs.engine.job_types.handlers import TASK_PREFIX
from django_jobs.engine.store.head_starts import waits_since
from django_jobs.models import Job
from django_jobs.statuses import Priority


def aggregate(rows: QuerySet[Job], priority: int, now: dt.datetime, **counts: Aggregate) -> dict[str, Any]:
    """Return the ``counts`` of jobs that wait with a priority, and as ``since`` when the longest of them became ready.

    That is None where none is due.
    """
    is_due = Q(ready_at__lte=now)
    if priority == Priority.NORMAL:
        return rows.aggregate(since=Min("ready_at", filter=is_due), **counts)
    of_tasks = Count("pk", filter=Q(job_type__type_name__startswith=TASK_PREFIX))
    found = rows.aggregate(since=Min("ready_at", filter=is_due), of_tasks=of_tasks, **counts)
    if found.pop("of_tasks"):
        found |= rows.aggregate(since=Min(waits_since(), filter=is_due))
    return found
