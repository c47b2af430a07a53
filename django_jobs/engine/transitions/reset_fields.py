"""The values of a job that starts over: those of a new job, except that ``attempt`` goes on counting."""

from __future__ import annotations

from typing import Any, Final

RESET_FIELDS: Final[dict[str, Any]] = {
    "retry_count": 0,
    "next_retry_at": None,
    "error_message": "",
    "error_type": "",
    "error_fingerprint": "",
    "result": None,
    "output_reference": "",
    "progress": 0,
    "progress_message": "",
    "queued_at": None,
    "started_at": None,
    "completed_at": None,
    "canceled_at": None,
    "cancel_requested_at": None,
    "canceled_by": "",
    "worker_name": "",
    # Whoever starts it over wants it to run, also after the moment at which it would have expired.
    "expires_at": None,
    "is_orphaned": False,
}
