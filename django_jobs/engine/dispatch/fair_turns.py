"""Turns among organizations, some of which weigh more than others."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from django_jobs.engine.dispatch.pass_state import FORGIVEN, TINY, Credits, PassState
from django_jobs.engine.store.values import Candidate, Lane

# Whose turn it is, where some weigh more than others.
#
# Where a pass knows all that wait, turns go by start-time fair queueing (P. Goyal, H. Vin and H. Cheng, 1996): with
# each job of a key of weight w its next turn moves 1/w ahead, and the key goes next whose turn is the earliest. Over
# any stretch in which two keys have jobs, neither gets ahead of its share by more than one job of each; and the jobs of
# a heavy key lie between those of others, not in a row. A key that comes and goes with single jobs gains nothing by it.
#
# Where it knows only some, a page, that would give as much to a page of light keys as to one of heavy keys. There each
# key gets in its visit what it is due for one round, and keeps what is left of a job: deficit round robin (M. Shreedhar
# and G. Varghese, 1995). The lengths of rounds follow the mean weight, so that pages and rounds of few jobs are rare.
#
# Where all weigh the same, each of these is one job each in turn, and nothing is kept.


K = TypeVar("K")


def turns(order: Sequence[K], weights: Mapping[K, float], credits_: Credits, *, is_page: bool = False) -> Turns[K]:
    """Return an iterable of whose turn it is, again and again, for one job each time.

    ``order`` begins behind the key after which the last pass ended, its ``cursor``. ``weights`` are above 0; a key that
    they do not name has the weight 1. Without ``is_page``, all keys that have jobs and may go must be in ``order``, and
    turns go on until each of them is dropped. With it they end after one round, which the next page follows. Afterwards
    ``end`` has to be called; it changes ``credits_``.
    """
    weighing = [float(weights.get(key, 1.0)) for key in order]
    if is_page:
        return PageTurns(order, weighing, credits_)
    return EvenTurns(order, weighing, credits_) if len(set(weighing)) <= 1 else WeightedTurns(order, weighing, credits_)


class Turns(ABC, Generic[K]):
    """Yields keys, whose turn it is.

    ``cursor`` is the key behind which the next pass begins; with None it begins where this one did.
    """

    def __init__(self, order: Sequence[K], weights: Sequence[float], credits_: Credits) -> None:
        self.order, self.weights, self.credits = order, weights, credits_
        self.cursor: K | None = None
        self._dropped: set[K] = set()
        #: The key that has its turn now, unless it was dropped in it.
        self._current: K | None = None

    @abstractmethod
    def __iter__(self) -> Iterator[K]:
        """Yield the next key."""

    def drop(self, key: K, *, is_empty: bool = True) -> None:
        """Give a key no more turns. In a key's turn, call it instead of taking a job: the turn is not counted then.

        Say ``is_empty=False`` if it has jobs left that must not go now.
        """
        self._dropped.add(key)
        if key == self._current:
            self._current = None
            self._take_back()

    @abstractmethod
    def end(self) -> None:
        """Note in the credits how to go on. Call it once, after the last job was taken."""

    @abstractmethod
    def _take_back(self) -> None:
        """Undo what the turn that was just given has counted."""

    def _texts(self) -> list[str]:
        return [str(key) for key in self.order]


class EvenTurns(Turns[K]):
    """One job each in turn. What keys of this order are ahead of each other is at most a job, and soon forgiven."""

    _taken = 0

    def __iter__(self) -> Iterator[K]:
        dropped, order = self._dropped, self.order
        while order:
            for key in order:
                if key not in dropped:
                    self._current = self.cursor = key
                    self._taken += 1
                    yield key
            if dropped:
                order = [key for key in order if key not in dropped]

    def end(self) -> None:
        if self.credits.waits and self.order:
            time = self._taken / len(self.order) / self.weights[0]
            self.credits.pass_time(time, set(self._texts()), FORGIVEN)

    def _take_back(self) -> None:
        self._taken -= 1


class WeightedTurns(Turns[K]):
    """The key whose turn is the earliest; of those that are equal, the first in the order."""

    def __init__(self, order: Sequence[K], weights: Sequence[float], credits_: Credits) -> None:
        super().__init__(order, weights, credits_)
        self._times = self._first_times()
        #: The time of the last turn; and before that, with the time of the key that has it.
        self._clock, self._place, self._before = 0.0, 0, (0.0, 0.0)

    def __iter__(self) -> Iterator[K]:
        order, times, dropped = self.order, self._times, self._dropped
        strides = [1.0 / weight for weight in self.weights]
        heap = [(time, place) for place, time in enumerate(times)]
        heapq.heapify(heap)
        while heap:
            time, place = heap[0]
            key = order[place]
            if key not in dropped:
                self._before, self._clock, self._place = (self._clock, time), time, place
                times[place] = time + strides[place]
                self._current = self.cursor = key
                yield key
            if key in dropped:
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, (times[place], place))

    def end(self) -> None:
        texts = self._texts()
        self.credits.pass_time(self._clock, set(texts))
        for key, time in zip(texts, self._times, strict=True):
            self.credits.set_wait(key, max(0.0, time - self._clock))
        self.credits.shrink(is_page=False)

    def _take_back(self) -> None:
        self._clock, self._times[self._place] = self._before

    def _first_times(self) -> list[float]:
        """Return when each key's first turn is: no later than after one job of it, also if its weight has changed."""
        waits = self.credits.waits
        if not waits:
            return [0.0] * len(self.order)
        pairs = zip(self._texts(), self.weights, strict=True)
        times = [min(waits.get(key, 0.0), 1.0 / weight) for key, weight in pairs]
        earliest = min([0.0, *times])  # a page's round may have ended before a key got all that it was due
        return [time - earliest for time in times]


class PageTurns(Turns[K]):
    """What each key is due for one round, one key after the other."""

    def __init__(self, order: Sequence[K], weights: Sequence[float], credits_: Credits) -> None:
        super().__init__(order, weights, credits_)
        self._emptied: set[K] = set()
        #: How many keys had their visit; how many jobs the one that has it now may take yet, and what it was due.
        self._visited, self._is_open, self._credit, self._due = 0, False, 0.0, 0.0
        if weights:
            credits_.begin_page(sum(weights) / len(weights))

    def __iter__(self) -> Iterator[K]:
        for key in self.order:
            self._open(str(key))
            while self._credit >= 1.0 - TINY and key not in self._dropped:
                self._credit -= 1.0
                self._current = key
                yield key
            self._close()

    def drop(self, key: K, *, is_empty: bool = True) -> None:
        super().drop(key, is_empty=is_empty)
        if is_empty:
            self._emptied.add(key)

    def end(self) -> None:
        if self._is_open:
            self._stop()
        self.credits.shrink(is_page=True)

    def _take_back(self) -> None:
        self._credit += 1.0

    def _open(self, text: str) -> None:
        """Begin the visit of the next key."""
        weight = self.weights[self._visited]
        self.credits.visit(text, weight)
        self._due = weight * self.credits.round_length
        self._credit = self.credits.credit(text, weight)
        self._is_open = True

    def _close(self) -> None:
        """Keep what is left to the key. Without jobs it keeps nothing, and while it must not go one job at most."""
        key, credit = self.order[self._visited], self._credit
        if key in self._dropped:
            credit = min(1.0, credit)
        starts_anew = key in self._emptied or (self._due >= 1.0 - TINY and abs(credit) <= TINY)
        if not self.credits.is_crowded or str(key) in self.credits.waits:
            self._keep(1.0 if starts_anew or self.credits.is_crowded else credit)
        self.cursor, self._is_open = key, False
        self._visited += 1

    def _stop(self) -> None:
        """End in the midst of a key's visit. If more is due to it, the next pass begins with it and gives it that."""
        key = self.order[self._visited]
        if self._credit >= 1.0 - TINY and key not in self._dropped:
            self.credits.revisit(str(key), self.weights[self._visited])
            self._keep(self._credit - self._due)
        else:
            self._close()

    def _keep(self, credit: float) -> None:
        place = self._visited
        self.credits.set_wait(str(self.order[place]), (1.0 - credit) / self.weights[place])


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
