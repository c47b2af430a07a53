"""Schedules that cannot fire, on the monitor."""

from __future__ import annotations

from django_jobs.admin.monitor_health import Notice
from django_jobs.admin.monitor_links import Links
from django_jobs.engine.insight.schedule_diagnostics import MAX_REASON, read_schedules


def monitor_notices(links: Links) -> list[Notice]:
    """Return a notice that names the first schedules that cannot fire; none where all can."""
    seen = read_schedules()
    if not seen.faulty_count:
        return []
    named = "; ".join(f"{name} ({fault[:MAX_REASON].rstrip('.')})" for name, fault in seen.faulty)
    more = f"; and {seen.faulty_count - len(seen.faulty)} more" if seen.faulty_count > len(seen.faulty) else ""
    address = links.faulty_schedules()
    text = f"Schedules that cannot fire: {named}{more}."
    return [Notice(level="error", text=text, links=(("See what to do", address),) if address else ())]
