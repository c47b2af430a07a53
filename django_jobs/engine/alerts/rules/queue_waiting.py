"""A queue whose due jobs wait too long for no reason, or behind workers that are busy all the time.

What a limit, a rate, a pause, a breaker or an organization's share holds does not count. Neither do types that go on:
jobs count if none of their type has started for ``seconds``; where no worker is free, for ``busy_seconds``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django_jobs import pools
from django_jobs.engine.alerts import thresholds
from django_jobs.engine.alerts.findings import Finding, Look
from django_jobs.engine.dispatch.window import live_workers
from django_jobs.engine.insight.neglected_jobs import Place, find_idle
from django_jobs.engine.insight.rollups import BATCH, behind
from django_jobs.engine.insight.waiting_diagnostics import Slots, read_slots
from django_jobs.engine.ports import Queue
from django_jobs.statuses import Priority

MAX_NAMED: Final = 5


def find(look: Look) -> list[Finding] | None:
    """Return the queues whose jobs wait; None while it is not counted which types go on."""
    if behind() > BATCH:
        return None
    slots = read_slots(live_workers())
    unserved = look.round.found.get(thresholds.NO_WORKER, ())
    free, busy = _by_load(slots, {queue for queue in pools.all_queues() if queue.pool not in unserved})
    return [
        *_findings(look, slots, free, "seconds", needs_room=True),
        *_findings(look, slots, busy, "busy_seconds", needs_room=False),
    ]


def _by_load(slots: list[Slots], queues: set[Queue]) -> tuple[set[Queue], set[Queue]]:
    """Return the queues that a worker with a free slot serves, or nobody; and those whose workers are all busy."""
    known = frozenset().union(*(item.queues for item in slots))
    free = frozenset().union(*(item.queues for item in slots if item.free))
    return queues & free | queues - known, queues & known - free


def _findings(look: Look, slots: list[Slots], queues: set[Queue], name: str, *, needs_room: bool) -> Iterator[Finding]:
    seconds = look.thresholds[name]
    places = find_idle(look.ago(seconds), queues, needs_room=needs_room) if queues else {}
    for queue, types in _by_queue(places).items():
        yield Finding(subject=f"{queue.pool}/{_label(queue)}", facts=_facts(queue, types, slots, seconds))


def _by_queue(places: Mapping[Place, int]) -> dict[Queue, dict[str, int]]:
    found: dict[Queue, dict[str, int]] = defaultdict(dict)
    for place, count in places.items():
        found[place.queue][place.job_type] = count
    return found


def _label(queue: Queue) -> str:
    return Priority(queue.priority).word


def _facts(queue: Queue, types: dict[str, int], slots: list[Slots], seconds: int) -> dict[str, Any]:
    mine = [item for item in slots if queue in item.queues]
    return {
        "pool": queue.pool,
        "priority": _label(queue),
        "waiting": sum(types.values()),
        "seconds": seconds,
        "types": dict(sorted(types.items(), key=lambda item: -item[1])[:MAX_NAMED]),
        "free": sum(item.free for item in mine),
        "slots": sum(item.total for item in mine),
    }
