"""Memory that a child shares with its supervisor."""

from __future__ import annotations

import contextlib
import enum
import itertools
import mmap
import os
import struct
import tempfile
import threading
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from django_jobs.engine import timing
from django_jobs.engine.store.values import AttemptKey

# Memory that a child shares with its supervisor: which jobs run in it since when, which ended lately, which of them
# are to stop, when their leases were renewed, and what it is about to claim.
#
# The supervisor must know this also when the child is frozen, stuck in C code or dead, so that messages would not do.


# The child writes job, attempt, start (time.monotonic, the same clock in every process), timeout in seconds and
# thread; the supervisor writes a stop request, and the job and attempt that it is for.
_STARTED: Final = struct.Struct("=qiddQ")
_REQUESTED: Final = struct.Struct("=iqi")
_SLOT: Final = struct.Struct("=qiddQiqi")
_ENDED: Final = struct.Struct("=qi")
_JOB: Final = struct.Struct("=q")
_NO_JOB: Final = (0,)
_REQUEST: Final = struct.Struct("=i")
_MOMENT: Final = struct.Struct("=d")
_COUNT: Final = struct.Struct("=i")

#: How many attempts that ended last are remembered, beside one for each slot. A child stores how they ended before it
#: ends more.
REMEMBERED: Final = 1024


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
    def key(self) -> AttemptKey:
        """The key of the attempt."""
        return (self.pk, self.attempt)

    @property
    def seconds(self) -> float:
        """For how long the handler has run."""
        return time.monotonic() - self.started

    @property
    def ignores_timeout(self) -> bool:
        """Return whether the handler still runs although its timeout and the grace after it are over."""
        return self.seconds > self.timeout + timing.TIMEOUT_GRACE_SECONDS


def _places(slots: int) -> tuple[int, int, int]:
    """Return where the moment of the last renewal stands, what is about to be claimed, and the board."""
    renewed = _SLOT.size * slots + _ENDED.size * (REMEMBERED + slots)
    hands = renewed + _MOMENT.size
    board = -(-(hands + _COUNT.size + _ENDED.size * MAX_SET) // 8) * 8  # at a multiple of eight
    return renewed, hands, board


class SharedSlots:
    """A row of slots, one for each job that a child may run at once."""

    def __init__(self, descriptor: int, count: int) -> None:
        self.descriptor = descriptor
        self.count = count
        self._renewed_at, self._hands_at, board = _places(count)
        self._memory = mmap.mmap(descriptor, board + SIZE)
        #: What the child shows of its main loop, its threads and its claims.
        self.board = ChildBoard(self._memory, board)
        self._next = 0
        self._lock = threading.Lock()

    @classmethod
    def create(cls, count: int) -> SharedSlots:
        """Return new slots, all of them free, whose descriptor the child is to inherit."""
        with tempfile.TemporaryFile() as file:
            file.truncate(_places(count)[-1] + SIZE)
            return cls(os.dup(file.fileno()), count)

    def begin(self, slot: int, pk: int, attempt: int, timeout: float) -> None:
        """Note that this thread starts the handler of an attempt in a slot."""
        # The job is written last: a slot without a job is not read, so that nobody reads a half-written one.
        _STARTED.pack_into(
            self._memory, slot * _SLOT.size, 0, attempt, time.monotonic(), timeout, threading.get_ident()
        )
        _JOB.pack_into(self._memory, slot * _SLOT.size, pk)

    def end(self, slot: int) -> None:
        """Note that the slot's handler has ended, and free the slot; nothing where it is free."""
        pk, attempt, *_ = _STARTED.unpack_from(self._memory, slot * _SLOT.size)
        if not pk:
            return
        with self._lock:
            place, self._next = self._next, (self._next + 1) % (REMEMBERED + self.count)
        # The end is written before the slot is free, since the child may die before it has stored how the job ended.
        _ENDED.pack_into(self._memory, _SLOT.size * self.count + _ENDED.size * place, pk, attempt)
        _JOB.pack_into(self._memory, slot * _SLOT.size, 0)

    def ended(self) -> frozenset[AttemptKey]:
        """Return the keys of the handlers that ended last; only right of a child that is gone."""
        memory = self._memory[_SLOT.size * self.count : self._renewed_at]
        return frozenset(pair for pair in _ENDED.iter_unpack(memory) if pair[0])

    def request_stop(self, item: OccupiedSlot, request: StopRequest) -> None:
        """Ask the child to stop a job.

        The child looks when it gets a signal, and ignores a request for a job that runs in the slot no longer.
        """
        offset = item.slot * _SLOT.size + _STARTED.size
        # The request is written last, so that nobody reads it together with the job of an earlier one.
        _REQUESTED.pack_into(self._memory, offset, StopRequest.NONE, item.pk, item.attempt)
        _REQUEST.pack_into(self._memory, offset, request)

    def note_renewal(self, moment: float) -> None:
        """Note that the child's leases were renewed after this moment, by the clock of ``engine.claimed_job``."""
        _MOMENT.pack_into(self._memory, self._renewed_at, moment)

    def renewed(self) -> float:
        """Return the moment that was noted last; 0 where none was."""
        offset = self._renewed_at
        # Read until two readings agree, because the other process may write meanwhile.
        while (moment := _MOMENT.unpack_from(self._memory, offset)) != _MOMENT.unpack_from(self._memory, offset):
            continue
        return float(moment[0])

    @contextlib.contextmanager
    def in_hands(self, attempts: Sequence[AttemptKey]) -> Iterator[None]:
        """Let the supervisor know which attempts the block is about to claim, for when the child dies in it."""
        held = attempts[:MAX_SET]
        offset = self._hands_at
        numbers = [number for pair in held for number in pair]
        struct.pack_into("=" + "qi" * len(held), self._memory, offset + _COUNT.size, *numbers)
        _COUNT.pack_into(self._memory, offset, len(held))  # last, so that nobody reads half of them
        try:
            yield
        finally:
            _COUNT.pack_into(self._memory, offset, 0)

    def in_hand(self) -> frozenset[AttemptKey]:
        """Return the keys of what the child was about to claim; only right of a child that is gone."""
        offset = self._hands_at
        (count,) = _COUNT.unpack_from(self._memory, offset)
        start = offset + _COUNT.size
        return frozenset(_ENDED.iter_unpack(self._memory[start : start + _ENDED.size * count]))

    def occupied(self) -> list[OccupiedSlot]:
        """Return the slots in which a handler runs."""
        taken = [slot for slot in range(self.count) if _JOB.unpack_from(self._memory, slot * _SLOT.size) != _NO_JOB]
        return [item for slot in taken if (item := self._read(slot)) is not None]

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
        self.board.close()
        self._memory.close()
        os.close(self.descriptor)


# What a child shows its supervisor while it lives: whether its loop moves, whether its threads run, what it claimed.
#
# Each word is one number of eight bytes that is written at once, so that no reader finds half of it.


#: The most tickets that are claimed at once.
MAX_SET: Final = 300
_LOOP, _PULSE, _SET, _BOARD_COUNT, _REVOKED, _QUIET, _WRITING, _EXAMINED, _WORDS = range(9)
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

    def examine(self, pk: int) -> None:
        """Show about which job the policy is asked, or whose handler is loaded; 0: about none."""
        self._words[_EXAMINED] = pk

    def put(self, attempts: Iterable[AttemptKey]) -> int:
        """Show the set of attempts that was claimed last, and return its number.

        What is shown no longer can be revoked no longer.
        """
        numbers = array("q", itertools.chain.from_iterable(attempts))
        words, self._set = self._words, self._set + 1
        words[_BOARD_COUNT] = 0  # until the set is complete, nobody reads it
        words[_WORDS : _WORDS + len(numbers)] = memoryview(numbers)
        words[_SET] = self._set
        words[_BOARD_COUNT] = len(numbers) // 2
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

    @property
    def examined(self) -> int:
        """About which job the policy was being asked, or whose handler was being loaded; 0: about none."""
        return self._words[_EXAMINED]

    def claimed(self) -> tuple[int, list[AttemptKey]]:
        """Return the number of the set that was claimed last, and its attempts; none while it is written."""
        words = self._words
        number, count = words[_SET], words[_BOARD_COUNT]
        found = words[_WORDS : _WORDS + 2 * count].tolist()
        if (words[_SET], words[_BOARD_COUNT]) != (number, count):
            return number, []
        return number, list(zip(found[::2], found[1::2], strict=True))

    def revoke(self, number: int) -> None:
        """Forbid that anything of this set begins which has not been announced yet."""
        self._words[_REVOKED] = number
