"""How many handlers ran at once, and how many began within a window, by their own record alone.

A handler writes its lines while it runs, so what overlaps here did overlap: no finding is a matter of luck.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from tests.support.record import RETURNED, Event

Group = TypeVar("Group", bound=Hashable)


class Run(NamedTuple):
    """One attempt, in seconds of the machine's monotonic clock. ``how`` is empty where it wrote no end."""

    pk: int
    attempt: int
    pid: int
    began: float
    ended: float
    how: str = RETURNED

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Crowd(NamedTuple):
    """The most that ran at once, and how many began while the limit was reached."""

    most: int
    excess: int


def runs_of(events: Iterable[Event], killed: Mapping[int, float], until: float) -> list[Run]:
    """Return the runs in the order of their beginnings.

    ``killed`` says when processes were killed, by pid: their open runs end then. Others end with ``until``.
    """
    begun: dict[tuple[int, int, int], Event] = {}
    found = []
    for event in events:
        if event.what == "begin":
            begun[event.run] = event
        elif event.what == "end":
            found.append(Run(*event.run, begun.pop(event.run).at, event.at, event.how))
    for run, event in begun.items():
        found.append(Run(*run, event.at, max(event.at, killed.get(event.pid, until)), ""))
    return sorted(found, key=lambda run: run.began)


def crowd(runs: Iterable[Run], limit: int) -> Crowd:
    """Return how many ran at once at most, and how many of them were too many."""
    ends: list[float] = []
    most = excess = 0
    for run in sorted(runs, key=lambda run: run.began):
        while ends and ends[0] <= run.began:
            heapq.heappop(ends)
        heapq.heappush(ends, run.ended)
        most = max(most, len(ends))
        excess += len(ends) > limit
    return Crowd(most, excess)


def grouped(runs: Iterable[Run], group_of: Callable[[Run], Group]) -> dict[Group, list[Run]]:
    """Return the runs of each group."""
    groups: dict[Group, list[Run]] = defaultdict(list)
    for run in runs:
        groups[group_of(run)].append(run)
    return groups


def worst_crowd(runs: Iterable[Run], group_of: Callable[[Run], Hashable], limit: int) -> Crowd:
    """Return the most that ran at once in any group, and how many were too many in all of them together."""
    crowds = [crowd(members, limit) for members in grouped(runs, group_of).values()]
    return Crowd(max((item.most for item in crowds), default=0), sum(item.excess for item in crowds))


def most_starts(moments: Sequence[float], window: float) -> int:
    """Return how many of these moments lie within one window at most, wherever it begins."""
    ordered = sorted(moments)
    most = first = 0
    for place, moment in enumerate(ordered):
        while moment - ordered[first] >= window:
            first += 1
        most = max(most, place - first + 1)
    return most


def waits_for_freed_places(runs: Sequence[Run], limit: int) -> list[float]:
    """Return how many seconds each place that became free stood empty until the next run began.

    Only while the limit was reached before: then others waited for that place. After a kill it does not count.
    """
    moments = [(run.began, 1, run) for run in runs] + [(run.ended, 0, run) for run in runs]
    waits: list[float] = []
    freed: list[float] = []
    running = 0
    for at, begins, run in sorted(moments, key=lambda item: item[:2]):
        if begins:
            running += 1
            if freed:
                waits.append(at - freed.pop(0))
            continue
        if run.how and running >= limit - len(freed):
            freed.append(at)
        running -= 1
    return waits
