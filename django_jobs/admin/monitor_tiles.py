"""The numbers that tell at a glance whether jobs flow, each with a link to what it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django_jobs.admin.capped_counts import CappedCount
from django_jobs.admin.monitor_health import Health
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.monitor_now import Now
from django_jobs.admin.monitor_tables import duration, percent
from django_jobs.admin.monitor_traffic import Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A number and what it means. ``url`` is empty if no list shows exactly what was counted."""

    name: str
    value: Any
    note: str
    url: str = ""


def make_tiles(links: Links, now: Now, traffic: Traffic, health: Health) -> list[Tile]:
    """Return the tiles, in their order."""
    minutes = traffic.range.length.total_seconds() / 60
    completed = traffic.totals["completed"]
    workers = CappedCount(count=len(health.alive), is_cut=health.has_more_workers)
    return [
        Tile(name="Running", value=f"{now.running:,}", note=running_note(now, health), url=links.running()),
        Tile(name="Waiting", value=now.waiting, note=_waiting_note(now)),
        Tile(name="Retrying", value=now.retrying, note="after a failure", url=links.retrying()),
        Tile(name="Blocked", value=now.blocked, note="by other jobs"),
        Tile(name="Dead letters", value=now.dead, note="grouped by error", url=links.dead_letters()),
        Tile(name="Completed", value=f"{completed:,}", note=f"{completed / minutes:.1f} a minute"),
        Tile(
            name="Failure rate",
            value=percent(traffic.failure_rate),
            note=f"of attempts, {traffic.range.label.lower()}",
            url=links.failures(traffic.range) if traffic.failures else "",
        ),
        Tile(name="Workers", value=workers, note="alive"),
    ]


def running_note(now: Now, health: Health) -> str:
    """Return who runs the running jobs.

    Workers take some short jobs ahead, and the jobs of a dead worker are Running until their leases end.
    """
    slots = f"{health.slots:,} worker slot{'' if health.slots == 1 else 's'}"
    elsewhere = health.running_elsewhere(now.running_by)
    if elsewhere:
        return f"{elsewhere:,} of them with workers that are silent or unknown"
    if now.running > health.slots:
        return f"with {slots}: some are next in line"
    return f"of {slots}"


def _waiting_note(now: Now) -> str:
    if not now.waiting.count:
        return "none"
    if now.oldest_seconds is None:
        return "none of them due yet"
    return f"the oldest for {duration(now.oldest_seconds)}{' or more' if now.waiting.is_cut else ''}"
