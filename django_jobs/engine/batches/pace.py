"""How often this process looks at a batch whose jobs end here."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Final

#: Seconds between two looks at a batch that is far from its end.
PAUSE: Final = 0.25
#: A batch that waits for so few jobs is looked at after each of them, so that what follows it begins at once.
NEAR: Final = 200
#: Batches that are remembered. What is forgotten is looked at once more than needed.
MAX_REMEMBERED: Final = 10_000


class Pace:
    """Remembers when each batch was looked at, how far it was from its end, and which are to be looked at later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked: dict[int, tuple[float, int | None]] = {}
        self._waiting: set[int] = set()

    def due(self, pks: Iterable[int]) -> list[int]:
        """Return those of these that are to be looked at now; the others are put off."""
        now = time.monotonic()
        with self._lock:
            wanted = set(pks)
            due = sorted(pk for pk in wanted if self._is_due(pk, now))
            self._waiting |= wanted
            self._waiting.difference_update(due)
            return due

    def _is_due(self, pk: int, now: float) -> bool:
        looked, left = self._looked.get(pk, (0.0, None))
        return now - looked >= PAUSE or (left is not None and left <= NEAR)

    def waiting(self) -> list[int]:
        """Return those that were put off and whose time has come; they are no longer put off."""
        if not self._waiting:
            return []
        now = time.monotonic()
        with self._lock:
            due = sorted(pk for pk in self._waiting if now - self._looked.get(pk, (0.0, None))[0] >= PAUSE)
            self._waiting.difference_update(due)
            return due

    def note(self, pk: int, left: int | None) -> None:
        """Note that a batch is looked at now and waits for so many jobs; None: it is open, and so cannot end."""
        with self._lock:
            if len(self._looked) >= MAX_REMEMBERED:
                self._looked.clear()
            self._looked[pk] = time.monotonic(), left

    def put_off(self, pks: Iterable[int]) -> None:
        """Note that these are to be looked at again."""
        with self._lock:
            self._waiting.update(pks)

    def forget(self, pks: Iterable[int]) -> None:
        """Forget batches that have ended."""
        with self._lock:
            for pk in pks:
                self._looked.pop(pk, None)
                self._waiting.discard(pk)
