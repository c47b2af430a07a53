"""What must hold for a job's row by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from django_jobs.statuses import (
    AWAITING_RETRY,
    IN_FLIGHT,
    UNFINISHED,
    WITH_COMPLETED_AT,
    WITH_ERRORS,
    Status,
)
from lab.faults.tables import JobRow, Tables


class Rule(NamedTuple):
    """A promise about rows: of which it is broken, and how that is said."""

    is_broken: Callable[[JobRow], bool]
    words: str


RULES: Final[Sequence[Rule]] = (
    Rule(lambda job: job.status == Status.RUNNING and job.lease_expires_at is None, "has no lease"),
    Rule(lambda job: job.status == Status.RUNNING and not job.worker_name, "runs for no worker"),
    Rule(lambda job: job.status == Status.RUNNING and job.started_at is None, "has no start"),
    Rule(lambda job: job.status != Status.RUNNING and job.lease_expires_at is not None, "has a lease"),
    Rule(lambda job: job.status in IN_FLIGHT and job.queued_at is None, "has no moment at which it was queued"),
    Rule(lambda job: job.status in AWAITING_RETRY and job.ready_at is None, "waits for a retry that never comes"),
    Rule(lambda job: job.status in AWAITING_RETRY and job.next_retry_at is None, "does not say when it is retried"),
    Rule(lambda job: job.status not in AWAITING_RETRY and job.next_retry_at is not None, "has a moment of retry"),
    Rule(lambda job: job.status in WITH_COMPLETED_AT and job.completed_at is None, "has no time of its end"),
    Rule(lambda job: job.status == Status.CANCELED and job.canceled_at is None, "has no time of its end"),
    Rule(lambda job: job.status == Status.CANCELED and not job.canceled_by, "was canceled by nobody"),
    Rule(lambda job: job.status in UNFINISHED and job.completed_at is not None, "has a time of its end"),
    Rule(lambda job: job.status in UNFINISHED and job.canceled_at is not None, "has a time of its cancel"),
    Rule(lambda job: job.status == Status.COMPLETED and job.progress != 100, "has not all of its progress"),
    Rule(lambda job: job.status == Status.COMPLETED and bool(job.error_message), "has an error"),
    Rule(lambda job: job.status in WITH_ERRORS and not job.error_message, "has no error"),
    Rule(lambda job: job.status in WITH_ERRORS and not job.error_type, "has no type of error"),
    Rule(
        lambda job: job.cancel_requested_at is not None and job.status in UNFINISHED - {Status.RUNNING},
        "goes on though its cancel was requested",
    ),
    Rule(
        lambda job: job.cancel_requested_at is not None and job.status == Status.DEAD_LETTER,
        "should be Canceled, since that was requested",
    ),
    Rule(lambda job: job.is_orphaned and job.status != Status.DEAD_LETTER, "is marked as dead with a parent"),
    Rule(lambda job: job.attempt == 0 and job.status in {Status.RUNNING, Status.COMPLETED}, "has no attempt"),
)


def findings(tables: Tables) -> Iterator[str]:
    """Yield what is wrong with single rows."""
    for job in tables.jobs.values():
        for rule in RULES:
            if rule.is_broken(job):
                yield f"Job {job.pk} is {job.status} and {rule.words}."
