"""When a pass of the dispatcher may start more than the last one, though nothing else happens until then.

A type that is at its rate of starts may start more at a moment that the pass knows. It notes that for its own process
here, and for the leading scheduler in the row of the dispatchers' lock, under KEY, in seconds since the epoch by the
database's clock. Who acts on it is :mod:`.flow_clock`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

#: Where the state of the dispatchers' row has the moment; there is none where nothing is at its rate.
KEY: Final = "next_at"

_lock: Final = threading.Lock()
#: By this process' monotonic clock.
_next_at: float = math.inf
_wake: Callable[[], None] | None = None


def note(seconds: float) -> None:
    """Note that a pass may start more in so many seconds; the earliest moment counts. Any thread may call this."""
    global _next_at
    moment = time.monotonic() + max(0.0, seconds)
    with _lock:
        is_earlier, _next_at = moment < _next_at, min(moment, _next_at)
    if is_earlier and _wake is not None:
        _wake()


def seconds_until_next() -> float:
    """Return in how many seconds a pass may start more, 0 or less if it may now; infinity if nothing is noted."""
    return _next_at - time.monotonic()


def forget() -> None:
    """Forget the moment, before a pass that may start more is made, or as a process that has just started."""
    global _next_at  # noqa: PLW0603
    with _lock:
        _next_at = math.inf


def listen(wake: Callable[[], None] | None) -> None:
    """Call ``wake`` from now on when an earlier moment is noted; None ends that."""
    global _wake  # noqa: PLW0603
    _wake = wake
