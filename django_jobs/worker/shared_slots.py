"""Memory that a child shares with its supervisor: which jobs run in it since when, which ended lately, and which of
them are to stop.

The supervisor must know this also when the child is frozen, stuck in C code or dead, so that messages would not do.
"""

from __future__ import annotations

import enum
import mmap
import os
import struct
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import Final

# The child writes job, attempt, start (time.monotonic, the same clock in every process), timeout in seconds and
# thread; the supervisor writes a stop request, and the job and attempt that it is for.
_STARTED: Final = struct.Struct("=qiddQ")
_REQUESTED: Final = struct.Struct("=iqi")
_SLOT: Final = struct.Struct("=qiddQiqi")
_ENDED: Final = struct.Struct("=qi")
_JOB: Final = struct.Struct("=q")
_REQUEST: Final = struct.Struct("=i")

#: How many attempts that ended last are remembered, beside one for each slot. A child stores how they ended before it
#: ends more.
REMEMBERED: Final = 1024
#: A handler that ignores its timeout is killed after so many seconds more.
TIMEOUT_GRACE_SECONDS: Final = 5.0


class StopRequest(enum.IntEnum):
    """What the supervisor wants of a running job."""

    NONE = 0
    CANCEL = 1
    LOST = 2  # the attempt seems to own its job no longer


@dataclass(frozen=True, slots=True)
class OccupiedSlot:
    """A slot in which a handler runs; ``started`` is on time.monotonic's clock, ``timeout`` in seconds."""

    slot: int
    pk: int
    attempt: int
    stop_request: StopRequest
    started: float
    timeout: float
    #: The handler's thread, as threading.get_ident() gives it there.
    thread: int = 0

    @property
    def key(self) -> tuple[int, int]:
        """(job, attempt)."""
        return (self.pk, self.attempt)

    @property
    def seconds(self) -> float:
        """For how long the handler has run."""
        return time.monotonic() - self.started

    @property
    def ignores_timeout(self) -> bool:
        """Return whether the handler still runs although its timeout and the grace after it are over."""
        return self.seconds > self.timeout + TIMEOUT_GRACE_SECONDS


def _size(slots: int) -> int:
    return _SLOT.size * slots + _ENDED.size * (REMEMBERED + slots)


class SharedSlots:
    """A row of slots, one for each job that a child may run at once."""

    def __init__(self, descriptor: int, count: int) -> None:
        self.descriptor = descriptor
        self.count = count
        self._memory = mmap.mmap(descriptor, _size(count))
        self._next = 0
        self._lock = threading.Lock()

    @classmethod
    def create(cls, count: int) -> SharedSlots:
        """Return new slots, all of them free, whose descriptor the child is to inherit."""
        with tempfile.TemporaryFile() as file:
            file.truncate(_size(count))
            return cls(os.dup(file.fileno()), count)

    def begin(self, slot: int, pk: int, attempt: int, timeout: float) -> None:
        """Note that this thread starts the handler of an attempt in a slot."""
        # The job is written last: a slot without a job is not read, so that nobody reads a half-written one.
        _STARTED.pack_into(
            self._memory, slot * _SLOT.size, 0, attempt, time.monotonic(), timeout, threading.get_ident()
        )
        _JOB.pack_into(self._memory, slot * _SLOT.size, pk)

    def end(self, slot: int) -> None:
        """Note that the slot's handler has ended, and free the slot."""
        pk, attempt, *_ = _STARTED.unpack_from(self._memory, slot * _SLOT.size)
        with self._lock:
            place, self._next = self._next, (self._next + 1) % (REMEMBERED + self.count)
        # The end is written before the slot is free, since the child may die before it has stored how the job ended.
        _ENDED.pack_into(self._memory, _SLOT.size * self.count + _ENDED.size * place, pk, attempt)
        _JOB.pack_into(self._memory, slot * _SLOT.size, 0)

    def ended(self) -> frozenset[tuple[int, int]]:
        """Return (job, attempt) of the handlers that ended last; only right of a child that is gone."""
        memory = self._memory[_SLOT.size * self.count :]
        return frozenset(pair for pair in _ENDED.iter_unpack(memory) if pair[0])

    def request_stop(self, item: OccupiedSlot, request: StopRequest) -> None:
        """Ask the child to stop a job.

        The child looks when it gets a signal, and ignores a request for a job that runs in the slot no longer.
        """
        offset = item.slot * _SLOT.size + _STARTED.size
        # The request is written last, so that nobody reads it together with the job of an earlier one.
        _REQUESTED.pack_into(self._memory, offset, StopRequest.NONE, item.pk, item.attempt)
        _REQUEST.pack_into(self._memory, offset, request)

    def occupied(self) -> list[OccupiedSlot]:
        """Return the slots in which a handler runs."""
        return [item for slot in range(self.count) if (item := self._read(slot)) is not None]

    def _read(self, slot: int) -> OccupiedSlot | None:
        # Read until two readings agree, because the other process may write meanwhile.
        while True:
            first = _SLOT.unpack_from(self._memory, slot * _SLOT.size)
            if first == _SLOT.unpack_from(self._memory, slot * _SLOT.size):
                pk, attempt, started, timeout, thread, request, *requested_for = first
                wanted = StopRequest(request) if requested_for == [pk, attempt] else StopRequest.NONE
                return OccupiedSlot(slot, pk, attempt, wanted, started, timeout, thread) if pk else None

    def close(self) -> None:
        """Release the memory and its descriptor."""
        self._memory.close()
        os.close(self.descriptor)
