"""Schedules that cannot fire, on the monitor."""

from __future__ import annotations

from django.utils.translation import gettext as _

from django_jobs.admin.monitor_links import Links
from django_jobs.admin.monitor_notices import Notice
from django_jobs.engine.alerts.rules import SCHEDULE_CANNOT_FIRE
from django_jobs.engine.insight.inspection import MAX_NAMED_SCHEDULES, first_faulty, named


def monitor_notices(links: Links) -> list[Notice]:
    """Return a notice that names the first schedules that cannot fire, read in one statement; none where all can."""
    found = first_faulty()
    if not found:
        return []
    address = links.faulty_schedules()
    text = _("Schedules that cannot fire: %(schedules)s.")
    if len(found) > MAX_NAMED_SCHEDULES:
        text = _("Schedules that cannot fire: %(schedules)s; and more.")
    told = text % {"schedules": named(found[:MAX_NAMED_SCHEDULES])}
    links_to = ((_("See what to do"), address),) if address else ()
    code = SCHEDULE_CANNOT_FIRE
    return [Notice(level="warning", code=code, alarm=code, text=told, links=links_to)]
