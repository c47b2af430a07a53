"""The frozen answers that host code gets."""

from __future__ import annotations

import dataclasses
import datetime as dt
from dataclasses import field
from typing import Any, Final

from django_jobs.statuses import BatchState, OpenTo, Priority, Status

#: The reasons that ``JobStatus.waiting_for`` gives. Where several hold, it gives the first of them.
WAITING_REASONS: Final = (
    "dependency",
    "organization_inactive",
    "type_disabled",
    "type_paused",
    "run_at",
    "retry",
    "handler",
    "breaker",
    "concurrency",
    "limit",
    "window",
    "broker",
)


class Answer:
    """The base of the frozen answers."""

    __slots__ = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a dict, in their order; times stay datetimes."""
        fields: Any = dataclasses.fields
        return {item.name: getattr(self, item.name) for item in fields(self)}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus(Answer):
    """What a job does, at the moment when it was read. Times are aware, in UTC.

    This is the one list of these fields: REST, its OpenAPI schema and the websocket make theirs from it. A field's
    ``metadata`` is what the schema says beside the type, in the names of a serializer field's arguments.

    ``organization`` is the id that the tenant has now; of a tenant that is gone, the one that it had at the submission.
    ``priority`` is the label. ``waiting_for`` is one of WAITING_REASONS while the job waits, else None.
    """

    #: Such as ``JOB-2026-00001``.
    job_id: str
    job_type: str
    organization: str
    #: The owner's user name; empty for server code.
    owner: str = field(metadata={"help_text": "A user name; empty for server code."})
    #: The status as text, such as ``Running``.
    status: str = field(metadata={"words": Status.values})
    #: The priority as text, such as ``High``.
    priority: str = field(metadata={"words": Priority.words()})
    #: 0 to 100.
    progress: int = field(metadata={"min_value": 0, "max_value": 100})
    #: What the handler said last.
    progress_message: str
    #: When it was submitted.
    created_at: dt.datetime
    #: The moment before which it does not run.
    run_at: dt.datetime | None
    #: When it was handed to the broker.
    queued_at: dt.datetime | None
    #: When the handler of its last attempt began.
    started_at: dt.datetime | None
    #: When it ended as Completed or Dead Letter.
    completed_at: dt.datetime | None
    #: When it ended as Canceled.
    canceled_at: dt.datetime | None
    #: How often it was begun, over all its lives.
    attempt: int
    #: How many retries are spent.
    retry_count: int
    #: How many retries it has.
    max_retries: int
    #: When the next retry is due.
    next_retry_at: dt.datetime | None
    #: The file that the handler saved, as a name in the output storage.
    output_reference: str | None
    #: What the handler returned.
    result: Any = field(metadata={"help_text": "What the handler returned."})
    #: Why the last attempt failed; empty where none did.
    error_message: str
    #: ``Transient``, ``Permanent`` or empty.
    error_type: str = field(metadata={"help_text": "Transient, Permanent or empty."})
    #: Whether somebody asked it to stop, and it has not stopped yet.
    cancel_requested: bool
    #: The ids of its parents.
    depends_on: list[str]
    #: Why it does not run yet: one of :data:`WAITING_REASONS`, or None.
    waiting_for: str | None = field(metadata={"help_text": "Why it does not run yet."})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus(Answer):
    """What a batch does, at the moment when it was read. Times are aware, in UTC.

    ``by_status`` has the number of its jobs in each status, ``progress`` the share of them that have ended, in percent.
    ``state`` is Open while it takes jobs, Running until the last of them has ended, then Completed, Failed or Canceled.
    ``then_job`` and ``on_failure_job`` are the ids of the jobs that were submitted at its end; ``fault`` says why one
    could not be.
    """

    #: Such as ``BATCH-2026-00001``.
    batch_id: str
    #: Its title.
    name: str
    organization: str
    #: The owner's user name; empty for server code.
    owner: str = field(metadata={"help_text": "A user name; empty for server code."})
    #: Whose jobs it takes beside those of server code: ``owner`` or ``members``.
    open_to: str = field(default=OpenTo.OWNER, metadata={"words": OpenTo.values})
    state: str = field(metadata={"words": BatchState.values})
    #: How many jobs it has.
    total: int
    #: How many of its jobs are in each status.
    by_status: dict[str, int]
    #: The share of its jobs that have ended, in percent.
    progress: int = field(metadata={"min_value": 0, "max_value": 100})
    #: When it was made.
    created_at: dt.datetime
    #: When the first of its jobs began.
    started_at: dt.datetime | None
    #: When it was closed.
    closed_at: dt.datetime | None
    #: When the last of its jobs ended, however it did.
    completed_at: dt.datetime | None
    then_job: str | None
    on_failure_job: str | None
    fault: str = field(metadata={"help_text": "Why what follows it could not be submitted; empty where all is well."})
    #: How many of its jobs the host's access policy kept from the last cancel or retry of the batch.
    refused: int = field(
        default=0, metadata={"help_text": "Jobs that the access policy kept from the last cancel or retry."}
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OperationStatus(Answer):
    """What an operation does, and what became of its jobs, at the moment when it was read. Times are aware, in UTC.

    ``reason`` says why the engine paused or stopped it; it is empty where a person did. ``refused`` has the number of
    jobs that were left as they are, by reason. ``outcome`` has what became of the changed jobs, by status, as it was
    counted within the last seconds; it misses those that a person or a later operation took up since.
    """

    id: int
    action: str
    value: str | None = field(metadata={"help_text": "The new priority."})
    filters: Any = field(metadata={"help_text": "The parameters of the list of jobs."})
    state: str = field(metadata={"help_text": "running, paused, stopped or done."})
    reason: str
    note: str
    user: str
    rate: int | None = field(metadata={"help_text": "Jobs a minute; null: as fast as it goes."})
    stop_above: float | None
    try_first: bool
    count: int = field(metadata={"help_text": "The jobs that it is about."})
    count_capped: bool = field(metadata={"help_text": "Whether there are more, which are not counted yet."})
    changed: int
    asked_to_stop: int = field(metadata={"help_text": "Of the changed ones: those that run and were asked to stop."})
    refused: dict[str, int]
    outcome: dict[str, int]
    outcome_is_exact: bool
    eta_seconds: float | None = field(metadata={"help_text": "How long it will take, about."})
    started_at: dt.datetime
    ended_at: dt.datetime | None
