"""The monitor's table of pools, and which of them a worker serves. Both are for where there are several pools."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from django.utils.safestring import SafeString

from django_jobs import pools
from django_jobs.admin.capped_counts import CappedCount
from django_jobs.admin.formatting import line
from django_jobs.admin.monitor_health import Health
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.monitor_now import BOUND, Now
from django_jobs.admin.numbers import format_number
from django_jobs.engine.store.database import store
from django_jobs.models import JobType
from django_jobs.statuses import Status
from django_jobs.texts import listed

#: What a worker serves is shown up to so many characters; a tooltip has the rest.
MOST_SERVED: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRow:
    """One pool's line. ``waiting`` jobs are due; ``workers`` are those that live and serve any of the pool's queues."""

    name: str
    types: str
    types_url: str
    waiting: CappedCount
    queued: str
    running: str
    workers: CappedCount
    slots: CappedCount


def pool_rows(links: Links, now: Now, health: Health) -> list[PoolRow]:
    """Return the lines of the configured pools, read in two statements; none where there is only the default one.

    ``now`` is that of all organizations.
    """
    if not pools.configured():
        return []
    types = _read_types()
    names = pools.names()
    counts = store().count_waiting([types[name] for name in names], BOUND + 1)
    served = [(set(item.worker.queues.split(",")), item.worker.slots) for item in health.alive]
    rows = []
    for name, due in zip(names, counts, strict=True):
        queues = pools.queue_names(name)
        slots = [count for own, count in served if not own.isdisjoint(queues)]
        rows.append(
            PoolRow(
                name=name,
                types=format_number(len(types[name])),
                types_url=links.types_of_pool(name),
                waiting=CappedCount(count=min(due, BOUND), is_cut=due > BOUND),
                queued=_in_flight(now, types[name], Status.QUEUED),
                running=_in_flight(now, types[name], Status.RUNNING),
                workers=CappedCount(count=len(slots), is_cut=health.has_more_workers),
                slots=CappedCount(count=sum(slots), is_cut=health.has_more_workers),
            )
        )
    return rows


def _read_types() -> Mapping[str, list[str]]:
    """Return the names of the job types by pool."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, pool in JobType.primary.order_by("pk").values_list("pk", "pool"):
        found[pool].append(name)
    return found


def _in_flight(now: Now, types: Collection[str], status: Status) -> str:
    return format_number(sum(now.in_flight[name, status] for name in types))


def served_in_words(queues: str) -> SafeString | str:
    """Return which pools a worker with these queues serves, such as ``default, gpu (Critical, High)``.

    A pool of which it serves some queues only is told with their priorities, a queue of no configured pool by its name.
    """
    names = [name for name in queues.split(",") if name]
    words = []
    for pool in pools.names():
        own = pools.queues_of(pool)
        labels = [label for label, name in own.items() if name in names]
        if labels:
            words.append(pool if len(labels) == len(own) else f"{pool} ({listed(labels)})")
    known = pools.queue_names()
    return line(listed([*words, *(name for name in names if name not in known)]), MOST_SERVED)
