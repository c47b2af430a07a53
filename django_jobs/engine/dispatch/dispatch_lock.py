"""That one dispatcher works at a time: a row's lock, for as long as a transaction lasts."""

from __future__ import annotations

import time
from typing import Final

from django_jobs.conf import jobs_settings
from django_jobs.engine.store.chosen import store
from django_jobs.models import EngineLease, Job
from django_jobs.statuses import IN_FLIGHT, Status

LEASE: Final = "dispatcher"
#: Where the state of a row says that it was made anew though jobs have started: what was known of rates is lost.
RATES_LOST: Final = "rates_lost"
STUCK_SECONDS: Final = 3.0
#: How long a process waits in line for the lock. A pass or a share takes milliseconds, or tens of them; many processes
#: may be in line, and the server logs each wait that is in vain.
WAIT_SECONDS: Final = 0.25

_busy_since: float | None = None
_last_miss: float = 0.0


def take(seconds: float = 0.0) -> EngineLease | None:
    """Return the row, locked until the transaction ends; None when other dispatchers have it for so many seconds."""
    global _busy_since  # noqa: PLW0603  (a process-wide note)
    rows = EngineLease.primary.filter(pk=LEASE)
    lease = store().first_locked(rows, seconds)
    if lease is None and not rows.exists():
        state = {RATES_LOST: True} if _has_anything_started() else {}
        EngineLease.primary.bulk_create([EngineLease(name=LEASE, state=state)], ignore_conflicts=True)
        lease = store().first_locked(rows, seconds)
    if lease is not None:
        _busy_since = None
    return lease


def _has_anything_started() -> bool:
    """Return whether any job runs or has completed, by the indexes of those."""
    in_flight = Job.primary.filter(status__in=sorted(IN_FLIGHT)).order_by("queued_at")
    completed = Job.primary.filter(status=Status.COMPLETED).order_by("pk")
    return any(list(rows.values_list("pk")[:1]) for rows in (in_flight, completed))


def is_stuck() -> bool:
    """Return whether somebody has held the lock at every try for seconds, as a frozen process does.

    Call it after each miss. Misses further apart than the scheduler's tries do not count: anybody may have had the
    lock in between. When it is stuck, others go on without the lock: moves are guarded, so the worst that can happen
    is more tickets than the window holds.
    """
    global _busy_since, _last_miss  # noqa: PLW0603
    now = time.monotonic()
    if _busy_since is None or now - _last_miss > 1 + float(jobs_settings.SCHEDULER_INTERVAL):
        _busy_since = now
    _last_miss = now
    return now - _busy_since > STUCK_SECONDS


def look() -> EngineLease | None:
    """Return the row as it is, without the lock."""
    return EngineLease.primary.filter(pk=LEASE).first()
