"""Attempts that a worker had in hand when it died, and whose handlers had not begun.

Mostly such a job is a bystander, so that it is handed back. But the import of its handler, or what comes before that,
may be what kills workers, and then that would go on for ever. So a job that was alone in a dying worker's hands for the
second time is charged for it as for a handler that kills its process.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from django_jobs.conf import jobs_settings
from django_jobs.engine.actors import WORKER
from django_jobs.engine.execution import settle
from django_jobs.engine.store.claim_rows import Row
from django_jobs.engine.transitions import INCREMENT, NOW, After, Move, Moved, Waypoint, claim_known, move
from django_jobs.models import ExecutionLog
from django_jobs.statuses import AWAITING_TURN, Status
from django_jobs.texts import say

#: How the message of a return to the queue begins that counts at the next death; the Execution Log is searched for it.
DIED_ALONE: Final = "Handed back: its worker died before it began"


def start(
    attempts: Collection[tuple[int, int]],
    worker_name: str,
    sources: Collection[str] = (Status.QUEUED,),
    via: Waypoint | None = None,
) -> list[Moved]:
    """Move jobs to Running, each for this attempt, under a lease: those that are queued, or by way of a status.

    Rows in use do not move.
    """
    values = _values(worker_name) if via is None else _values(worker_name) | {"queued_at": NOW, "next_retry_at": None}
    return move(
        [Move(pk=pk, to_status=Status.RUNNING, attempt=attempt - 1, values=values) for pk, attempt in attempts],
        sources=sources,
        actor=WORKER,
        worker_name=worker_name,
        skip_locked=True,
        only_due=via is not None,
        via=via,
    )


def start_known(pk: int, attempt: int, worker_name: str, known: Sequence[Row]) -> tuple[Moved, Row] | None:
    """Move a queued job to Running if it is like one of these rows; return its own as well, as it was before."""
    item = Move(pk=pk, to_status=Status.RUNNING, attempt=attempt - 1, values=_values(worker_name))
    return claim_known(item, known, worker_name=worker_name)


def _values(worker_name: str) -> dict[str, Any]:
    lease = After(float(jobs_settings.LEASE_SECONDS))
    values = {"attempt": INCREMENT, "worker_name": worker_name, "started_at": NOW, "lease_expires_at": lease}
    return values | {"progress": 0, "progress_message": "", "cancel_requested_at": None, "ready_at": None}


def end(attempts: Sequence[tuple[int, int]], reason: str, worker_name: str, *, is_suspect: bool) -> list[Moved]:
    """Hand attempts back that had not begun; charge one that is alone and was so before.

    ``is_suspect`` says that nothing else is known that the worker may have died of.
    """
    is_alone = is_suspect and len(attempts) == 1
    if is_alone and _died_alone_before(attempts[0][0]):
        return settle.settle_lost(attempts, f"{reason}, before its handler began", worker_name)
    text = DIED_ALONE if is_alone else "Handed back before it began"
    message = say(f"{text}: %(reason)s", code="died_alone" if is_alone else "unbegun", reason=reason)
    return settle.return_to_queue(attempts, message, worker_name)


def _died_alone_before(pk: int) -> bool:
    logs = ExecutionLog.primary.filter(job_id=pk, to_status__in=sorted(AWAITING_TURN))
    return logs.filter(message__startswith=DIED_ALONE).exists()
