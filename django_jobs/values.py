"""The frozen answers that host code gets."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """What may be told of a job. Times are aware, in UTC; ``priority`` is the label; ``progress`` is a percentage.

    ``organization`` is the id that the tenant has now; of a tenant that is gone, the one that it had at the submission.

    ``waiting_for`` says why it does not run yet: None or ``run_at``, ``dependency``, ``retry``,
    ``organization_inactive``, ``type_disabled``, ``type_paused``, ``handler``, ``limit``, ``window`` or ``broker``.
    """

    job_id: str
    job_type: str
    organization: str
    owner: str
    status: str
    priority: str
    progress: int
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
    result: Any
    error_message: str
    error_type: str
    cancel_requested: bool
    depends_on: list[str]
    waiting_for: str | None

    def as_dict(self) -> dict[str, Any]:
        """The same as a dict; times stay datetimes."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
