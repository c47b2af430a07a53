"""How many jobs of a type may start in a window of time: what one pass of the dispatcher decides by.

Types with ``max_starts`` or ``max_starts_per_key`` are queued by the dispatcher alone, under its lock, and by no other
way: what starts between two passes without having been seen is not counted. What each pass knows is kept for the next
one in the row of that lock. Nothing here asks the database or the clock. How one limit counts, and why it is exact,
:mod:`.start_windows` says.

A key has a window of its own while anything of it is in hand or started within the window. Where MAX_KEYS have one,
further keys of a type share STRIPES windows: each of these counts the starts of all its keys against the limit of one,
so that a key may wait longer than it would have to, and never starts too much (striped counters, as in a count-min
sketch: G. Cormode and S. Muthukrishnan, 2005).
"""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from django_jobs.engine.dispatch.start_windows import BUCKETS, IN_HAND, SECOND, Attempt, StartWindow, unpacked

#: What is Queued: type, organization's primary key, lane key, job, attempt.
Queued: TypeAlias = tuple[str, Any, int, int, int]
#: Asks when attempts started, in seconds since the epoch: None where one did not, and is queued no more. What is not
#: known is left out.
StartedAt: TypeAlias = Callable[[Collection[Attempt]], Mapping[Attempt, float | None]]

#: Keys have fewer buckets than a type, since there are many of them.
KEY_BUCKETS: Final = 50
#: Keys with a window of their own, of a type; and how many windows the others share.
MAX_KEYS: Final = 1_000
STRIPES: Final = 100
#: Jobs in hand of all types together: each is kept by its number.
MAX_IN_HAND: Final = 5_000
#: A clock that was set back by less stands still until it has caught up, so that small steps add up to nothing.
SMALL_STEP: Final = 1 * SECOND


#: For how long a pass that found too much in hand waits before somebody looks again.
FULL_PAUSE: Final = SECOND // 10
#: What is left of a type without a limit of starts.
NO_LIMIT: Final = sys.maxsize


class StartLimit(NamedTuple):
    """How many may start in ``seconds``: of a type, and of each of its keys. None is no limit."""

    max_starts: int | None
    max_starts_per_key: int | None
    seconds: int


class StartRates:
    """What may start in one pass of the dispatcher. Made by :func:`read`."""

    def __init__(self, types: Mapping[str, TypeRates], now: int) -> None:
        self._types = types
        self._now = now
        self._room = MAX_IN_HAND - sum(len(rates.in_hand()) for rates in types.values())
        self._was_full = False

    def left(self, job_type: str, organization_pk: Any, lane_key: int) -> int:
        """Return how many more jobs of this lane may be queued now; NO_LIMIT for a type without limits of starts."""
        rates = self._types.get(job_type)
        if rates is None:
            return NO_LIMIT
        left = rates.left(_key(organization_pk, lane_key))
        self._was_full |= left > self._room
        return max(0, min(left, self._room))

    def take(self, job_type: str, organization_pk: Any, lane_key: int, pk: int, attempt: int) -> None:
        """Count a job that is queued now. ``attempt`` is how many attempts it had before."""
        if job_type in self._types:
            self._types[job_type].take(_key(organization_pk, lane_key), (pk, attempt))
            self._room -= 1

    def put_back(self, job_type: str, organization_pk: Any, lane_key: int, pk: int, attempt: int) -> None:
        """Count a job no more that was taken in this pass, and then was not queued since its row was in use."""
        if job_type in self._types:
            self._types[job_type].put_back(_key(organization_pk, lane_key), (pk, attempt))
            self._room += 1

    def next_at(self) -> float | None:
        """Return when to look again, in seconds since the epoch; None if nothing was found at its rate."""
        found = [moment for rates in self._types.values() for moment in rates.next_moments()]
        found += [self._now + FULL_PAUSE] if self._was_full else []
        return min(found) / SECOND if found else None

    def to_keep(self) -> dict[str, Any]:
        """Return what the next pass has to know, as JSON; empty if that is nothing."""
        types = {name: rates.to_keep() for name, rates in self._types.items() if not rates.is_empty()}
        return {"at": self._now, "types": types} if types else {}


def read(
    kept: Mapping[str, Any] | None,
    limits: Mapping[str, StartLimit],
    queued: Iterable[Queued],
    now: float,
    started_at: StartedAt | None = None,
) -> StartRates:
    """Return what may start in a pass that begins now.

    ``kept`` is what the last pass left; ``queued`` all that is Queued of the types that have ``limits``; ``now`` the
    database's clock in seconds since the epoch, read no earlier than ``queued``. What was in hand and is queued no more
    counts as ``started_at`` says (:func:`.start_records.started_at`), if that is given and knows it, and else as started
    now, which is never too early.
    """
    kept = kept or {"at": 0, "types": {}}
    last: int = kept["at"]
    moment = round(now * SECOND)
    if 0 < last - moment <= SMALL_STEP:
        moment = last
    types = {name: TypeRates(limit, moment) for name, limit in limits.items() if any(limit[:2])}
    for name in types.keys() & kept["types"].keys():
        types[name].load(kept["types"][name], last)
    lanes: dict[str, dict[Attempt, str]] = {name: {} for name in types}
    for name, organization_pk, lane_key, pk, attempt in queued:
        if name in types:
            lanes[name][pk, attempt] = _key(organization_pk, lane_key)
    gone = {attempt for name, rates in types.items() for attempt in rates.in_hand() if attempt not in lanes[name]}
    known = started_at(gone) if started_at and gone else {}

    def start_of(attempt: Attempt) -> int | None:
        told = known.get(attempt, now)
        return None if told is None else min(moment, max(last, math.ceil(told * SECOND)))

    for name, rates in types.items():
        rates.advance(last, lanes[name], start_of)
    return StartRates(types, moment)


def _key(organization_pk: Any, lane_key: int) -> str:
    return f"{organization_pk}|{lane_key}"


class TypeRates:
    """The windows of one type and of its keys, in one pass."""

    def __init__(self, limit: StartLimit, now: int) -> None:
        self._limit = limit
        self._now = now
        self._total = StartWindow(limit.max_starts, limit.seconds, now) if limit.max_starts else None
        self._keys: dict[str, StartWindow] = {}

    def load(self, kept: Mapping[str, Any], last: int) -> None:
        """Take over what was kept at the moment ``last``."""
        window = kept["seconds"] * SECOND
        for key, item in kept["keys"].items() if self._limit.max_starts_per_key else ():
            self._keys[key] = self._new_window()
            self._keys[key].load(item, window // KEY_BUCKETS, last)
        if self._total:
            if kept["total"]:
                self._total.load(kept["total"], window // BUCKETS, last)
            self._total.in_hand.update(*(unpacked(item[IN_HAND]) for item in kept["keys"].values()))

    def advance(self, last: int, queued: Mapping[Attempt, str], started_at: Callable[[Attempt], int | None]) -> None:
        """Go on from the pass before. ``queued`` is what is in hand now, with its keys."""
        known = {key: {item for item in window.in_hand if item in queued} for key, window in self._keys.items()}
        for key, window in self._keys.items():
            window.advance(last, known[key], started_at)
        self._keys = {key: window for key, window in self._keys.items() if not window.is_empty()}
        if self._limit.max_starts_per_key:
            for item in queued.keys() - set().union(*known.values()):
                self._window_of(queued[item]).add(item)
        if self._total:
            self._total.advance(last, set(queued), started_at)

    def in_hand(self) -> set[Attempt]:
        """Return what is queued and not known to have started."""
        found = set(self._total.in_hand) if self._total else set()
        return found.union(*(window.in_hand for window in self._keys.values()))

    def left(self, key: str) -> int:
        """Return how many more of a key may be queued now."""
        left = self._total.left() if self._total else NO_LIMIT
        if not self._limit.max_starts_per_key:
            return left
        window = self._keys.get(self._place(key)) or self._new_window()
        return min(left, window.left())

    def take(self, key: str, attempt: Attempt) -> None:
        """Count a job of a key that is queued now."""
        if self._total:
            self._total.take(attempt)
        if self._limit.max_starts_per_key:
            self._window_of(key).take(attempt)

    def put_back(self, key: str, attempt: Attempt) -> None:
        """Count a job no more that was taken in this pass."""
        if self._total:
            self._total.put_back(attempt)
        if self._limit.max_starts_per_key:
            self._window_of(key).put_back(attempt)

    def next_moments(self) -> list[int]:
        """Return when to look again, of each window that was found at its rate."""
        windows = [self._total, *self._keys.values()] if self._total else [*self._keys.values()]
        return [moment for window in windows if (moment := window.next_at()) is not None]

    def is_empty(self) -> bool:
        """Return whether there is nothing to keep."""
        return (not self._total or self._total.is_empty()) and all(item.is_empty() for item in self._keys.values())

    def to_keep(self) -> dict[str, Any]:
        """Return what the next pass has to know, as JSON. What is in hand stands once: in its key's window, if any."""
        keys = {key: window.to_keep(window.in_hand) for key, window in self._keys.items() if not window.is_empty()}
        of_keys = set().union(*(window.in_hand for window in self._keys.values()))
        total = self._total.to_keep(self._total.in_hand - of_keys) if self._total else None
        return {"seconds": self._limit.seconds, "total": total, "keys": keys}

    def _new_window(self) -> StartWindow:
        return StartWindow(self._limit.max_starts_per_key or 1, self._limit.seconds, self._now, KEY_BUCKETS)

    def _window_of(self, key: str) -> StartWindow:
        return self._keys.setdefault(self._place(key), self._new_window())

    def _place(self, key: str) -> str:
        """Return which window counts a key: all its starts that still count are in this one."""
        stripe = f"#{zlib.crc32(key.encode()) % STRIPES}"
        if key in self._keys or (stripe not in self._keys and len(self._keys) < MAX_KEYS):
            return key
        return stripe
