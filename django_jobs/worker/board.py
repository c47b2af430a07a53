"""Memory that a child shares with its supervisor: which jobs run in it, since when, and whether to stop one.

The supervisor must know this when the child is frozen, stuck in C code or dead, so no message would do.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import time
from dataclasses import dataclass
from typing import Final

# The child writes job, attempt, started (time.monotonic, the same clock in every process) and timeout in seconds;
# the supervisor writes a wish, and the job and attempt that it is for.
_BEGUN: Final = struct.Struct("=qidd")
_WISHED: Final = struct.Struct("=iqi")
_SLOT: Final = struct.Struct("=qiddiqi")
_JOB: Final = struct.Struct("=q")
_WISH: Final = struct.Struct("=i")

NO_WISH, WISH_CANCEL, WISH_LOST = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Running:
    """A handler that has begun; ``started`` is on time.monotonic's clock."""

    slot: int
    pk: int
    attempt: int
    wish: int
    started: float
    timeout: float

    @property
    def key(self) -> tuple[int, int]:
        return (self.pk, self.attempt)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


class Board:
    """A row of slots, one for each job that a child may run at once."""

    def __init__(self, descriptor: int, slots: int) -> None:
        self.descriptor = descriptor
        self.slots = slots
        self._memory = mmap.mmap(descriptor, _SLOT.size * slots)

    @classmethod
    def create(cls, slots: int) -> Board:
        """A new board, empty; the descriptor is to be inherited by the child."""
        with tempfile.TemporaryFile() as file:
            file.truncate(_SLOT.size * slots)
            return cls(os.dup(file.fileno()), slots)

    def begin(self, slot: int, pk: int, attempt: int, timeout: float) -> None:
        # The job goes in last: a slot without one is not read, so a half-written slot is never seen.
        _BEGUN.pack_into(self._memory, slot * _SLOT.size, 0, attempt, time.monotonic(), timeout)
        _JOB.pack_into(self._memory, slot * _SLOT.size, pk)

    def end(self, slot: int) -> None:
        _JOB.pack_into(self._memory, slot * _SLOT.size, 0)

    def wish(self, item: Running, wish: int) -> None:
        """Ask the child to stop a job; it looks when it is signaled, and ignores it once it has gone on to another."""
        offset = item.slot * _SLOT.size + _BEGUN.size
        # The wish goes in last, so that none is read together with the job of another.
        _WISHED.pack_into(self._memory, offset, NO_WISH, item.pk, item.attempt)
        _WISH.pack_into(self._memory, offset, wish)

    def running(self) -> list[Running]:
        return [item for slot in range(self.slots) if (item := self._read(slot)) is not None]

    def _read(self, slot: int) -> Running | None:
        """A slot's job; read twice, because the other process may write meanwhile."""
        while True:
            first = _SLOT.unpack_from(self._memory, slot * _SLOT.size)
            if first == _SLOT.unpack_from(self._memory, slot * _SLOT.size):
                pk, attempt, started, timeout, wish, *wished = first
                is_for_it = wished == [pk, attempt]
                return Running(slot, pk, attempt, wish if is_for_it else NO_WISH, started, timeout) if pk else None

    def close(self) -> None:
        self._memory.close()
        os.close(self.descriptor)
