"""Diagnostics of schedules: which cannot fire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django_jobs.engine.insight.findings import PROBLEM, Finding
from django_jobs.models import Schedule

SCHEDULES: Final = "schedules"
#: How many are named; the others are counted.
MAX_NAMED: Final = 5
#: Characters of a reason.
MAX_REASON: Final = 200


def examine_schedules() -> Iterator[Finding]:
    """Yield a finding where enabled schedules could not submit their jobs the last time."""
    faulty = Schedule.primary.filter(is_enabled=True).exclude(fault="").order_by("name")
    found = list(faulty.values_list("name", "fault")[: MAX_NAMED + 1])
    if found:
        named = "; ".join(f"{name} ({fault[:MAX_REASON].rstrip('.')})" for name, fault in found[:MAX_NAMED])
        more = f"; and {faulty.count() - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
        yield Finding(level=PROBLEM, subject=SCHEDULES, text=f"cannot fire: {named}{more}. Mend, pause or delete them.")
