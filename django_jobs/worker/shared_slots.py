"""Memory that a child shares with its supervisor: which jobs run in it, since when, which ended lately, and whether to
stop one.

The supervisor must know this when the child is frozen, stuck in C code or dead, so no message would do.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import Final

# The child writes job, attempt, started (time.monotonic, the same clock in every process), timeout in seconds and
# thread; the supervisor writes a wish, and the job and attempt that it is for.
_BEGUN: Final = struct.Struct("=qiddQ")
_WISHED: Final = struct.Struct("=iqi")
_SLOT: Final = struct.Struct("=qiddQiqi")
_ENDED: Final = struct.Struct("=qi")
_JOB: Final = struct.Struct("=q")
_WISH: Final = struct.Struct("=i")

#: So many attempts that ended last are remembered beside one for each slot; a child settles sooner than it ends more.
REMEMBERED: Final = 1024
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
    #: What threading.get_ident() says in it.
    thread: int = 0

    @property
    def key(self) -> tuple[int, int]:
        return (self.pk, self.attempt)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


def _size(slots: int) -> int:
    return _SLOT.size * slots + _ENDED.size * (REMEMBERED + slots)


class Board:
    """A row of slots, one for each job that a child may run at once."""

    def __init__(self, descriptor: int, slots: int) -> None:
        self.descriptor = descriptor
        self.slots = slots
        self._memory = mmap.mmap(descriptor, _size(slots))
        self._next = 0
        self._lock = threading.Lock()

    @classmethod
    def create(cls, slots: int) -> Board:
        """A new board, empty; the descriptor is to be inherited by the child."""
        with tempfile.TemporaryFile() as file:
            file.truncate(_size(slots))
            return cls(os.dup(file.fileno()), slots)

    def begin(self, slot: int, pk: int, attempt: int, timeout: float) -> None:
        # The job goes in last: a slot without one is not read, so a half-written slot is never seen.
        _BEGUN.pack_into(self._memory, slot * _SLOT.size, 0, attempt, time.monotonic(), timeout, threading.get_ident())
        _JOB.pack_into(self._memory, slot * _SLOT.size, pk)

    def end(self, slot: int) -> None:
        """The slot's handler has ended. It is remembered first: a child may die before it has stored how."""
        pk, attempt, *_ = _BEGUN.unpack_from(self._memory, slot * _SLOT.size)
        with self._lock:
            place, self._next = self._next, (self._next + 1) % (REMEMBERED + self.slots)
        _ENDED.pack_into(self._memory, _SLOT.size * self.slots + _ENDED.size * place, pk, attempt)
        _JOB.pack_into(self._memory, slot * _SLOT.size, 0)

    def ended(self) -> frozenset[tuple[int, int]]:
        """The (job, attempt) pairs whose handlers ended last; of a child that is gone, and writes no more."""
        memory = self._memory[_SLOT.size * self.slots :]
        return frozenset(pair for pair in _ENDED.iter_unpack(memory) if pair[0])

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
                pk, attempt, started, timeout, thread, wish, *wished = first
                wish = wish if wished == [pk, attempt] else NO_WISH
                return Running(slot, pk, attempt, wish, started, timeout, thread) if pk else None

    def close(self) -> None:
        self._memory.close()
        os.close(self.descriptor)
