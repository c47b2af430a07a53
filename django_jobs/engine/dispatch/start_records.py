"""When attempts started, as the rows of their jobs say: what a pass asks about jobs that it no longer finds queued."""

from __future__ import annotations

import datetime as dt
import functools
import operator
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django.db.models import Q

from django_jobs.engine.dispatch.start_windows import Attempt
from django_jobs.engine.dispatch.type_rates import StartLimit
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.models import Job
from django_jobs.statuses import Status


def started_at(attempts: Collection[Attempt]) -> dict[Attempt, float | None]:
    """Return when jobs started that were queued with so many attempts before, in seconds since the epoch.

    None stands for a job that did not start, and is queued no more. What is not known is left out: the job is gone, has
    started again since, or starts over. Ask after it was read what is queued. A transaction that may have an old view
    knows nothing: what it sees waiting may have been queued since.
    """
    if store().has_old_view():
        return {}
    rows = Job.primary.filter(pk__in={pk for pk, _ in attempts})
    found: dict[Attempt, float | None] = {}
    for pk, attempt, status, started in rows.values_list("pk", "attempt", "status", "started_at"):
        if status != Status.QUEUED:
            found[pk, attempt] = None
        if started is not None:
            found[pk, attempt - 1] = started.timestamp()
    return {attempt: moment for attempt, moment in found.items() if attempt in attempts}


def recent(limits: Mapping[str, StartLimit]) -> Iterator[tuple[str, Any, int, float]]:
    """Yield what started within the windows of these types: type, organization, lane key, seconds since the epoch.

    A job that started more than once counts once. This reads all jobs of these types: it is for where what passes knew
    was lost.
    """
    now = database.now()
    of_each = [
        Q(job_type_id=name, started_at__gt=now - dt.timedelta(seconds=limit.seconds)) for name, limit in limits.items()
    ]
    rows = Job.primary.order_by().filter(functools.reduce(operator.or_, of_each, Q(pk__in=[])))
    for name, organization_pk, lane_key, moment in rows.values_list(
        "job_type_id", "organization_id", "lane_key", "started_at"
    ):
        if moment is not None:
            yield name, organization_pk, lane_key, moment.timestamp()
