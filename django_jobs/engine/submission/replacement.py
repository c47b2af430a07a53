"""Replacing: an earlier job that has not started gets the values of a later submission of the same work.

The job's row is locked while it is judged, so replacements come one after the other and the last one counts. A job that
has a ticket goes back to Pending first. The worker that takes the ticket then finds a job that is not queued, or reads
the new values (``claim``). A job that has started, or that a worker has claimed ahead, runs with the values that were
read. So the later submission becomes a job of its own. It takes the place of the earlier one as the job that is to be
replaced.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Collection, Sequence
from typing import Any, Final

from django_jobs.engine.actors import Actor, submitter_of
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.job_types.declarations import RETRY_FIELDS
from django_jobs.engine.json_storage import canonical
from django_jobs.engine.store import database
from django_jobs.engine.store.head_starts import place_in_lane
from django_jobs.engine.submission import duplicates, resubmission
from django_jobs.engine.submission.building import Request
from django_jobs.engine.transitions import Move, hooks, move
from django_jobs.models import Job
from django_jobs.statuses import AWAITING_TURN, UNSUCCESSFUL, Status
from django_jobs.texts import say

MESSAGE: Final = say("Replaced by a later submission", code="replaced")
#: Jobs that are locked together.
AT_ONCE: Final = 1_000
#: The fields that are taken from the later submission. Id, dependencies and ``created_at`` stay as they are.
_TAKEN: Final = (
    "owner_id",
    "owner_name",
    "priority",
    "head_start",
    "input_parameters",
    "lane_key",
    "metadata",
    "run_at",
    *RETRY_FIELDS,
    "timeout_seconds",
    "expires_at",
    "submitted_by_id",
    "submitted_by_attempt",
)


def replace(existing: Job, request: Request) -> Job | None:
    """Give the earlier job the values of this submission, unless it has started, and return it.

    Return None where it has started, was deleted, was canceled or is a Dead Letter: then there is to be a new job.
    """
    return replace_all([existing.pk], request).get(existing.pk)


def replace_all(pks: Collection[int], request: Request) -> dict[int, Job]:
    """Do the same for many jobs that differ only in their organizations; return those that are left, by key."""
    ordered = sorted(pks)
    found: dict[int, Job] = {}
    for start in range(0, len(ordered), AT_ONCE):
        chunk = ordered[start : start + AT_ONCE]
        found |= database.in_transaction(functools.partial(_replace, chunk, request))
    return found


def _replace(pks: Sequence[int], request: Request) -> dict[int, Job]:
    rows = Job.primary.all()
    found = [job for job in database.locked(rows.filter(pk__in=pks)) if job.status not in UNSUCCESSFUL]
    waiting = [job for job in found if job.status in AWAITING_TURN and not _has_started(job)]
    kept = {job.pk: job for job in found if job not in waiting and _is_repeated(job, request.job)}
    if not waiting:
        return kept
    now = database.now()
    actor = submitter_of(request.job)
    _write(waiting, request.job, now, actor)
    duplicates.prolong({job.job_hash: job.pk for job in waiting}, now + dt.timedelta(seconds=request.window))
    replaced = rows.in_bulk([job.pk for job in waiting])
    for job in replaced.values():
        hooks.announcer().replaced(job, actor)
    if any(job.ready_at and not job.is_delayed for job in replaced.values()):
        database.once_on_commit(dispatcher.wake)
    return kept | replaced


def _is_repeated(job: Job, asked: Job) -> bool:
    """Return whether an earlier attempt of the running job submitted just this."""
    return resubmission.is_own(job) and canonical(job.input_parameters) == canonical(asked.input_parameters)


def _has_started(job: Job) -> bool:
    """Return whether a handler began with the values that the job has. An interruption empties ``started_at``, and so
    does a retry by hand; but the next attempt goes on from the steps and the checkpoint of the last one.
    """
    return job.started_at is not None or job.begun_attempt > 0


def _write(waiting: Sequence[Job], asked: Job, now: dt.datetime, actor: Actor) -> None:
    """Write the new values. A job that waits for parents goes on waiting for them."""
    ready_at = max(now, asked.run_at or now)
    is_delayed = ready_at > now
    if not is_delayed:
        ready_at = place_in_lane(ready_at, asked.head_start)
    values = {name: getattr(asked, name) for name in _TAKEN}
    queued = [job.pk for job in waiting if job.status == Status.QUEUED]
    ready = [job.pk for job in waiting if job.status == Status.PENDING and job.ready_at is not None]
    held = [job.pk for job in waiting if job.status == Status.PENDING and job.ready_at is None]
    if queued:
        _withdraw(queued, {**values, "ready_at": ready_at, "is_delayed": is_delayed}, actor)
    if ready:
        Job.primary.filter(pk__in=ready).update(**values, ready_at=ready_at, is_delayed=is_delayed)
    if held:
        Job.primary.filter(pk__in=held).update(**values, ready_at=None)


def _withdraw(pks: Sequence[int], values: dict[str, Any], actor: Actor) -> None:
    """Take these jobs back to Pending with the new values. A move names foreign keys without ``_id``."""
    written = {name.removesuffix("_id") if name == "owner_id" else name: value for name, value in values.items()}
    written["queued_at"] = None
    moves = [Move(pk=pk, to_status=Status.PENDING, message=MESSAGE, values=written) for pk in pks]
    if len(move(moves, sources=[Status.QUEUED], actor=actor)) < len(pks):
        raise AssertionError("A locked job changed its status.")
