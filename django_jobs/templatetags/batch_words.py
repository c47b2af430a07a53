"""The state of a batch in words for the people who wait for it. ``batch_progress.js`` has the same words."""

from __future__ import annotations

from typing import Final

from django_jobs.statuses import AWAITING_RETRY, BatchState, Status
from django_jobs.values import BatchStatus

WORDS: Final[dict[str, str]] = {BatchState.FAILED: "Did not all complete"}
EMPTY: Final = "No jobs yet"


def state_in_words(batch: BatchStatus) -> str:
    """Return what the batch does, such as ``Running``."""
    return WORDS.get(batch.state, batch.state)


def failed_of(batch: BatchStatus) -> int:
    """Return how many of its jobs failed, those included that will be tried again."""
    return sum(batch.by_status[status] for status in (Status.DEAD_LETTER, *AWAITING_RETRY))


def counts_in_words(batch: BatchStatus) -> str:
    """Return what became of its jobs, such as ``120 of 200 done, 3 failed``."""
    if not batch.total:
        return EMPTY if batch.state == BatchState.OPEN else ""
    failed, canceled = failed_of(batch), batch.by_status[Status.CANCELED]
    parts = [f"{batch.by_status[Status.COMPLETED]} of {batch.total} done"]
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{canceled} canceled"] if canceled else []
    return ", ".join(parts)
