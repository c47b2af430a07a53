"""What happened within the last minutes, by steps of some seconds: from the newest rows of the Execution Log.

The activity rows know whole minutes. These rows are read where they are few; a busy system has enough in every minute.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Final

from django.db.models import Q

from django_jobs.engine.store.aggregates import COUNTED_AS
from django_jobs.models import ExecutionLog
from django_jobs.statuses import FAILED_FOR_GOOD

#: So many of the newest rows are looked at.
NEWEST: Final = 10_000


def read_last_minutes(
    organizations: Collection[Any] | None, since: dt.datetime, seconds: int
) -> Mapping[dt.datetime, Mapping[str, int]] | None:
    """Return what the activity rows would count, by the beginning of each step of so many seconds after ``since``.

    Of these organizations' primary keys; None means all. None comes back where more happened than is looked at.
    """
    log = ExecutionLog.primary.order_by("-pk")
    newest = log.values_list("pk", flat=True).first() or 0
    rows = ExecutionLog.primary.filter(pk__gt=newest - NEWEST)
    oldest = rows.order_by("pk").values_list("timestamp", flat=True).first()
    if oldest is not None and oldest > since and ExecutionLog.primary.filter(pk__lte=newest - NEWEST).exists():
        return None
    rows = rows.filter(Q(from_status="") | Q(to_status__in=sorted(COUNTED_AS)), timestamp__gte=since)
    if organizations is not None:
        rows = rows.filter(organization_id__in=organizations)
    steps: dict[dt.datetime, Counter[str]] = defaultdict(Counter)
    for moment, before, after in rows.values_list("timestamp", "from_status", "to_status"):
        step = since + dt.timedelta(seconds=int((moment - since).total_seconds()) // seconds * seconds)
        steps[step].update(_counted_as(before, after))
    return steps


def _counted_as(before: str, after: str) -> list[str]:
    if not before:
        return ["submitted"]
    return [COUNTED_AS[after], *(["failed"] if (before, after) == FAILED_FOR_GOOD else [])]
