"""A later submission in the place of an earlier one that has not started: the same job, with what is asked for now.

The earlier job's row is locked while it is judged, so replacements stand in line and the last one counts. A job that
has a ticket is withdrawn first: whoever takes that ticket finds a job that is not queued, or reads it anew
(``claim``).
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django_jobs.engine import database, dispatch, duplicates, events
from django_jobs.engine.actors import Actor, submitter_of
from django_jobs.engine.requests import Request
from django_jobs.engine.resubmission import HARMLESS
from django_jobs.engine.transitions import Move, move
from django_jobs.models import Job
from django_jobs.statuses import Status

MESSAGE: Final = "Replaced by a later submission"
#: What becomes that of the later submission. Id, dependencies and ``created_at`` stay the earlier one's.
_TAKEN: Final = (
    "owner_id",
    "owner_name",
    "priority",
    "input_parameters",
    "metadata",
    "run_at",
    "max_retries",
    "retry_delay",
    "timeout_seconds",
    "expires_at",
    "submitted_by_id",
    "submitted_by_attempt",
)


def replace(existing: Job, request: Request) -> Job | None:
    """Return the earlier job with what this submission asks for, or as it is where it has started.

    Return None when it has gone, died or was canceled meanwhile, and so keeps nobody out any more.
    """
    return database.in_transaction(lambda: _replace(existing.pk, request))


def _replace(pk: int, request: Request) -> Job | None:
    rows = Job.objects.using(database.alias()).filter(pk=pk)
    job: Job | None = database.locked(rows).first()
    if job is None or job.status in HARMLESS:
        return None
    if job.status not in {Status.PENDING, Status.QUEUED} or job.started_at is not None:
        return job
    now = database.now()
    is_queued = job.status == Status.QUEUED
    waits_for_parents = not is_queued and job.ready_at is None
    actor = submitter_of(request.job)
    values = {name: getattr(request.job, name) for name in _TAKEN}
    values["ready_at"] = None if waits_for_parents else max(now, request.job.run_at or now)
    if is_queued:
        _withdraw(pk, values, actor)
    else:
        rows.update(**values)
    duplicates.prolong(job.job_hash, pk, now + dt.timedelta(seconds=request.window))
    replaced: Job = rows.get()
    events.replaced(replaced, actor)
    if values["ready_at"] == now:
        database.on_commit(dispatch.wake)
    return replaced


def _withdraw(pk: int, values: dict[str, Any], actor: Actor) -> None:
    """Back to Pending with the new values; foreign keys are written by the fields' names."""
    written = {name.removesuffix("_id") if name == "owner_id" else name: value for name, value in values.items()}
    moved = move(
        [Move(pk=pk, to_status=Status.PENDING, message=MESSAGE, values={**written, "queued_at": None})],
        sources=[Status.QUEUED],
        actor=actor,
    )
    if not moved:
        raise AssertionError("A locked job changed its status.")
