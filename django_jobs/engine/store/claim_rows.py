"""What the claim reads of a job and its type."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple


class Row(NamedTuple):
    """A job with what its type says; ``handler_method`` is None when the type is gone.

    ``organization`` is the id that its tenant has now; None when the tenant is gone.
    """

    pk: int
    status: str
    attempt: int
    priority: int
    created_at: dt.datetime
    job_type_id: str
    organization_id: Any
    lane_key: int
    organization_name: str
    owner_id: Any
    owner_name: str
    input_parameters: Any
    metadata: Any
    timeout_seconds: int
    fileless_attempts: int
    submitted_by_id: int | None
    queued_at: dt.datetime | None
    handler_method: str | None
    is_enabled: bool | None
    is_paused: bool | None
    requires_permission: str | None
    submit_by: str | None
    pool: str | None
    #: How many failures open the breaker of its type; 0: it has none.
    breaker_failures: int | None
    #: Whether its end may let another one start, by a limit of its type; and whether a limit makes every start count:
    #: then a worker takes none before it has a slot for it.
    is_limited: bool | None
    starts_count: bool | None
    #: Until the job expires, None where it does not; negative once it has.
    seconds_left: float | None
    organization: str | None
    #: ``seconds_left`` as a moment of the monotonic clock, a little early.
    starts_before: float | None
