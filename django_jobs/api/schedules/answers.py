"""What clients are told of schedules and their firings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from django_jobs.api.scope import jobs_seen_by
from django_jobs.engine.access import may_view
from django_jobs.engine.job_types.masking import hidden_from, masked
from django_jobs.engine.schedules.definitions import Preview
from django_jobs.engine.schedules.timetable import rule_of
from django_jobs.engine.store.organization_ids import current_ids
from django_jobs.models import Schedule, ScheduleFiring
from django_jobs.statuses import Priority


def rows_of(schedules: Sequence[Schedule], user: Any, address_of: Callable[[int], str]) -> list[dict[str, Any]]:
    """Return the schedules as a client reads them, with the ids of their organizations in one statement."""
    ids = current_ids({row.organization_id for row in schedules} - {None})
    names = hidden_from(user)
    return [
        {
            "id": row.pk,
            "name": row.name,
            "job_type": row.job_type_id,
            "organization": _tenant(row.organization_id, ids),
            "parameters": masked(row.parameters, names),
            "priority": _word(row.priority),
            "cron": row.cron or None,
            "every": row.every,
            "timezone": row.timezone,
            "starts_at": moment(row.starts_at),
            "ends_at": moment(row.ends_at),
            "jitter": row.jitter,
            "catch_up": row.catch_up,
            "overlap": row.overlap,
            "is_enabled": row.is_enabled,
            "url": address_of(row.pk),
            "words": rule_of(row).words(),
            "owner": row.owner_name,
            "created_at": moment(row.created_at),
            "last_fired_at": moment(row.last_fired_at),
            "next_run_at": moment(row.next_run_at),
            "fault": row.fault,
            "faulty_since": moment(row.faulty_since),
        }
        for row in schedules
    ]


def _tenant(pk: Any, ids: dict[Any, str]) -> str | None:
    """Return the id of a tenant, "" for one that is gone, and None for all of them."""
    return None if pk is None else ids.get(pk, "")


def _word(priority: int | None) -> str | None:
    return None if priority is None else Priority(priority).word


def firings_of(firings: Sequence[ScheduleFiring], user: Any) -> list[dict[str, Any]]:
    """Return firings as a client reads them, with the ids of the jobs that the user may see in one statement."""
    pks = {firing.job_id for firing in firings if firing.job_id is not None}
    jobs = jobs_seen_by(user).filter(pk__in=pks).order_by() if pks else ()
    names = {job.pk: job.name for job in jobs if may_view(user, job)}
    return [
        {
            "due_at": moment(firing.due_at),
            "fired_at": moment(firing.fired_at),
            "outcome": firing.outcome,
            "submitted": firing.submitted,
            "skipped": firing.skipped,
            "job_id": names.get(firing.job_id or 0),
            "note": firing.note,
            "actor": firing.actor,
        }
        for firing in firings
    ]


def preview_of(found: Preview) -> dict[str, Any]:
    """Return what a rule says as a client reads it; its firings are in its own time zone."""
    runs = [run.isoformat() for run in found.next_runs]
    return {"words": found.words, "timezone": found.timezone, "next_runs": runs}


def moment(value: dt.datetime | None) -> str | None:
    """Return a moment in UTC, as the other answers have it."""
    return None if value is None else value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
