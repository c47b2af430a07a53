"""Schedules that cannot fire, on the monitor."""

from __future__ import annotations

from django_jobs.admin.monitor_health import Notice
from django_jobs.admin.monitor_links import Links
from django_jobs.engine.insight.schedule_diagnostics import first_faulty, named


def monitor_notices(links: Links) -> list[Notice]:
    """Return a notice that names the first schedules that cannot fire, read in one statement; none where all can."""
    found = first_faulty()
    if not found:
        return []
    address = links.faulty_schedules()
    text = f"Schedules that cannot fire: {named(found)}."
    return [Notice(level="error", text=text, links=(("See what to do", address),) if address else ())]
