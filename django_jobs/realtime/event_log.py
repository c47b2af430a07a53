"""Reading ids of events from the Execution Log: what a client missed, what a poll finds, and the events of some jobs.

Ids are handed out before their transaction commits, so a lower id may become visible after a higher one. On PostgreSQL
each row has its transaction's id and the oldest transaction that was open when it was written: who saw row X has
seen every transaction older than that. SQLite commits in the order of ids. On MariaDB polls and catch-ups read the last
minute once more. The ids of one job are in order everywhere, because each change of a job waits for the one before.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import QuerySet

from django_jobs.engine.store import database
from django_jobs.models import ExecutionLog

#: A client that missed more events than this reads REST instead.
MAX_MISSED: Final = 1_000
#: How far back a catch-up reads where neither ids nor transactions give the order.
OVERLAP: Final = dt.timedelta(seconds=60)
#: How many polls make up this time.
OVERLAP_POLLS: Final = 4
#: A poll reads at most this many ids, the newest. A client that has more new events than that reads REST anyway.
MAX_POLLED: Final = 10_000
#: How many keys one statement asks for.
CHUNK: Final = 1_000


@dataclass(frozen=True, slots=True)
class CatchUp:
    """What a client that joins has missed.

    ``cursor`` is the last event's id, 0 when there is none. ``log_ids`` are the ids of the missed events. With
    ``needs_resync`` there were too many of them, and the client reads REST.
    """

    cursor: int
    log_ids: Sequence[int]
    needs_resync: bool


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far an organization's log was polled: ids of transactions on PostgreSQL, else ids of the log.

    The last one is the newest poll's. Where the overlap takes several polls the earlier ones are kept, too.
    """

    seen: tuple[int, ...]


def catch_up_organization(organization_pk: Any, since: int | None) -> CatchUp:
    """Return what a client missed of an organization after the event ``since``; nothing with None."""
    rows = _of_organization(organization_pk)
    order = ("-transaction_id", "-id") if database.is_postgresql() else ("-id",)
    cursor = rows.order_by(*order).values_list("id", flat=True).first() or 0
    if since is None:
        return CatchUp(cursor, (), False)
    return _bounded(cursor, _after(rows, since).exclude(pk=since))


def catch_up_job(pk: int, since: int | None) -> CatchUp:
    """Return what a client missed of one job after the event ``since``; nothing with None."""
    rows = _log().filter(job_id=pk)
    cursor = rows.order_by("-id").values_list("id", flat=True).first() or 0
    return CatchUp(cursor, (), False) if since is None else _bounded(cursor, rows.filter(id__gt=since))


def catch_up_all(since: int | None) -> CatchUp:
    """Return what a client missed of everybody's jobs: never an event, with ``since`` always a resync."""
    cursor = _log().order_by("-id").values_list("id", flat=True).first() or 0
    return CatchUp(cursor, (), since is not None)


def _bounded(cursor: int, rows: QuerySet[ExecutionLog]) -> CatchUp:
    log_ids = list(rows.order_by("id").values_list("id", flat=True)[: MAX_MISSED + 1])
    if len(log_ids) > MAX_MISSED:
        return CatchUp(cursor, (), True)
    return CatchUp(max([cursor, *log_ids]), log_ids, False)


def _log() -> QuerySet[ExecutionLog]:
    return ExecutionLog.primary.all()


def _of_organization(organization_pk: Any) -> QuerySet[ExecutionLog]:
    """Return the organization's rows, asked for so that the index on organization and transaction serves everywhere."""
    rows = _log().filter(organization_id=organization_pk)
    return rows if database.is_postgresql() else rows.filter(transaction_id__isnull=True)


def _after(rows: QuerySet[ExecutionLog], since: int) -> QuerySet[ExecutionLog]:
    """Return those rows that may have been invisible to a client that saw the row ``since``.

    If that row is gone, the newest one before it serves as well: it has fewer transactions behind it, so some events
    are told twice and none is missed.
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


def first_watermarks(organization_pks: Sequence[Any]) -> list[tuple[Watermark, int]]:
    """Return for each organization the watermark of this moment, and the last id of the whole log.

    Polls find what becomes visible from here on. None stands for everybody's log.
    """
    organizations = [pk for pk in organization_pks if pk is not None]
    now = _now_of(organizations[0]) if organizations else 0  # the same for all of them
    last = _now_of(None)
    return [(Watermark((last if pk is None else now,)), last) for pk in organization_pks]


def ids_of_jobs(pks: Collection[int], floor: int) -> list[int]:
    """Return the ids of these jobs' events after ``floor``.

    The notifications of a job come from several processes in any order, but its events are delivered in order.
    """
    rows = _log().filter(id__gt=floor)
    return [log_id for chunk in chunks(pks) for log_id in rows.filter(job_id__in=chunk).values_list("id", flat=True)]


def poll(organization_pk: Any, watermark: Watermark) -> tuple[list[int], Watermark]:
    """Return the ids that became visible since the watermark, and the new watermark.

    Some earlier ids are among them. There are at most MAX_POLLED, the newest first. None polls everybody's log.
    """
    # Read first: what commits between the two statements is found by this poll and by the next one.
    now = _now_of(organization_pk)
    if organization_pk is not None and database.is_postgresql():
        rows = _of_organization(organization_pk).filter(transaction_id__gte=watermark.seen[-1])
        new = Watermark((now,))
    else:
        log = _log() if organization_pk is None else _of_organization(organization_pk)
        rows = log.filter(id__gt=watermark.seen[0])
        polls = 1 if database.connection().vendor == "sqlite" else OVERLAP_POLLS
        new = Watermark((*watermark.seen, now)[-polls:])
    return list(rows.order_by("-id").values_list("id", flat=True)[:MAX_POLLED]), new


def _now_of(organization_pk: Any) -> int:
    """Return the oldest open transaction on PostgreSQL; elsewhere, and for everybody's log, the last id."""
    if organization_pk is None or not database.is_postgresql():
        return _log().order_by("-id").values_list("id", flat=True).first() or 0
    with database.connection().cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        return int(cursor.fetchone()[0])


def chunks(items: Collection[int]) -> Iterator[list[int]]:
    """Return the items in order, in lists of at most CHUNK, which one statement may ask for."""
    ordered = sorted(items)
    for start in range(0, len(ordered), CHUNK):
        yield ordered[start : start + CHUNK]
