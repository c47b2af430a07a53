"""Turns among organizations for the places of one type.

Where a type's limit lets fewer jobs start than wait, its places are a line of their own. Who is next there must not
depend on whom other types were served for in between: an organization whose neighbor is often served by another type
would get more than its share.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from django_jobs.engine.dispatch.pass_state import PassState
from django_jobs.engine.dispatch.weighted_turns import Turns, turns
from django_jobs.engine.store.lane_values import Candidate, Lane

#: Stands between the name of a queue and a type, in the name of the turns for that type's places.
OF: Final = " "


class TypeTurns:
    """Who may take the places that are left of types for which more than one organization waits."""

    def __init__(
        self,
        queues: Mapping[Any, Sequence[Candidate]],
        weights: Mapping[Any, float],
        rooms: Mapping[Any, int],
        state: PassState,
        queue_name: str,
    ) -> None:
        """Share out what is left of each type.

        ``queues`` are the jobs of each organization that may be next, ``rooms`` how many it may have in flight beside
        those that are.
        """
        self._state, self._queue_name = state, queue_name
        self._granted: dict[str, Counter[Any]] = {}
        self._turns: dict[str, Turns[Any]] = {}
        #: Whose turns these are, one after the other.
        self._order: dict[str, list[Any]] = {}
        for job_type, waiting in self._waiting(queues, rooms).items():
            left = state.limits.left_of_type(job_type)
            if len(waiting) > 1 and left < sum(waiting.values()):
                self._share_out(job_type, waiting, weights, left)

    def _waiting(
        self, queues: Mapping[Any, Sequence[Candidate]], rooms: Mapping[Any, int]
    ) -> dict[str, dict[Any, int]]:
        """Return how many jobs of each type with limits each organization could start if it were alone."""
        limits, limited = self._state.limits, {name for name, kind in self._state.kinds.items() if kind.has_limits}
        counts: dict[tuple[str, Any], Counter[Lane]] = defaultdict(Counter)
        for pk, items in queues.items() if limited else ():
            for item in items:
                if item.lane.job_type in limited:
                    counts[item.lane.job_type, pk][item.lane] += 1
        found: dict[str, dict[Any, int]] = defaultdict(dict)
        for (job_type, pk), lanes in counts.items():
            of_lanes = sum(min(count, limits.left(lane)) for lane, count in lanes.items())
            found[job_type][pk] = min(of_lanes, limits.left_of_organization(job_type, pk), rooms[pk])
        return found

    def _share_out(self, job_type: str, waiting: Mapping[Any, int], weights: Mapping[Any, float], left: int) -> None:
        name = self._name(job_type)
        order = _behind(waiting, self._state.marks.cursors.get(name))
        going = turns(order, weights, self._state.credits(name))
        granted: Counter[Any] = Counter()
        self._order[job_type] = []
        for pk in going if left > 0 else ():
            if granted[pk] >= waiting[pk]:
                going.drop(pk)
                continue
            granted[pk] += 1
            self._order[job_type].append(pk)
            if granted.total() >= left:
                break
        self._granted[job_type], self._turns[job_type] = granted, going

    def allows(self, item: Candidate) -> bool:
        """Return whether a job has the next turn of its organization for a place of its type."""
        granted = self._granted.get(item.lane.job_type)
        return granted is None or granted[item.organization_pk] > 0

    def take(self, item: Candidate) -> None:
        """Count a job that is picked."""
        granted = self._granted.get(item.lane.job_type)
        if granted is not None:
            granted[item.organization_pk] -= 1

    def end(self) -> None:
        """Note how to go on: behind the last turn, or before the first one that was not used for want of room."""
        if self._turns:
            self._forget_others()
        for job_type, going in self._turns.items():
            order, unused = self._order[job_type], self._granted[job_type]
            used = next((place for place, pk in enumerate(order) if unused[pk] > 0), len(order))
            if used == len(order):
                going.end()
            if used:
                self._state.marks.cursors[self._name(job_type)] = str(order[used - 1])

    def _forget_others(self) -> None:
        """Forget what is kept of types that have no limits any more."""
        begin, state = f"{self._queue_name}{OF}", self._state
        for name in [*state.marks.cursors, *state.kept_credits()]:
            if name.startswith(begin) and name.removeprefix(begin) not in state.kinds:
                state.marks.cursors.pop(name, None)
                state.credits(name).clear()

    def _name(self, job_type: str) -> str:
        return f"{self._queue_name}{OF}{job_type}"


def _behind(keys: Iterable[Any], cursor: Any) -> list[Any]:
    """Return the keys in an order that is always the same, those behind the cursor, a text, first."""
    ordered = sorted(keys, key=str)
    if not isinstance(cursor, str):
        return ordered
    return [key for key in ordered if str(key) > cursor] + [key for key in ordered if str(key) <= cursor]
