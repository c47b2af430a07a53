"""A breaker that holds the jobs of its type. While it recovers, its alarm stays, and no new one is raised."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from django_jobs.engine.alerts.failing_jobs import counts_by_organization, failing_jobs
from django_jobs.engine.alerts.findings import MAX_FINDINGS, Finding, Look, one_line
from django_jobs.engine.insight.breakers import MAX_WAITING, OpenBreaker, open_breakers, waiting_by_organization
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
    return [_finding(look, item, is_counted=number < MAX_COUNTED) for number, item in enumerate(held)]


def _finding(look: Look, item: OpenBreaker, *, is_counted: bool) -> Finding:
    """Return what a breaker holds. Concerned is whose jobs failed, and where it is counted, whose jobs wait for it.

    Where it holds one organization, it is that one alone.
    """
    waits = waiting_by_organization(item) if is_counted else Counter[Any]()
    has_more = waits.total() > MAX_WAITING
    rows, is_cut = failing_jobs([item.job_type], look.ago(LATELY))
    failed = Counter(row.organization for row in rows)
    if item.organization_pk is not None:
        failed = Counter({pk: count for pk, count in failed.items() if pk == item.organization_pk})
    facts = {
        "organization": item.organization,
        "since": item.since.isoformat(),
        "state": str(item.state),
        "exception": one_line(item.error_message),
        "failed": item.failures,
        "next_try_at": item.next_try_at.isoformat() if item.next_try_at else None,
        "organizations": counts_by_organization(failed | waits),
        "has_more": is_cut or has_more,
    }
    if is_counted:
        facts |= {"waiting": min(waits.total(), MAX_WAITING), "has_more_waiting": has_more}
    return Finding(subject=item.job_type, facts=facts)
