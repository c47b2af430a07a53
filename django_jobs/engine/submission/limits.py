"""How much an organization may submit: a rate for each type, and a number of waiting jobs.

No lock is held until the caller commits. So concurrent submitters may exceed a limit, by at most their number.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.db.models import Count, QuerySet
from django.utils.translation import gettext_noop as _

from django_jobs.conf import jobs_settings
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.submission_times import created_between
from django_jobs.engine.submission.targets import Targets
from django_jobs.exceptions import QueueFull, RateLimited
from django_jobs.models import Job, JobType
from django_jobs.statuses import Priority, Status
from django_jobs.texts import say

#: Seconds after which whoever met a full backlog may try again.
FULL_RETRY_SECONDS: Final = 10.0
RATE: Final = _("This organization may submit %(limit)d %(type)s in %(window)d seconds; try again in %(delay)d s.")
#: Organizations counted in one statement.
AT_ONCE: Final = 2_000


def check(asked: Iterable[Targets]) -> None:
    """Raise RateLimited or QueueFull when these submissions together exceed what is left of a limit."""
    targets = list(asked)
    _check_rates(targets)
    _check_backlogs(targets)


def _check_rates(targets: list[Targets]) -> None:
    limited = [item for item in targets if item.kind.rate_limit is not None]
    if not limited:
        return
    counts = Counter(map(_pair, limited))
    kinds = {item.kind.pk: item.kind for item in limited}
    for (kind_pk, organization_pk), count in counts.items():
        delay = _seconds_until_free(kinds[kind_pk], organization_pk, count)
        if delay is not None:
            index = next(i for i, item in enumerate(targets) if _pair(item) == (kind_pk, organization_pk))
            limit, window = kinds[kind_pk].rate_limit, kinds[kind_pk].rate_limit_window
            raise RateLimited(
                say(RATE, code="rate_limited", limit=limit, type=kind_pk, window=window, delay=math.ceil(delay)),
                delay,
                index,
            )


def _pair(item: Targets) -> tuple[Any, Any]:
    return item.kind.pk, item.organization.pk


def _seconds_until_free(kind: JobType, organization_pk: Any, count: int) -> float | None:
    """Return None while ``count`` more are within the limit. One row is read: the oldest that would still count."""
    limit, window = int(kind.rate_limit or 0), float(kind.rate_limit_window)
    left = limit - count
    if left < 0:  # not even when nothing was submitted before
        return window
    rows = store().newest_of_type(kind.pk, organization_pk)
    times = rows.values_list("created_at", flat=True)[left : left + 1]
    for created_at in times:
        free_at = created_at + dt.timedelta(seconds=window)
        delay = (free_at - database.now()).total_seconds()
        return max(1.0, delay) if delay > 0 else None
    return None


def _check_backlogs(targets: list[Targets]) -> None:
    limit = jobs_settings.MAX_BACKLOG_PER_ORGANIZATION
    if limit is None:
        return
    for organization_pk, count in Counter(item.organization.pk for item in targets).items():
        if waiting(organization_pk, int(limit)) + count > int(limit):
            index = next(i for i, item in enumerate(targets) if item.organization.pk == organization_pk)
            raise QueueFull(
                say(
                    _("This organization has %(limit)d jobs waiting, as many as it may; try again later."),
                    code="queue_full",
                    limit=limit,
                ),
                FULL_RETRY_SECONDS,
                index,
            )


def full(targets: Sequence[Targets]) -> dict[Any, str]:
    """Return the organizations among those of one type that may not submit one more of it now, and why.

    The answers are those of :func:`check`, for many organizations in a few statements.
    """
    if not targets:
        return {}
    pks = [item.organization.pk for item in targets]
    return _without_room(pks) | _rate_limited(targets[0].kind, pks)


def _rate_limited(kind: JobType, pks: Sequence[Any]) -> dict[Any, str]:
    if kind.rate_limit is None:
        return {}
    limit = int(kind.rate_limit)
    since = database.now() - dt.timedelta(seconds=float(kind.rate_limit_window))
    rows = created_between(Job.primary.filter(job_type_id=kind.pk), after=since)
    counts = _counted(rows, pks)
    return {pk: "rate_limited" for pk in pks if counts[pk] >= limit}


def _without_room(pks: Sequence[Any]) -> dict[Any, str]:
    limit = jobs_settings.MAX_BACKLOG_PER_ORGANIZATION
    if limit is None:
        return {}
    counts = _counted(_ready(), pks) + _counted(_blocked(), pks)
    return {pk: "queue_full" for pk in pks if counts[pk] >= int(limit)}


def _counted(rows: QuerySet[Job], pks: Sequence[Any]) -> Counter[Any]:
    """Return how many rows each organization has."""
    counts: Counter[Any] = Counter()
    for start in range(0, len(pks), AT_ONCE):
        some = rows.filter(organization_id__in=pks[start : start + AT_ONCE])
        counts.update(dict(some.order_by().values_list("organization_id").annotate(Count("pk"))))
    return counts


def waiting(organization_pk: Any, most: int) -> int:
    """Return how many of an organization's jobs wait in the database, counted up to ``most``."""
    count = _ready().filter(organization_id=organization_pk)[:most].count()
    if count >= most:
        return count
    return count + _blocked().filter(organization_id=organization_pk)[: most - count].count()


def _ready() -> QuerySet[Job]:
    """Return what waits for dispatch or for its moment. All priorities are named, since the index has them first."""
    return store().waiting_jobs().filter(priority__in=list(Priority))


def _blocked() -> QuerySet[Job]:
    """Return what waits for other jobs."""
    return Job.primary.order_by().filter(ready_at__isnull=True, status=Status.PENDING)
