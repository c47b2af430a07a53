"""Finds a coroutine that blocks the event loop, so that none of its neighbors can go on, and names it in the log."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from typing import Final

logger = logging.getLogger("django_jobs")

#: A loop that stands still for so long is told of, once.
BLOCKED_SECONDS: Final = 1.0
#: A process that nobody saw for so long, and that used little of a processor meanwhile, was frozen.
FROZEN_SECONDS: Final = 0.5


class LoopWatch:
    """The loop beats; another thread looks whether it does."""

    def __init__(self, worker_name: str) -> None:
        self._worker_name = worker_name
        self._thread: threading.Thread | None = None
        self._beaten = self._looked = time.monotonic()
        self._used = time.process_time()
        self._is_told = False

    def watch(self, thread: threading.Thread) -> None:
        """Watch the loop of this thread from now on."""
        self._beaten, self._thread = time.monotonic(), thread

    def beat(self) -> None:
        """Note that the loop moves."""
        self._beaten = time.monotonic()

    def look(self) -> None:
        """Log what the loop's thread does, where that has taken too long; once until it moves again."""
        now = time.monotonic()
        if self._was_frozen(now):
            self._beaten = now  # from now on it has the time to beat
        seconds = now - self._beaten
        if self._thread is None or seconds < BLOCKED_SECONDS:
            self._is_told = False
        elif not self._is_told and self._thread.is_alive():
            self._is_told = True
            frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001  (documented, for such tools)
            stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
            text = "event=loop_blocked worker=%s seconds=%.1f The event loop waits for code that does not await:\n%s"
            logger.error(text, self._worker_name, seconds, stack)

    def _was_frozen(self, now: float) -> bool:
        """Return whether the process stood still since the last look; not where C code has kept the interpreter."""
        used = time.process_time()
        unseen, worked = now - self._looked, used - self._used
        self._looked, self._used = now, used
        return unseen > FROZEN_SECONDS and worked < unseen / 2
