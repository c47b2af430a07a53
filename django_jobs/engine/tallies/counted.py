"""Which moves count, and as what."""

from __future__ import annotations

from typing import Final

from django_jobs.statuses import Status

#: By the status that a job moved to; a row without a status before is a submission.
COUNTED_AS: Final[dict[str, str]] = {
    Status.RUNNING: "started",
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.TIMED_OUT: "failed",
    Status.DEAD_LETTER: "died",
    Status.CANCELED: "canceled",
}
#: Where an attempt ended like this for good, it counts as a failed one too. What dies otherwise had its last attempt
#: counted before, or never had one.
FAILED_FOR_GOOD: Final = (Status.RUNNING, Status.DEAD_LETTER)
