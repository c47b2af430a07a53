"""A breaker that holds the jobs of its type. While it recovers, its alarm stays, and no new one is raised."""

from __future__ import annotations

from typing import Any, Final

from django_jobs.engine.alerts.failing_jobs import counts_by_organization
from django_jobs.engine.alerts.findings import MAX_FINDINGS, Finding, Look, one_line
from django_jobs.engine.insight.breakers import MAX_WAITING, OpenBreaker, count_waiting, open_breakers
from django_jobs.statuses import BreakerState

#: Of so many breakers it is counted what waits.
MAX_COUNTED: Final = 10
#: Seconds: whose attempts began so lately are concerned.
LATELY: Final = 24 * 3_600


def find(look: Look) -> list[Finding]:
    """Return the types whose breakers hold their jobs."""
    held = [
        item
        for item in open_breakers(most=MAX_FINDINGS, counts_waiting=False)
        if item.state == BreakerState.OPEN or item.job_type in look.open
    ]
    return [
        Finding(subject=item.job_type, facts={**_facts(look, item), **(_waiting(item) if number < MAX_COUNTED else {})})
        for number, item in enumerate(held)
    ]


def _facts(look: Look, item: OpenBreaker) -> dict[str, Any]:
    sample = look.round.failing_jobs
    rows = sample.of_types({item.job_type}, look.ago(LATELY))
    return {
        "since": item.since.isoformat(),
        "state": str(item.state),
        "exception": one_line(item.error_message),
        "failed": item.failures,
        "next_try_at": item.next_try_at.isoformat() if item.next_try_at else None,
        "organizations": counts_by_organization(row.organization for row in rows),
        "has_more": sample.is_cut,
    }


def _waiting(item: OpenBreaker) -> dict[str, Any]:
    count = count_waiting(item.job_type)
    return {"waiting": min(count, MAX_WAITING), "has_more_waiting": count > MAX_WAITING}
