"""What a child shows its supervisor while it lives: whether its loop moves, whether its threads run, what it claimed.

Each word is one number of eight bytes that is written at once, so that no reader finds half of it.
"""

from __future__ import annotations

import contextlib
import enum
import itertools
import mmap
import threading
from array import array
from collections.abc import Iterable, Iterator
from typing import Final

#: The most tickets that are claimed at once.
MAX_SET: Final = 300
_LOOP, _PULSE, _SET, _COUNT, _REVOKED, _QUIET, _WRITING, _WORDS = range(8)
_STEPS: Final = 8
SIZE: Final = 8 * (_WORDS + 2 * MAX_SET)


class LoopStep(enum.IntEnum):
    """What the child's main loop does. Only what should end soon is told."""

    ELSEWHERE = 0  # it waits for tickets, runs handlers or starts them
    CLAIMING = 1
    SETTLING = 2


class ChildBoard:
    """A part of the memory that a child shares with its supervisor; ``start`` is a multiple of eight."""

    def __init__(self, memory: mmap.mmap, start: int) -> None:
        self._words = memoryview(memory)[start : start + SIZE].cast("q")
        self._moves = itertools.count(1)
        self._set = 0
        self._counting = threading.Lock()

    def close(self) -> None:
        """Let go of the memory."""
        self._words.release()

    # The child's side.

    def enter(self, step: LoopStep) -> None:
        """Note what the main loop does now. The same again says that it has got on."""
        self._words[_LOOP] = next(self._moves) * _STEPS + step

    def get_on(self) -> None:
        """Note that what the main loop does has got on; of other threads' work that says nothing."""
        if threading.current_thread() is threading.main_thread():
            self.enter(self.step)

    def pulse(self) -> None:
        """Note that threads run, so that nothing holds the interpreter."""
        self._words[_PULSE] += 1

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Show that a thread may keep all others from writing to the database for as long as the block lasts."""
        self._count_writing(1)
        try:
            yield
        finally:
            self._count_writing(-1)

    def _count_writing(self, change: int) -> None:
        with self._counting:
            self._words[_WRITING] += change

    def put(self, attempts: Iterable[tuple[int, int]]) -> int:
        """Show the set of (job, attempt) that was claimed last, and return its number.

        What is shown no longer can be revoked no longer.
        """
        numbers = array("q", itertools.chain.from_iterable(attempts))
        words, self._set = self._words, self._set + 1
        words[_COUNT] = 0  # until the set is complete, nobody reads it
        words[_WORDS : _WORDS + len(numbers)] = memoryview(numbers)
        words[_SET] = self._set
        words[_COUNT] = len(numbers) // 2
        return self._set

    def is_revoked(self, number: int) -> bool:
        """Return whether nothing of a set may begin any more; to be asked once a beginning is announced.

        With a set, those before it are revoked too: what of them has not begun waits for the same.
        """
        return 0 < number <= self._words[_REVOKED]

    @property
    def is_quiet(self) -> bool:
        """Whether the child is to take no new jobs, until further notice."""
        return bool(self._words[_QUIET])

    # The supervisor's side.

    def note_quiet(self, *, is_quiet: bool) -> None:
        """Let the child take no new jobs, or take jobs again."""
        self._words[_QUIET] = int(is_quiet)

    @property
    def loop(self) -> int:
        """A number that changes whenever the main loop gets on."""
        return self._words[_LOOP]

    @property
    def step(self) -> LoopStep:
        """What the main loop does."""
        return LoopStep(self._words[_LOOP] % _STEPS)

    @property
    def pulses(self) -> int:
        """A number that changes while threads run."""
        return self._words[_PULSE]

    @property
    def is_writing(self) -> bool:
        """Whether a thread may keep all others from writing to the database."""
        return self._words[_WRITING] > 0

    def claimed(self) -> tuple[int, list[tuple[int, int]]]:
        """Return the number of the set that was claimed last, and its (job, attempt); none while it is written."""
        words = self._words
        number, count = words[_SET], words[_COUNT]
        found = words[_WORDS : _WORDS + 2 * count].tolist()
        if (words[_SET], words[_COUNT]) != (number, count):
            return number, []
        return number, list(zip(found[::2], found[1::2], strict=True))

    def revoke(self, number: int) -> None:
        """Forbid that anything of this set begins which has not been announced yet."""
        self._words[_REVOKED] = number
