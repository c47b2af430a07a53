"""Many new Dead Letters in a window, of types that are not told as failing, and none that was told so before."""

from __future__ import annotations

from typing import Final

from django_jobs.engine.alerts import records, thresholds
from django_jobs.engine.alerts.failing_jobs import counts_by_organization, failing_jobs
from django_jobs.engine.alerts.findings import Finding, Look
from django_jobs.engine.alerts.recent_attempts import deaths_since

#: An alarm that is open goes on until less than this part of what raises it is left.
CALM: Final = 0.5
MAX_NAMED: Final = 5


def find(look: Look) -> list[Finding]:
    """Return a finding, without a subject, where so many jobs died in the window."""
    since = look.ago(look.thresholds["seconds"])
    told = look.round.found.get(thresholds.TYPE_FAILING, ())
    counted = deaths_since(since)
    if counted and (over := records.cleared_moments(thresholds.TYPE_FAILING)):
        counted = deaths_since(since, {name: over[name] for name in counted.keys() & over})
    deaths = {name: count for name, count in counted.items() if name not in told}
    total, least = sum(deaths.values()), look.thresholds["count"]
    if total < (least * CALM if "" in look.open else least):
        return []
    rows, is_cut = failing_jobs(deaths, since)
    facts = {
        "count": total,
        "seconds": look.thresholds["seconds"],
        "types": dict(list(deaths.items())[:MAX_NAMED]),
        "more_types": max(0, len(deaths) - MAX_NAMED),
        "organizations": counts_by_organization(row.organization for row in rows),
        "has_more": is_cut,
    }
    return [Finding(facts=facts)]
