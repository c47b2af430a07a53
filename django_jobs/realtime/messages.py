"""The events as clients see them: JSON, made once for all who hear them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django_jobs.engine.access import may_start
from django_jobs.engine.job_types.masking import MASK, sensitive_names
from django_jobs.engine.store import database
from django_jobs.engine.store.organization_ids import current_ids, id_of, read_tenants
from django_jobs.models import ExecutionLog, Job
from django_jobs.models.job import format_job_id
from django_jobs.realtime.frames import cut_texts, dumps, moment
from django_jobs.realtime.replay import chunks
from django_jobs.statuses import IN_FLIGHT, WITH_COMPLETED_AT, WITH_ERRORS, Status

#: Of one organization, how many running jobs are looked at for progress that got lost.
MAX_RUNNING: Final = 500
#: A longer name of a room is not repeated in an error.
MAX_SHOWN: Final = 200
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


@dataclass(frozen=True, slots=True)
class Event:
    """One event, still without the room in which it is told. ``id`` is 0 for progress.

    ``organization`` is the id that the tenant had when this was read, "" when it was gone. ``filled`` names the attempt
    (job, attempt) that is at 100 % with it. ``before`` is the progress to be told ahead of a completion: that of a
    handler which returned without reporting 100 %, or whose report nobody had read yet.
    """

    organization_pk: Any
    job_pk: int
    data: str
    id: int = 0
    organization: str = ""
    filled: tuple[int, int] | None = None
    before: Event | None = None

    def text(self, room: str) -> str:
        """The frame for this room."""
        if not self.id:
            return f'{{"event": "job_progress", "room": {json.dumps(room)}, "data": {self.data}}}'
        return f'{{"event": "job_status_changed", "room": {json.dumps(room)}, "id": {self.id}, "data": {self.data}}}'


def joined(room: str, cursor: int, *, resync: bool, **more: Any) -> str:
    """The frame that says: you hear of this room from ``cursor`` on; with ``resync``, read REST first.

    ``more`` is what a job's room adds: its state.
    """
    message: dict[str, Any] = {"event": "joined", "room": room, "cursor": cursor}
    return dumps({**message, **({"resync": True} if resync else {}), **more})


def status_events(log_ids: Collection[int]) -> list[Event]:
    """The events of these log rows that exist, in the order of their ids."""
    rows: list[tuple[Any, ...]] = []
    for chunk in chunks(log_ids):
        found = ExecutionLog.primary.filter(pk__in=chunk).order_by("id")
        rows += found.values_list(*_LOG_FIELDS)
    tenants = read_tenants({row[7] for row in rows})
    asked = {row[7] for row in rows if row[14] and row[3] == Status.COMPLETED} & tenants.keys()
    # Those whose outputs nobody may read now.
    hidden = {pk for pk in asked if not may_start(tenants[pk])}
    return [_status_event(row, tenants.get(row[7]), hidden) for row in rows]


def _status_event(row: tuple[Any, ...], tenant: Any, hidden: Collection[Any]) -> Event:
    """The row's event. What the log does not hold is taken from the job only where that has not gone on since."""
    log_id, pk, from_status, to_status, timestamp, attempt, message, organization_pk, *job = row
    kind, remembered, created_at, status, job_attempt, progress, output, error, said, started_at, completed_at = job
    now = "" if tenant is None else id_of(tenant)
    organization = now or remembered
    is_current = (status, job_attempt) == (to_status, attempt)
    is_completed = to_status == Status.COMPLETED
    data = {
        "job_id": format_job_id(pk, created_at.year),
        "job_type": kind,
        "organization": organization,
        "attempt": attempt,
        "from_status": from_status,
        "to_status": to_status,
        "progress": progress if is_current else FULL * is_completed,
        "progress_message": said if is_current else "",
        "output_reference": _reference(output) if is_current and organization_pk not in hidden else None,
        "error_message": (error if is_current else message) if to_status in WITH_ERRORS else "",
        "started_at": started_at if is_current else timestamp if to_status == Status.RUNNING else None,
        "completed_at": completed_at if is_current else timestamp if to_status in WITH_COMPLETED_AT else None,
        "updated_at": timestamp,
    }
    before = None
    if is_completed:
        known = (pk, organization_pk, organization, kind, created_at, attempt, Status.RUNNING, FULL)
        before = _progress_event((*known, data["progress_message"]), {}, moment(timestamp))
    return Event(organization_pk, pk, dumps(cut_texts(data)), log_id, now, before=before)


def _reference(output: str) -> str | None:
    """The job's output reference as everybody who hears of the job may read it."""
    return MASK if output and "output_reference" in sensitive_names() else output or None


def progress_events(pks: Collection[int]) -> list[Event]:
    """The progress of these jobs as it is now; nothing of those that have ended or wait."""
    rows = Job.primary.filter(status=Status.RUNNING)
    now = moment(database.now()) if pks else ""
    found = [row for chunk in chunks(pks) for row in rows.filter(pk__in=chunk).values_list(*_PROGRESS_FIELDS)]
    ids = current_ids({row[1] for row in found})
    return [_progress_event(row, ids, now) for row in found]


def running_progress(organization_pk: Any) -> Iterable[tuple[Event, tuple[Any, ...]]]:
    """The progress of everything that runs for an organization, each with what makes it differ from another."""
    rows = Job.primary.filter(
        status__in=sorted(IN_FLIGHT), organization_id=organization_pk, attempt__gt=0, progress__gt=0
    )
    now = moment(database.now())
    running = [row for row in rows.values_list(*_PROGRESS_FIELDS)[:MAX_RUNNING] if row[6] == Status.RUNNING]
    ids = current_ids({row[1] for row in running})
    return [(_progress_event(row, ids, now), row[5:]) for row in running]


def _progress_event(row: tuple[Any, ...], ids: Mapping[Any, str], now: str) -> Event:
    pk, organization_pk, remembered, kind, created_at, attempt, status, progress, message = row
    organization = ids.get(organization_pk, "")
    data = {
        "job_id": format_job_id(pk, created_at.year),
        "job_type": kind,
        "organization": organization or remembered,
        "attempt": attempt,
        "status": status,
        "progress": progress,
        "progress_message": message,
        "updated_at": now,
    }
    filled = (pk, attempt) if progress == FULL else None
    return Event(organization_pk, pk, dumps(cut_texts(data)), organization=organization, filled=filled)
