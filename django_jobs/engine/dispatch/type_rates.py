"""The limits of starts of one type: its own, and that of each of its keys, in one pass of the dispatcher.

A key has a window of its own while anything of it is in hand or started within the window. Where MAX_KEYS have one,
further keys of a type share STRIPES windows: each of these counts the starts of all its keys against the limit of one,
so that a key may wait longer than it would have to, and never starts too much (striped counters, as in a count-min
sketch: G. Cormode and S. Muthukrishnan, 2005).
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from django_jobs.engine.dispatch.start_windows import (
    BUCKETS,
    IN_HAND,
    KEPT_AT,
    LEAVES_AFTER,
    SECOND,
    Attempt,
    StartWindow,
    unpacked,
)

#: Keys have fewer buckets than a type, since there are many of them.
KEY_BUCKETS: Final = 50
#: Keys with a window of their own, of a type; and how many windows the others share.
MAX_KEYS: Final = 1_000
STRIPES: Final = 100
#: What is left of a type without a limit of starts.
NO_LIMIT: Final = sys.maxsize


class StartLimit(NamedTuple):
    """How many may start in ``seconds``: of a type, and of each of its keys. None is no limit."""

    max_starts: int | None
    max_starts_per_key: int | None
    seconds: int


class TypeRates:
    """The windows of one type and of its keys, in one pass."""

    def __init__(self, limit: StartLimit, now: int) -> None:
        self._limit = limit
        self._has_keys = limit.max_starts_per_key is not None
        self._now = now
        self._total = StartWindow(limit.max_starts, limit.seconds, now) if limit.max_starts is not None else None
        self._keys: dict[str, StartWindow] = {}
        #: What is kept of keys of which nothing is in hand, until somebody asks: it stays as it is.
        self._asleep: dict[str, list[Any]] = {}
        self._kept_grain = self._last = 0

    def load(self, kept: Mapping[str, Any], last: int) -> None:
        """Take over what was kept at the moment ``last``."""
        self._last, self._kept_grain = last, kept["seconds"] * SECOND // KEY_BUCKETS
        is_frame_new = last > self._now or kept["seconds"] != self._limit.seconds
        for key, item in kept["keys"].items() if self._has_keys else ():
            if item[KEPT_AT] + item[LEAVES_AFTER] > self._now or item[IN_HAND] or is_frame_new:
                self._asleep[key] = item
                if item[IN_HAND] or is_frame_new:
                    self._keys[key] = self._loaded(key)
        if self._total:
            if kept["total"]:
                self._total.load(kept["total"], kept["seconds"] * SECOND // BUCKETS, last)
            self._total.in_hand.update(*(unpacked(item[IN_HAND]) for item in kept["keys"].values()))

    def advance(self, queued: Mapping[Attempt, str], started_at: Callable[[Attempt], int | None]) -> None:
        """Go on from the pass before. ``queued`` is what is in hand now, with its keys."""
        known = {key: {item for item in window.in_hand if item in queued} for key, window in self._keys.items()}
        for key, window in self._keys.items():
            window.advance(known[key], started_at)
        self._keys = {key: window for key, window in self._keys.items() if not window.is_empty()}
        if self._has_keys:
            for item in queued.keys() - set().union(*known.values()):
                self._window_of(queued[item]).add(item)
        if self._total:
            self._total.advance(set(queued), started_at)

    def in_hand(self) -> set[Attempt]:
        """Return what is queued and not known to have started."""
        found = set(self._total.in_hand) if self._total else set()
        return found.union(*(window.in_hand for window in self._keys.values()))

    def left_of_all(self) -> int:
        """Return how many more of all keys together may be queued now."""
        return self._total.left() if self._total else NO_LIMIT

    def left(self, key: str) -> int:
        """Return how many more of a key may be queued now."""
        left = self.left_of_all()
        if not self._has_keys:
            return left
        window = self._known(self._place(key)) or self._new_window()
        return min(left, window.left())

    def counted(self) -> int | None:
        """Return how many count against the type's limit now: queued or started in the window; None without one."""
        return self._total.counted() if self._total else None

    def take(self, key: str, attempt: Attempt) -> None:
        """Count a job of a key that is queued now."""
        if self._total:
            self._total.take(attempt)
        if self._has_keys:
            self._window_of(key).take(attempt)

    def put_back(self, key: str, attempt: Attempt) -> None:
        """Count a job no more that was taken in this pass."""
        if self._total:
            self._total.put_back(attempt)
        if self._has_keys:
            self._window_of(key).put_back(attempt)

    def count_start(self, key: str, moment: int) -> None:
        """Count a job of a key that started at a moment, and that no pass had in hand."""
        windows = [self._total] if self._total else []
        for window in [*windows, self._window_of(key)] if self._has_keys else windows:
            window.count_start(moment)

    def next_moments(self) -> list[int]:
        """Return when to look again, of each window that was found at its rate."""
        windows = [self._total, *self._keys.values()] if self._total else [*self._keys.values()]
        return [moment for window in windows if (moment := window.next_at()) is not None]

    def is_empty(self) -> bool:
        """Return whether there is nothing to keep."""
        windows = [self._total, *self._keys.values()] if self._total else [*self._keys.values()]
        return not self._asleep and all(window.is_empty() for window in windows)

    def to_keep(self) -> dict[str, Any]:
        """Return what the next pass has to know, as JSON. What is in hand stands once: in its key's window, if any."""
        keys = {key: window.to_keep(window.in_hand) for key, window in self._keys.items() if not window.is_empty()}
        of_keys = set().union(*(window.in_hand for window in self._keys.values()))
        total = self._total.to_keep(self._total.in_hand - of_keys) if self._total else None
        return {"seconds": self._limit.seconds, "total": total, "keys": {**self._asleep, **keys}}

    def _new_window(self) -> StartWindow:
        return StartWindow(self._limit.max_starts_per_key or 0, self._limit.seconds, self._now, KEY_BUCKETS)

    def _loaded(self, place: str) -> StartWindow:
        window = self._new_window()
        window.load(self._asleep.pop(place), self._kept_grain, self._last)
        return window

    def _known(self, place: str) -> StartWindow | None:
        """Return what is known of a window, awake."""
        if place in self._asleep:
            self._keys[place] = self._loaded(place)
            self._keys[place].advance(set(), lambda _: None)
        return self._keys.get(place)

    def _window_of(self, key: str) -> StartWindow:
        place = self._place(key)
        return self._known(place) or self._keys.setdefault(place, self._new_window())

    def _place(self, key: str) -> str:
        """Return which window counts a key: all its starts that still count are in this one."""
        stripe = f"#{zlib.crc32(key.encode()) % STRIPES}"
        if key in self._keys or key in self._asleep:
            return key
        is_shared = stripe in self._keys or stripe in self._asleep
        return stripe if is_shared or len(self._keys) + len(self._asleep) >= MAX_KEYS else key
