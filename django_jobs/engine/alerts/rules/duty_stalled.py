"""A duty of a scheduler that makes no round."""

from __future__ import annotations

from django_jobs.engine import duty_watch
from django_jobs.engine.alerts.findings import MAX_FINDINGS, Finding, Look


def find(look: Look) -> list[Finding]:
    """Return the duties that are stalled, by name; of several schedulers' the one that is for longest."""
    found = {item.duty: item for item in sorted(duty_watch.stalled(look.moment), key=lambda item: item.since)[::-1]}
    return [
        Finding(subject=duty, facts={"scheduler": item.scheduler, "since": item.since.isoformat()})
        for duty, item in sorted(found.items())[:MAX_FINDINGS]
    ]
