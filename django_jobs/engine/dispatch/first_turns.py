"""Who goes first: an organization that has nothing in flight although a slot is due to it at any moment.

A job waits behind the tickets that the broker holds. Beside the backlog of another organization, one that submits a job
now and then would wait for all of those each time. Where no more organizations compete than there are slots, or its
weight makes up for that, it is due a slot of its own. While it has none, its next job goes before what the broker
holds, and a new one needs no pass of the dispatcher.

The others lose nothing that is due to them: of each organization one job at most goes first at a time, and at least one
slot is left to those behind. What a pass found holds for a moment, in which more organizations may come than it knew
of. So a new job goes past a full window only while there are fewer of them than slots.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from django_jobs.engine.dispatch import tenant_shares
from django_jobs.engine.dispatch.tenant_shares import Share
from django_jobs.engine.dispatch.window import Window
from django_jobs.engine.ports import Look, Queue
from django_jobs.models import Job

#: For so long after a new job that did not go first those of its organization take turns unasked; of so many of them
#: that is noted. It spares whoever submits a backlog the question about each job.
TURN_SECONDS: Final = 0.05
MOST_NOTED: Final = 1000


class Contest(NamedTuple):
    """Who competes for the slots of a queue: what organizations weigh of which jobs wait, and how many slots are left.

    One slot is left out for whoever asks, and one for each organization that has jobs in flight and none that waits.
    """

    weight: float
    slots: int

    @property
    def least_weight(self) -> float:
        """The weight with which one more organization goes first; infinite where none does."""
        return self.weight / self.slots if self.slots > 0 else math.inf

    def lets_first(self, share: Share) -> bool:
        """Return whether an organization of which jobs wait goes first."""
        return self.slots > 0 and share.weight * self.slots >= self.weight - share.weight


def contest(slots: int, in_flight: Collection[Any], waiting: Mapping[Any, Share]) -> Contest:
    """Return the contest for so many slots.

    ``in_flight`` are organizations that have jobs in flight there, ``waiting`` the shares of all of which jobs wait.
    """
    beside = sum(pk not in waiting for pk in in_flight)
    return Contest(sum(share.weight for share in waiting.values()), slots - 1 - beside)


_taking_turns: Final[dict[Any, float]] = {}


def may_go_first(job: Job, queue: Queue, seen: Look, size: Window) -> bool:
    """Return whether a new job goes first if its organization has nothing in flight, as the last pass left it."""
    least = seen.first_weights.get(queue, math.inf)
    if not least < math.inf or size.taken(queue, seen.depths) >= size.largest(queue) + size.slots[queue]:
        return False
    if time.monotonic() < _taking_turns.get(job.organization_id, -math.inf):
        return False
    return tenant_shares.weight_for(job) >= least


def note_turn(job: Job) -> None:
    """Note that a new job did not go first: its organization has other jobs, and is not asked about for a moment."""
    if len(_taking_turns) >= MOST_NOTED:
        _taking_turns.clear()
    _taking_turns[job.organization_id] = time.monotonic() + TURN_SECONDS


def forget() -> None:
    """Forget which organizations take turns, as a process that has just started."""
    _taking_turns.clear()
