"""What a process remembers, each value for a time, up to a number; and the one place that empties it all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, NamedTuple, TypeVar

from django_jobs.engine import timing

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Forget = TypeVar("Forget", bound=Callable[..., Any])

_forgets: Final[list[Callable[[], Any]]] = []


def forgets(forget: Forget) -> Forget:
    """Have :func:`forget_all` call this. Only for what lives as long as the process."""
    _forgets.append(forget)
    return forget


def forget_all() -> None:
    """Remember as little as a process that has just started."""
    for forget in _forgets:
        forget()


class Remembered(NamedTuple, Generic[V]):
    """A value, and until when it holds on the monotonic clock."""

    expires: float
    value: V


class Memory(dict[K, Remembered[V]]):
    """At most so many values by key. A full one is emptied; each call is one step of the interpreter's dict."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        forgets(self.clear)

    def fresh(self, key: K) -> V | None:
        """Return the value that holds still; None if there is none."""
        known = self.get(key)
        return known.value if known is not None and time.monotonic() < known.expires else None

    def put(self, key: K, value: V, seconds: float = math.inf) -> V:
        """Remember the value for so many seconds, and return it."""
        if len(self) >= self.most:
            self.clear()
        self[key] = Remembered(time.monotonic() + seconds, value)
        return value


# Leaving out for a while what has become slow, or is in vain, where there is another way.


#: How many times as long as it took something slow is left out.
REST_FACTOR: Final = 20


class Rest:
    """Times one kind of statement; where it took longer than ``slow_seconds``, it rests for most of the time."""

    def __init__(self, slow_seconds: float) -> None:
        self.slow_seconds = slow_seconds
        self._until = -math.inf
        forgets(self.end)

    def lasts(self) -> bool:
        """Return whether the statement should be left out now."""
        return time.monotonic() < self._until

    def after(self, ask: Callable[[], T]) -> T:
        """Return what the statement returns, and rest afterwards if it was slow, also if it failed."""
        began = time.monotonic()
        try:
            return ask()
        finally:
            ended = time.monotonic()
            if ended - began > self.slow_seconds:
                self._until = ended + min(REST_FACTOR * (ended - began), timing.LONGEST_REST_SECONDS)

    def end(self) -> None:
        """End the rest."""
        self._until = -math.inf


class Tries:
    """Leaves the quick way out ever more often while it is in vain, and takes it again as it succeeds.

    It is left out ``most`` times in a row at most. Below two successes in three it becomes rare.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.forget()
        forgets(self.forget)

    def forget(self) -> None:
        """Begin anew, with a try."""
        self._leaves_out = 0
        self._left = 0

    def begins(self) -> bool:
        """Begin a try; return False where this one is left out, which counts."""
        if self._left == 0:
            return True
        self._left -= 1
        return False

    def note(self, *, succeeded: bool) -> None:
        """Note how a try ended."""
        self._leaves_out = self._leaves_out // 2 if succeeded else min(4 * self._leaves_out + 1, self._most)
        self._left = self._leaves_out
