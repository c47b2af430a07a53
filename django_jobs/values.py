"""The frozen answers that host code gets."""

from __future__ import annotations

import dataclasses
import datetime as dt
from dataclasses import field
from typing import Any, Final

from django_jobs.statuses import BatchState, Priority, Status

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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """What a job does, at the moment when it was read. Times are aware, in UTC.

    This is the one list of these fields: REST, its OpenAPI schema and the websocket make theirs from it. A field's
    ``metadata`` is what the schema says beside the type, in the names of a serializer field's arguments.

    ``organization`` is the id that the tenant has now; of a tenant that is gone, the one that it had at the submission.
    ``priority`` is the label. ``waiting_for`` is one of WAITING_REASONS while the job waits, else None.
    """

    job_id: str
    job_type: str
    organization: str
    owner: str = field(metadata={"help_text": "A user name; empty for server code."})
    status: str = field(metadata={"words": Status.values})
    priority: str = field(metadata={"words": Priority.words()})
    progress: int = field(metadata={"min_value": 0, "max_value": 100})
    progress_message: str
    created_at: dt.datetime
    run_at: dt.datetime | None
    queued_at: dt.datetime | None
    started_at: dt.datetime | None
    completed_at: dt.datetime | None
    canceled_at: dt.datetime | None
    attempt: int
    retry_count: int
    max_retries: int
    next_retry_at: dt.datetime | None
    output_reference: str | None
    result: Any = field(metadata={"help_text": "What the handler returned."})
    error_message: str
    error_type: str = field(metadata={"help_text": "Transient, Permanent or empty."})
    cancel_requested: bool
    depends_on: list[str]
    waiting_for: str | None = field(metadata={"help_text": "Why it does not run yet."})

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a dict, in their order; times stay datetimes."""
        return {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """What a batch does, at the moment when it was read. Times are aware, in UTC.

    ``by_status`` has the number of its jobs in each status, ``progress`` the share of them that have ended, in percent.
    ``state`` is Open while it takes jobs, Running until the last of them has ended, then Completed, Failed or Canceled.
    ``then_job`` and ``on_failure_job`` are the ids of the jobs that were submitted at its end; ``fault`` says why one
    could not be.
    """

    batch_id: str
    name: str
    organization: str
    owner: str = field(metadata={"help_text": "A user name; empty for server code."})
    state: str = field(metadata={"words": BatchState.values})
    total: int
    by_status: dict[str, int]
    progress: int = field(metadata={"min_value": 0, "max_value": 100})
    created_at: dt.datetime
    started_at: dt.datetime | None
    closed_at: dt.datetime | None
    completed_at: dt.datetime | None
    then_job: str | None
    on_failure_job: str | None
    fault: str = field(metadata={"help_text": "Why what follows it could not be submitted; empty where all is well."})

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a dict, in their order; times stay datetimes."""
        return {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OperationStatus:
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
    same_under_way: int | None = field(
        metadata={"help_text": "Another open operation that does the same to the same jobs; null: there is none."}
    )
    started_at: dt.datetime
    ended_at: dt.datetime | None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a dict, in their order; times stay datetimes."""
        return {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
