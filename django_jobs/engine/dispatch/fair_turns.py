"""Turns among organizations, some of which weigh more than others: a weighted round robin."""

from __future__ import annotations

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from django_jobs.engine.dispatch.pass_state import PassState
from django_jobs.engine.store.values import Candidate, Lane

K = TypeVar("K")

#: So many keys are remembered, the newest. The mean weight is that of about so many that were visited last.
MOST_KEYS: Final = 1_000
#: Under this name the mean weight is remembered. No key has it as its text.
MEAN: Final = ""
#: Sums of fractions are less exact than this.
TINY: Final = 1e-6


class Turns(Generic[K]):
    """Yields whose turn it is, again and again, for one job each time. Call :meth:`end` after the last job.

    This is stride scheduling (C. Waldspurger and W. Weihl, Stride Scheduling: Deterministic Proportional-Share Resource
    Management, 1995). Each job moves a key of weight w by a stride of 1/w. The key that has moved the least goes next.

    ``order`` begins behind the ``cursor`` of the last pass, the key with which it ended. ``weights`` are above 0; a key
    that they do not name has the weight 1. ``leads`` stay between passes: how far each key is ahead, by its text.

    A pass that knows some of the keys only, a page, lets them go one after the other. Each moves by one round, in which
    a key of mean weight has one job. A negative lead is what a key has left of a round that was interrupted.
    """

    def __init__(
        self, order: Sequence[K], weights: Mapping[K, float], leads: dict[str, float], *, is_page: bool = False
    ) -> None:
        self.order, self._leads, self._is_page = order, leads, is_page
        self._weights = [float(weights.get(key, 1.0)) for key in order]
        self._mean = leads.get(MEAN) or sum(self._weights) / max(1, len(order)) or 1.0
        self._round = 1.0 / self._mean if is_page else 0.0
        self._moved = [0.0] * len(order)
        if leads:  # the texts of 800 keys cost a millisecond, in each pass
            self._moved = [self._begin(str(key), 1.0 / of) for key, of in zip(order, self._weights, strict=True)]
        self._dropped: set[K] = set()
        self.cursor: K | None = None
        #: How far all keys have moved; the place of the key that has its turn; how many of a page had their rounds.
        self._clock, self._turn, self._visited = 0.0, -1, 0

    def __iter__(self) -> Iterator[K]:
        """Yield the next key, until each is dropped, or has had its round."""
        return self._of_page() if self._is_page else self._of_all()

    def drop(self, key: K) -> None:
        """Give a key no more turns. In a key's turn, call it instead of taking a job: the turn is not counted then."""
        self._dropped.add(key)

    def end(self) -> None:
        """Note in the leads how to go on."""
        self._count()
        if self._is_page and self._visited < len(self.order) and not self._has_turns(self._visited):
            self._end_visit()
        is_even = len(set(self._weights)) <= 1
        if is_even and not self._leads:  # the cursor says all
            return
        kept = {text: round(lead, 6) for text, lead in self._ends().items() if abs(lead) > TINY}
        self._leads.clear()
        if self._is_page or not is_even or any(lead > 1.0 / self._weights[0] + TINY for lead in kept.values()):
            self._leads.update([*kept.items()][-MOST_KEYS:])

    def _begin(self, text: str, stride: float) -> float:
        """Return where a key begins: within its first stride, also if its weight has changed.

        Where no more keys can be remembered, one that is not begins at random within it. At 0 each would get a job in
        each round.
        """
        lead = self._leads.get(text)
        if lead is None:
            return random.random() * stride if len(self._leads) >= MOST_KEYS else 0.0  # noqa: S311
        return max(0.0, lead + self._round) if lead < 0.0 else min(lead, stride)

    def _of_all(self) -> Iterator[K]:
        heap = [(moved, place) for place, moved in enumerate(self._moved)]
        heapq.heapify(heap)
        while heap:
            _, self._turn = heap[0]
            if (key := self.order[self._turn]) in self._dropped:
                heapq.heappop(heap)
                continue
            self.cursor = key
            yield key
            place = self._turn
            self._count()
            heapq.heapreplace(heap, (self._moved[place], place))

    def _of_page(self) -> Iterator[K]:
        while self._visited < len(self.order):
            while self._has_turns(self._visited):
                self._turn = self._visited
                yield self.order[self._turn]
                self._count()
            self._end_visit()

    def _has_turns(self, place: int) -> bool:
        return self.order[place] not in self._dropped and self._moved[place] < self._round - TINY

    def _end_visit(self) -> None:
        self.cursor = self.order[self._visited]
        self._visited += 1

    def _count(self) -> None:
        """Count the last turn, unless its key was dropped in it."""
        if self._turn >= 0 and self.order[self._turn] not in self._dropped:
            self._clock = self._moved[self._turn]
            self._moved[self._turn] += 1.0 / self._weights[self._turn]
        self._turn = -1

    def _ends(self) -> dict[str, float]:
        """Return all leads as this pass leaves them, the newest last."""
        texts = [str(key) for key in self.order]
        if not self._is_page:
            present = dict(zip(texts, self._moved, strict=True))
            leads = {text: lead for text, lead in self._leads.items() if text not in present and text != MEAN} | present
            return {text: max(0.0, lead - self._clock) for text, lead in leads.items()}
        leads = dict(self._leads)
        for place, text in enumerate(texts[: self._visited + 1]):
            lead = self._moved[place] - self._round
            if place < self._visited or lead < 0.0:
                leads.pop(text, None)
                leads[text] = max(0.0, lead) if place < self._visited else lead
        for weight in self._weights[: self._visited]:
            self._mean += (weight - self._mean) / MOST_KEYS
        leads.pop(MEAN, None)
        return {**leads, MEAN: self._mean}


# Turns among organizations for the places of one type.
#
# Where a type's limit lets fewer jobs start than wait, its places are a line of their own. Who is next there must not
# depend on whom other types were served for in between: an organization whose neighbor is often served by another type
# would get more than its share.


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
        going = Turns(order, weights, self._state.leads(name))
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
        for name in [*state.marks.cursors, *state.kept_leads()]:
            if name.startswith(begin) and name.removeprefix(begin) not in state.kinds:
                state.marks.cursors.pop(name, None)
                state.leads(name).clear()

    def _name(self, job_type: str) -> str:
        return f"{self._queue_name}{OF}{job_type}"


def _behind(keys: Iterable[Any], cursor: Any) -> list[Any]:
    """Return the keys in an order that is always the same, those behind the cursor, a text, first."""
    ordered = sorted(keys, key=str)
    if cursor is None:
        return ordered
    return [key for key in ordered if str(key) > cursor] + [key for key in ordered if str(key) <= cursor]
