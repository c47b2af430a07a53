"""The lines of ``jobs_status`` about open alarms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django_jobs.engine.alerts.reading import read_all_alerts
from django_jobs.engine.alerts.telling import plain_text

#: Alarms that are told one by one.
MAX_ALARMS: Final = 20


def alarm_lines() -> list[str]:
    """Return the lines, read now; none where nothing is wrong."""
    lines = list(_lines())
    return [*lines, ""] if lines else []


def _lines() -> Iterator[str]:
    found = read_all_alerts()
    if not found.open:
        return
    yield f"Alarms       {len(found.open)}"
    for alert in found.open[:MAX_ALARMS]:
        yield f"  {alert.rule:<20} {plain_text(alert, found.moment)}"
    if len(found.open) > MAX_ALARMS:
        yield f"  and {len(found.open) - MAX_ALARMS} more"
