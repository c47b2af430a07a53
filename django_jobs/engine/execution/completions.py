"""Storing attempts whose handlers returned."""

from __future__ import annotations

import time
from collections.abc import Sequence

from django_jobs.engine.actors import WORKER
from django_jobs.engine.execution import breakers, handler_logs, outcomes
from django_jobs.engine.store import database
from django_jobs.engine.transitions import After, Move, Moved, move
from django_jobs.statuses import Status


def complete(items: Sequence[outcomes.Returned], worker_name: str) -> list[Moved]:
    """Move the jobs of these attempts to Completed, count that for the breakers of their types and store their logs."""
    if not any(item.claimed.breaker_failures or item.log for item in items):
        return _move(items, worker_name)

    def store() -> list[Moved]:
        moved = _move(items, worker_name)
        if any(item.claimed.breaker_failures for item in items):
            breakers.count_completions(items, moved)
        stored = {(found.pk, found.attempt) for found in moved}
        handler_logs.save_with_ends(item for item in items if (item.claimed.pk, item.claimed.attempt) in stored)
        return moved

    return database.in_transaction(store)


def _move(items: Sequence[outcomes.Returned], worker_name: str) -> list[Moved]:
    now = time.monotonic()
    moves = [
        Move(
            pk=item.claimed.pk,
            to_status=Status.COMPLETED,
            attempt=item.claimed.attempt,
            values={
                "progress": 100,
                "result": item.result,
                "output_reference": item.output_reference,
                "error_message": "",
                "error_type": "",
                "error_fingerprint": "",
                "started_at": After(item.started - now),
                "completed_at": After(item.started + item.seconds - now),
                "lease_expires_at": None,
                "fileless_attempts": item.fileless_attempts,
                "ready_at": None,
                **_last_message(item),
            },
        )
        for item in items
    ]
    return move(moves, sources=[Status.RUNNING], actor=WORKER, worker_name=worker_name, skip_locked=True, only_own=True)


def _last_message(item: outcomes.Outcome) -> dict[str, str]:
    message = None if item.unwritten is None else item.unwritten[1]
    return {} if message is None else {"progress_message": message}
