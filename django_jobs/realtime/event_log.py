"""Reading ids of events from the Execution Log: what a client missed, what a poll finds, and the events of some jobs.

In which order they become visible is for the store to say (:mod:`django_jobs.engine.store.base_core`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import QuerySet

from django_jobs.engine.store.database import store
from django_jobs.models import ExecutionLog

#: A client that missed more events than this reads REST instead.
MAX_MISSED: Final = 1_000
#: A poll reads at most this many ids, the newest. A client that has more new events than that reads REST anyway.
MAX_POLLED: Final = 10_000
#: How many keys one statement asks for.
CHUNK: Final = 1_000


@dataclass(frozen=True, slots=True)
class MissedEvents:
    """What a client that joins has missed.

    ``cursor`` is the last event's id, 0 when there is none. ``log_ids`` are the ids of the missed events. With
    ``needs_resync`` there were too many of them, and the client reads REST.
    """

    cursor: int
    log_ids: Sequence[int]
    needs_resync: bool


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far an organization's log was polled: the store's marks of the last polls, the newest last."""

    seen: tuple[int, ...]


def catch_up_organization(organization_pk: Any, since: int | None) -> MissedEvents:
    """Return what a client missed of an organization after the event ``since``; nothing with None."""
    cursor = store().last_event(organization_pk)
    if since is None:
        return MissedEvents(cursor, (), False)
    return _bounded(cursor, store().events_behind(organization_pk, since).exclude(pk=since))


def catch_up_job(pk: int, since: int | None) -> MissedEvents:
    """Return what a client missed of one job after the event ``since``; nothing with None."""
    rows = _log().filter(job_id=pk)
    cursor = rows.order_by("-id").values_list("id", flat=True).first() or 0
    return MissedEvents(cursor, (), False) if since is None else _bounded(cursor, rows.filter(id__gt=since))


def catch_up_all(since: int | None) -> MissedEvents:
    """Return what a client missed of everybody's jobs: never an event, with ``since`` always a resync."""
    return MissedEvents(store().last_event(None), (), since is not None)


def _bounded(cursor: int, rows: QuerySet[ExecutionLog]) -> MissedEvents:
    log_ids = list(rows.order_by("id").values_list("id", flat=True)[: MAX_MISSED + 1])
    if len(log_ids) > MAX_MISSED:
        return MissedEvents(cursor, (), True)
    return MissedEvents(max([cursor, *log_ids]), log_ids, False)


def _log() -> QuerySet[ExecutionLog]:
    return ExecutionLog.primary.all()


def first_watermarks(organization_pks: Sequence[Any]) -> list[tuple[Watermark, int]]:
    """Return for each organization the watermark of this moment, and the last id of the whole log.

    Polls find what becomes visible from here on. None stands for everybody's log.
    """
    organizations = [pk for pk in organization_pks if pk is not None]
    now = store().log_mark(organizations[0]) if organizations else 0  # the same for all of them
    last = store().log_mark(None)
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
    now = store().log_mark(organization_pk)
    rows = store().events_since(organization_pk, watermark.seen)
    new = Watermark((*watermark.seen, now)[-store().marks_kept(organization_pk) :])
    return list(rows.order_by("-id").values_list("id", flat=True)[:MAX_POLLED]), new


def chunks(items: Collection[int]) -> Iterator[list[int]]:
    """Return the items in order, in lists of at most CHUNK, which one statement may ask for."""
    ordered = sorted(items)
    for start in range(0, len(ordered), CHUNK):
        yield ordered[start : start + CHUNK]
