"""The numbers that tell at a glance whether jobs flow, each with a link to what it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from django_jobs.admin.capped_counts import CappedCount
from django_jobs.admin.monitor_health import Health
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.monitor_now import Now
from django_jobs.admin.monitor_tables import duration, percent
from django_jobs.admin.monitor_traffic import Traffic
from django_jobs.admin.numbers import format_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A number and what it means, in a word by its ``code``. ``url`` is empty if no list shows what was counted.

    ``note_code`` says in a word what the note tells, where it tells one of several things.
    """

    code: str
    name: str
    value: Any
    note: str
    url: str = ""
    note_code: str = ""


def make_tiles(links: Links, now: Now, traffic: Traffic, health: Health) -> list[Tile]:
    """Return the tiles, in their order."""
    minutes = traffic.range.length.total_seconds() / 60
    completed = traffic.totals["completed"]
    workers = CappedCount(count=len(health.alive), is_cut=health.has_more_workers)
    running, waiting = _running_note(now, health), _waiting_note(now)
    rate = _("%(count)s a minute") % {"count": format_number(completed / minutes, 1)}
    return [
        Tile(
            code="running",
            name=pgettext("jobs", "Running"),
            value=format_number(now.running),
            note=running[1],
            note_code=running[0],
            url=links.running(),
        ),
        Tile(
            code="waiting",
            name=pgettext("jobs", "Waiting"),
            value=now.waiting,
            note=waiting[1],
            note_code=waiting[0],
        ),
        Tile(
            code="retrying",
            name=pgettext("jobs", "Retrying"),
            value=now.retrying,
            note=_("after a failure"),
            url=links.retrying(),
        ),
        Tile(code="blocked", name=pgettext("jobs", "Blocked"), value=now.blocked, note=_("by other jobs")),
        Tile(
            code="dead_letters",
            name=_("Dead letters"),
            value=now.dead,
            note=_("grouped by error"),
            url=links.dead_letters(),
        ),
        Tile(code="completed", name=pgettext("jobs", "Completed"), value=format_number(completed), note=rate),
        Tile(
            code="failure_rate",
            name=_("Failure rate"),
            value=percent(traffic.failure_rate),
            note=_("of attempts: %(range)s") % {"range": traffic.range.label},
            url=links.failures() if traffic.failures else "",
        ),
        Tile(code="workers", name=_("Workers"), value=workers, note=pgettext("workers", "alive")),
    ]


def _running_note(now: Now, health: Health) -> tuple[str, str]:
    """Return who runs the running jobs: a code, and words.

    Workers take some short jobs ahead, and the jobs of a dead worker are Running until their leases end.
    """
    elsewhere = health.running_elsewhere(now.running_by)
    if elsewhere:
        text = ngettext(
            "%(count)s of them with workers that are silent or unknown",
            "%(count)s of them with workers that are silent or unknown",
            elsewhere,
        )
        return "elsewhere", text % {"count": format_number(elsewhere)}
    code = "slots"
    text = ngettext("of %(count)s worker slot", "of %(count)s worker slots", health.slots)
    if now.running > health.slots:
        code = "more_than_slots"
        text = ngettext(
            "with %(count)s worker slot: some are next in line",
            "with %(count)s worker slots: some are next in line",
            health.slots,
        )
    return code, text % {"count": format_number(health.slots)}


def _waiting_note(now: Now) -> tuple[str, str]:
    if not now.waiting.count:
        return "none", pgettext("no jobs", "none")
    if now.oldest_seconds is None:
        return "not_due", _("none of them due yet")
    code, text = "oldest", _("the oldest for %(duration)s")
    if now.waiting.is_cut:
        code, text = "oldest_at_least", _("the oldest for %(duration)s or more")
    return code, text % {"duration": duration(now.oldest_seconds)}
