"""Bringing jobs whose moment has come into the lanes that dispatch walks.

What waits for its moment is in no lane, so that it costs nobody who submits or dispatches.
"""

from __future__ import annotations

import math
import time
from typing import Final

from django_jobs.engine.dispatch import lane_marks
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store

BATCH: Final = 1_000
#: How long one call may take, about.
SECONDS: Final = 0.5
#: What is brought so many seconds after it was due may lie behind a mark. Less than the margin of marks.
LATE_SECONDS: Final = 1.5

#: When this process last brought all that was due.
_brought_at: float = -math.inf


def bring_due() -> int:
    """Bring what is due, the longest due first, and return how many jobs that was.

    Jobs whose rows others hold are left to the next call. What may come late has the next pass of this process look at
    every lane from its beginning.
    """
    global _brought_at  # noqa: PLW0603  (a process-wide note)
    began = time.monotonic()
    total = 0
    while True:
        found, brought = _bring_batch()
        total += brought
        if found < BATCH or brought < found or time.monotonic() >= began + SECONDS:
            break
    if total and began - _brought_at > LATE_SECONDS:
        lane_marks.want_whole_walk()
    if brought == found < BATCH:
        _brought_at = began
    return total


def _bring_batch() -> tuple[int, int]:
    """Return how many jobs were found, and how many of them were brought."""
    found = store().due_jobs(BATCH)
    return len(found), database.in_transaction(lambda: store().end_delays(found)) if found else 0
