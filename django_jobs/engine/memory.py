"""What a process remembers, each value for a time, up to a number; and the one place that empties it all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, NamedTuple, TypeVar

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
