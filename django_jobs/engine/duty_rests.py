"""How long a duty of the scheduler rests that took long: so long that the scheduler becomes steady, and rescues."""

from __future__ import annotations

from typing import Final

from django_jobs.conf import jobs_settings

LEAST_SECONDS: Final = 60.0


def rest_seconds() -> float:
    """Return for how many seconds it rests."""
    return max(LEAST_SECONDS, 2 * float(jobs_settings.LEASE_SECONDS))
