"""How often this process looks whether a batch whose jobs end here has ended."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

#: Seconds between two looks at a batch that is far from its end.
PAUSE: Final = 0.5
#: A batch that waits for so few jobs is looked at after each of them, so that what follows it begins at once.
NEAR: Final = 50
#: One that waits for more is looked at when this process has ended such a part of them, since others may have ended as
#: many each.
PART: Final = 3
#: Batches that are remembered. What is forgotten is looked at once more than needed, or left to the scheduler.
MAX_REMEMBERED: Final = 10_000


class Pace:
    """Remembers when each batch was looked at, how far it was from its end, and which are to be looked at later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked: dict[int, tuple[float, int | None]] = {}
        #: How many jobs of each moved here since then.
        self._moved: Counter[int] = Counter()
        self._waiting: set[int] = set()

    def due(self, moved: Mapping[int, int]) -> list[int]:
        """Return those of these batches, of which so many jobs moved, that are to be looked at; put off the others."""
        now = time.monotonic()
        with self._lock:
            self._moved.update(moved)
            due = sorted(pk for pk in moved if self._is_due(pk, now))
            if len(self._waiting) >= MAX_REMEMBERED:  # a process that is no worker never asks for them
                self._waiting.clear()
            self._waiting.update(moved)
            self._waiting.difference_update(due)
            return due

    def _is_due(self, pk: int, now: float) -> bool:
        looked, left = self._looked.get(pk, (0.0, None))
        if now - looked >= PAUSE:
            return True
        return left is not None and (left <= NEAR or left <= PART * self._moved[pk])

    def waiting(self) -> list[int]:
        """Return those that were put off and whose time has come; they are no longer put off."""
        if not self._waiting:
            return []
        now = time.monotonic()
        with self._lock:
            due = sorted(pk for pk in self._waiting if now - self._looked.get(pk, (0.0, None))[0] >= PAUSE)
            self._waiting.difference_update(due)
            return due

    def note(self, left: Mapping[int, int | None]) -> None:
        """Note that batches are looked at now, and how many jobs each waits for; None: it is open, and cannot end."""
        now = time.monotonic()
        with self._lock:
            if len(self._looked) >= MAX_REMEMBERED:
                self._looked.clear()
                self._moved.clear()
            for pk in left:
                self._moved.pop(pk, None)
            self._looked.update({pk: (now, count) for pk, count in left.items()})

    def put_off(self, pks: Iterable[int]) -> None:
        """Note that these are to be looked at again."""
        with self._lock:
            self._waiting.update(pks)

    def forget(self, pks: Iterable[int]) -> None:
        """Forget batches that have ended."""
        with self._lock:
            for pk in pks:
                self._looked.pop(pk, None)
                self._moved.pop(pk, None)
                self._waiting.discard(pk)
