"""Reading what happened from the Execution Log: by ids, since an event, or since the last look.

Ids are handed out before their transaction commits, so a lower one may become visible after a higher one. On PostgreSQL
each row has its transaction's id and the oldest one that was open when it was written: whoever saw row X has seen
every transaction older than that. SQLite commits in the order of ids; elsewhere looks overlap by a minute. The ids of
one job are in order anyhow, because each change of a job waits for the one before.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import QuerySet

from django_jobs.engine.store import database
from django_jobs.models import ExecutionLog

#: More than this is not replayed: the client reads REST.
MAX_REPLAY: Final = 1_000
#: Where neither ids nor transactions tell the order, looks go back so far.
OVERLAP: Final = dt.timedelta(seconds=60)
OVERLAP_LOOKS: Final = 4
#: A look takes the newest of more than this; that is enough to see that clients must read REST.
MAX_LOOK: Final = 10_000


@dataclass(frozen=True, slots=True)
class Replay:
    """What a client that joins is to be told: ``cursor`` is the last event's id, ``log_ids`` what it missed."""

    cursor: int
    log_ids: Sequence[int]
    needs_resync: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """How far an organization's log was seen. ``None`` as the organization's key: everybody's log."""

    seen: tuple[int, ...]


def replay_organization(organization_pk: Any, since: int | None) -> Replay:
    rows = _of_organization(organization_pk)
    order = ("-transaction_id", "-id") if database.is_postgresql() else ("-id",)
    cursor = rows.order_by(*order).values_list("id", flat=True).first() or 0
    if since is None:
        return Replay(cursor, (), False)
    return _bounded(cursor, _after(rows, since).exclude(pk=since))


def replay_job(pk: int, since: int | None) -> Replay:
    rows = _log().filter(job_id=pk)
    cursor = rows.order_by("-id").values_list("id", flat=True).first() or 0
    return Replay(cursor, (), False) if since is None else _bounded(cursor, rows.filter(id__gt=since))


def replay_all(since: int | None) -> Replay:
    """Of everybody's jobs nothing is replayed: whoever was away reads REST."""
    cursor = _log().order_by("-id").values_list("id", flat=True).first() or 0
    return Replay(cursor, (), since is not None)


def _bounded(cursor: int, rows: QuerySet[ExecutionLog]) -> Replay:
    log_ids = list(rows.order_by("id").values_list("id", flat=True)[: MAX_REPLAY + 1])
    if len(log_ids) > MAX_REPLAY:
        return Replay(cursor, (), True)
    return Replay(max([cursor, *log_ids]), log_ids, False)


def _log() -> QuerySet[ExecutionLog]:
    return ExecutionLog.primary.all()


def _of_organization(organization_pk: Any) -> QuerySet[ExecutionLog]:
    """The organization's rows, so that the index on organization and transaction serves every database."""
    rows = _log().filter(organization_id=organization_pk)
    return rows if database.is_postgresql() else rows.filter(transaction_id__isnull=True)


def _after(rows: QuerySet[ExecutionLog], since: int) -> QuerySet[ExecutionLog]:
    """What may not have been visible to whoever saw the row ``since``, or the one before where that is gone.

    An older row's transactions include what a newer one's would tell, so any row up to ``since`` will do.
    """
    if database.is_postgresql():
        known = _log().filter(id__lte=since, oldest_open_id__isnull=False).order_by("-id")
        oldest = known.values_list("oldest_open_id", flat=True).first()
        return rows.filter(transaction_id__gte=oldest or 0)
    if database.connection().vendor == "sqlite":
        return rows.filter(id__gt=since)
    seen = _log().filter(id__lte=since).order_by("-id")
    moment = seen.values_list("timestamp", flat=True).first()
    if moment is None:
        return rows
    before = seen.filter(timestamp__lt=moment - OVERLAP).values_list("id", flat=True).first()
    return rows.filter(id__gt=before or 0)


def first_marks(organization_pks: Sequence[Any]) -> list[tuple[Mark, int]]:
    """Now, for each of them: looks tell what becomes visible from here on. With the last id."""
    tenants = [pk for pk in organization_pks if pk is not None]
    now = _now_of(tenants[0]) if tenants else 0  # the same for all of them
    last = _now_of(None)
    return [(Mark((last if pk is None else now,)), last) for pk in organization_pks]


def of_jobs(pks: Collection[int], floor: int) -> list[int]:
    """The ids of these jobs' events after ``floor``.

    Bells of a job come from several processes in any order; its events are to be told in theirs.
    """
    rows = _log().filter(id__gt=floor)
    return [log_id for chunk in chunks(pks) for log_id in rows.filter(job_id__in=chunk).values_list("id", flat=True)]


def look(organization_pk: Any, mark: Mark) -> tuple[list[int], Mark]:
    """The ids that became visible since ``mark``, with some from before it, up to a bound; and the new mark."""
    # Taken first: what ends between the two statements is found by this look and by the next one.
    now = _now_of(organization_pk)
    if organization_pk is not None and database.is_postgresql():
        rows = _of_organization(organization_pk).filter(transaction_id__gte=mark.seen[-1])
        new = Mark((now,))
    else:
        rows = (_log() if organization_pk is None else _of_organization(organization_pk)).filter(id__gt=mark.seen[0])
        looks = 1 if database.connection().vendor == "sqlite" else OVERLAP_LOOKS
        new = Mark((*mark.seen, now)[-looks:])
    return list(rows.order_by("-id").values_list("id", flat=True)[:MAX_LOOK]), new


def _now_of(organization_pk: Any) -> int:
    """On PostgreSQL the oldest transaction that is open now; elsewhere, and for everybody's log, the last id."""
    if organization_pk is None or not database.is_postgresql():
        return _log().order_by("-id").values_list("id", flat=True).first() or 0
    with database.connection().cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        return int(cursor.fetchone()[0])


def chunks(items: Collection[int], size: int = MAX_REPLAY) -> Iterator[list[int]]:
    """Sets that one statement may ask for."""
    ordered = sorted(items)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]
