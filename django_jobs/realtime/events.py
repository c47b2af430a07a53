"""Events that clients get: what each says, and reading them from the log."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from django.db.models import QuerySet

from django_jobs.engine import batches
from django_jobs.engine.access import may_start
from django_jobs.engine.job_types.masking import MASK, sensitive_names
from django_jobs.engine.organizations import current_ids, id_of, read_tenants
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.models import Batch, ExecutionLog, Job
from django_jobs.models.job import format_job_id
from django_jobs.realtime.protocol import cut_texts, dumps, moment, state_of_batch
from django_jobs.statuses import IN_FLIGHT, WITH_COMPLETED_AT, WITH_ERRORS, Status
from django_jobs.values import BatchStatus

# The kinds of events that clients hear: their names, their fields, how they are read, and who hears them.
#
# Every event tells of one job or of one batch. ``job_status_changed`` tells of one row of the Execution Log: it has an
# id, a client that was away is told what it missed, and a poll finds what a notification lost. The other kinds are in
# CURRENT: each tells how something of a job, or a batch, stands now, and has no id.
#
# To add a kind, write a function like :func:`progress_events`, enter it in CURRENT, and after a commit call
# ``get_broadcaster().updated(kind, {job's key: its organization's key})`` of :mod:`django_jobs.engine.ports`.
#
# Of a batch only its own room hears.
#
# Who listens to the job, to its organization or to everybody's jobs hears of it, unless the policy's ``can_view`` hides
# the job from them; ``fan_out`` asks it for events of every kind. A value that fewer users may read is withheld here.


#: A row as ``values()`` returns it: by the names of the fields.
Row = Mapping[str, Any]

STATUS_CHANGED: Final = "job_status_changed"
PROGRESS: Final = "job_progress"
BATCH_PROGRESS: Final = "batch_progress"

#: The kind of notification that tells of batches, not of jobs.
BATCH: Final = "batch"

#: How many running jobs of one organization a poll looks at for progress whose notification got lost.
MAX_RUNNING: Final = 500
_LOG_FIELDS: Final = (
    "id",
    "job_id",
    "from_status",
    "to_status",
    "timestamp",
    "attempt",
    "message",
    "organization_id",
    "job__job_type_id",
    "job__organization_name",
    "job__created_at",
    "job__status",
    "job__attempt",
    "job__progress",
    "job__output_reference",
    "job__error_message",
    "job__progress_message",
    "job__started_at",
    "job__completed_at",
)
_PROGRESS_FIELDS: Final = (
    "pk",
    "organization_id",
    "organization_name",
    "job_type_id",
    "created_at",
    "attempt",
    "status",
    "progress",
    "progress_message",
)
#: Progress in percent.
FULL: Final = 100
_NO_IDS: Final[Mapping[Any, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Event:
    """One event, written as JSON once for all rooms; ``text`` adds the room.

    ``id`` is that of the Execution Log row, 0 for the kinds that have none. ``organization`` is the id that the tenant
    had when this was read, "" when the tenant was gone. ``filled`` is the attempt (job, attempt) that this event shows
    at 100 %. ``before`` is the progress of 100 % that is told ahead of a completion, if clients were not told it yet:
    the handler may have returned without reporting it, or right after.
    """

    name: str
    organization_pk: Any
    job_pk: int
    data: str
    id: int = 0
    organization: str = ""
    filled: tuple[int, int] | None = None
    before: Event | None = None
    #: The batch that it tells of; ``job_pk`` is 0 then.
    batch_pk: int | None = None

    def text(self, room: str) -> str:
        """Return the frame for this room."""
        number = f'"id": {self.id}, ' if self.id else ""
        return f'{{"event": "{self.name}", "room": {json.dumps(room)}, {number}"data": {self.data}}}'


def status_events(log_ids: Collection[int]) -> list[Event]:
    """Return the events of those log rows that exist, in the order of their ids."""
    rows: list[Any] = []
    for chunk in chunks(log_ids):
        rows += ExecutionLog.primary.filter(pk__in=chunk).order_by("id").values(*_LOG_FIELDS)
    tenants = read_tenants({row["organization_id"] for row in rows})
    with_output = {row["organization_id"] for row in rows if _may_have_output(row)} & tenants.keys()
    # The outputs of a suspended organization are withheld.
    suspended = {pk for pk in with_output if not may_start(tenants[pk])}
    return [_status_event(row, tenants.get(row["organization_id"]), suspended) for row in rows]


def _may_have_output(row: Row) -> bool:
    return bool(row["job__output_reference"]) and row["to_status"] == Status.COMPLETED


def _status_event(row: Row, tenant: Any, suspended: Collection[Any]) -> Event:
    """Return the row's event. What the log does not hold is taken from the job, if the job is still at this row."""
    organization = "" if tenant is None else id_of(tenant)
    to_status, timestamp, attempt = row["to_status"], row["timestamp"], row["attempt"]
    is_current = (row["job__status"], row["job__attempt"]) == (to_status, attempt)
    is_completed = to_status == Status.COMPLETED
    shows_output = is_current and row["organization_id"] not in suspended
    error = row["job__error_message"] if is_current else row["message"]
    completed_at = timestamp if to_status in WITH_COMPLETED_AT else None
    data = {
        "job_id": format_job_id(row["job_id"], row["job__created_at"].year),
        "job_type": row["job__job_type_id"],
        "organization": organization or row["job__organization_name"],
        "attempt": attempt,
        "from_status": row["from_status"],
        "to_status": to_status,
        "progress": row["job__progress"] if is_current else FULL * is_completed,
        "progress_message": row["job__progress_message"] if is_current else "",
        "output_reference": _reference(row["job__output_reference"]) if shows_output else None,
        "error_message": error if to_status in WITH_ERRORS else "",
        "started_at": row["job__started_at"] if is_current else timestamp if to_status == Status.RUNNING else None,
        "completed_at": row["job__completed_at"] if is_current else completed_at,
        "updated_at": timestamp,
    }
    return Event(
        STATUS_CHANGED,
        row["organization_id"],
        row["job_id"],
        dumps(cut_texts(data)),
        id=row["id"],
        organization=organization,
        before=_full_progress(row, data, timestamp) if is_completed else None,
    )


def _full_progress(row: Row, data: Mapping[str, Any], timestamp: Any) -> Event:
    """Return the progress of 100 % that goes ahead of a completion with these ``data``."""
    job = {
        "pk": row["job_id"],
        "organization_id": row["organization_id"],
        "organization_name": data["organization"],
        "job_type_id": data["job_type"],
        "created_at": row["job__created_at"],
        "attempt": data["attempt"],
        "status": Status.RUNNING,
        "progress": FULL,
        "progress_message": data["progress_message"],
    }
    return _progress_event(job, _NO_IDS, moment(timestamp))


def _reference(output: str) -> str | None:
    """Return the job's output reference as everybody who hears of the job may read it; None for no output."""
    return MASK if output and "output_reference" in sensitive_names() else output or None


def progress_events(pks: Collection[int]) -> list[Event]:
    """Return the progress of those of these jobs that run now."""
    rows = Job.primary.filter(status=Status.RUNNING)
    now = moment(database.now()) if pks else ""
    found = [row for chunk in chunks(pks) for row in rows.filter(pk__in=chunk).values(*_PROGRESS_FIELDS)]
    ids = current_ids({row["organization_id"] for row in found})
    return [_progress_event(row, ids, now) for row in found]


def running_progress(organization_pk: Any) -> Iterable[tuple[Event, tuple[Any, ...]]]:
    """Return the progress of an organization's running jobs, at most MAX_RUNNING of them.

    Beside each event are the values by which a poll sees that the progress is another than before.
    """
    rows = Job.primary.filter(
        status__in=sorted(IN_FLIGHT), organization_id=organization_pk, attempt__gt=0, progress__gt=0
    )
    now = moment(database.now())
    running = [row for row in rows.values(*_PROGRESS_FIELDS)[:MAX_RUNNING] if row["status"] == Status.RUNNING]
    ids = current_ids({row["organization_id"] for row in running})
    return [(_progress_event(row, ids, now), _state_of_progress(row)) for row in running]


def _state_of_progress(row: Row) -> tuple[Any, ...]:
    return row["attempt"], row["progress"], row["progress_message"]


def _progress_event(row: Row, ids: Mapping[Any, str], now: str) -> Event:
    """Return the event of a job's progress. ``ids`` are the ids of organizations, by key; ``now`` is a moment."""
    organization = ids.get(row["organization_id"], "")
    data = {
        "job_id": format_job_id(row["pk"], row["created_at"].year),
        "job_type": row["job_type_id"],
        "organization": organization or row["organization_name"],
        "attempt": row["attempt"],
        "status": row["status"],
        "progress": row["progress"],
        "progress_message": row["progress_message"],
        "updated_at": now,
    }
    return Event(
        PROGRESS,
        row["organization_id"],
        row["pk"],
        dumps(cut_texts(data)),
        organization=organization,
        filled=(row["pk"], row["attempt"]) if row["progress"] == FULL else None,
    )


def batch_events(pks: Collection[int]) -> list[Event]:
    """Return what those of these batches do now that exist; in a few statements, however many they are."""
    rows = [row for chunk in chunks(pks) for row in batches.up_to_date(Batch.primary.filter(pk__in=chunk))]
    return [_batch_event(row, status) for row, status in zip(rows, batches.describe_batches(rows), strict=True)]


def _batch_event(row: Batch, status: BatchStatus) -> Event:
    data = dumps(state_of_batch(status))
    return Event(BATCH_PROGRESS, row.organization_id, 0, data, organization=status.organization, batch_pk=row.pk)


#: The kinds that tell how a job or a batch stands now: the name by which a notification asks for them, and the function
#: that reads their events for a set of jobs or batches.
CURRENT: Final[dict[str, Callable[[Collection[int]], list[Event]]]] = {
    "progress": progress_events,
    BATCH: batch_events,
}


# Reading ids of events from the Execution Log: what a client missed, what a poll finds, and the events of some jobs.
#
# In which order they become visible is for the store to say (:mod:`django_jobs.engine.store.base_core`).


#: A client that missed more events than this reads REST instead.
MAX_MISSED: Final = 1_000
#: A poll reads at most this many ids, the newest. A client that has more new events than that reads REST anyway.
MAX_POLLED: Final = 10_000
#: How many keys one statement asks for.
CHUNK: Final = 1_000
#: How far an organization's log was polled: the store's marks of the last polls, the newest last.
Watermark = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MissedEvents:
    """What a client that joins has missed.

    ``cursor`` is the last event's id, 0 when there is none. ``log_ids`` are the ids of the missed events. With
    ``needs_resync`` there were too many of them, and the client reads REST.
    """

    cursor: int
    log_ids: Sequence[int]
    needs_resync: bool


def catch_up(organization_pk: Any, since: int | None) -> MissedEvents:
    """Return what a client missed of an organization after the event ``since``; nothing with None.

    Of everybody's jobs, for which None stands, it is never told events one by one.
    """
    cursor = store().last_event(organization_pk)
    if since is None or organization_pk is None:
        return MissedEvents(cursor, (), needs_resync=since is not None)
    return _bounded(cursor, store().events_behind(organization_pk, since).exclude(pk=since))


def catch_up_job(pk: int, since: int | None) -> MissedEvents:
    """Return what a client missed of one job after the event ``since``; nothing with None."""
    rows = ExecutionLog.primary.filter(job_id=pk)
    cursor = rows.order_by("-id").values_list("id", flat=True).first() or 0
    return MissedEvents(cursor, (), False) if since is None else _bounded(cursor, rows.filter(id__gt=since))


def _bounded(cursor: int, rows: QuerySet[ExecutionLog]) -> MissedEvents:
    log_ids = list(rows.order_by("id").values_list("id", flat=True)[: MAX_MISSED + 1])
    if len(log_ids) > MAX_MISSED:
        return MissedEvents(cursor, (), True)
    return MissedEvents(max([cursor, *log_ids]), log_ids, False)


def first_watermarks(organization_pks: Sequence[Any]) -> list[tuple[Watermark, int]]:
    """Return for each organization the watermark of this moment, and the last id of the whole log.

    Polls find what becomes visible from here on. None stands for everybody's log.
    """
    organizations = [pk for pk in organization_pks if pk is not None]
    now = store().log_mark(organizations[0]) if organizations else 0  # the same for all of them
    last = store().log_mark(None)
    return [((last if pk is None else now,), last) for pk in organization_pks]


def ids_of_jobs(pks: Collection[int], floor: int) -> list[int]:
    """Return the ids of these jobs' events after ``floor``.

    The notifications of a job come from several processes in any order, but its events are delivered in order.
    """
    rows = ExecutionLog.primary.filter(id__gt=floor)
    return [log_id for chunk in chunks(pks) for log_id in rows.filter(job_id__in=chunk).values_list("id", flat=True)]


def poll(organization_pk: Any, watermark: Watermark) -> tuple[list[int], Watermark]:
    """Return the ids that became visible since the watermark, and the new watermark.

    Some earlier ids are among them. There are at most MAX_POLLED, the newest first. None polls everybody's log.
    """
    # Read first: what commits between the two statements is found by this poll and by the next one.
    now = store().log_mark(organization_pk)
    rows = store().events_since(organization_pk, watermark)
    new = (*watermark, now)[-store().marks_kept(organization_pk) :]
    return list(rows.order_by("-id").values_list("id", flat=True)[:MAX_POLLED]), new


def chunks(items: Collection[int]) -> Iterator[list[int]]:
    """Return the items in order, in lists of at most CHUNK, which one statement may ask for."""
    ordered = sorted(items)
    for start in range(0, len(ordered), CHUNK):
        yield ordered[start : start + CHUNK]
