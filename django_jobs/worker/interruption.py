"""Interrupting handlers, and the places where a function's own blocks miss an exception that a signal raises.

Python looks for signals where a loop jumps back. Since Python 3.12 the compiler leaves such a jump out of the block
around the loop, where the loop's condition stands right before it, or a branch leads to it: it takes it for an
instruction that raises nothing. What a receiver of signals raises there passes the block by, so that a lock stays
locked and a file open. In a ``with`` block, each ``while`` loop with a condition has such a place.
"""

from __future__ import annotations

import contextlib
import ctypes
import dis
import functools
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from types import CodeType, FrameType
from typing import Any, Final, TypeVar

from django_jobs.engine import timing
from django_jobs.engine.claimed_job import Claimed, current_job
from django_jobs.engine.execution.context import Runner
from django_jobs.engine.store.database import store_of
from django_jobs.engine.store.values import AttemptKey
from django_jobs.exceptions import AttemptLost, Interruption, JobCanceled

#: Takes the progress of an attempt in percent, and a message.
Report = Callable[[AttemptKey, int, str | None], object]
Receiver = TypeVar("Receiver", bound=Callable[..., Any])

_JUMPS_BACK: Final = frozenset(number for number in dis.hasjrel if "BACKWARD" in dis.opname[number])
_receivers: Final[set[CodeType]] = set()


def receiver(function: Receiver) -> Receiver:
    """Mark a function that receives signals: what is raised where a second signal interrupts it leaves it."""
    _receivers.add(function.__code__)
    return function


def is_at_blind_spot(frame: FrameType) -> bool:
    """Return whether what a signal interrupts stands at a jump back, which its own blocks may leave out."""
    frame = _interrupted(frame)
    return frame.f_code.co_code[frame.f_lasti] in _JUMPS_BACK


def _interrupted(frame: FrameType) -> FrameType:
    """Return the frame that runs no receiver of a signal, into which an exception goes."""
    found = frame
    at: FrameType | None = frame
    while at is not None:
        if at.f_code in _receivers and at.f_back is not None:
            found = at.f_back
        at = at.f_back
    return found


logger = logging.getLogger("django_jobs")

# Stopping a handler that does not call its context: by a signal in the main thread, by an asynchronous exception in
# other threads.
#
# The exception is raised only inside the handler, never inside engine code that it called, and again every two seconds
# until the handler ends. The supervisor kills the process of a handler that never does.


SIGNAL: Final = signal.SIGUSR1


class Interrupter(Runner):
    """Guards one handler run in one thread."""

    def __init__(
        self, on_main_thread: bool, connections: Sequence[Any] = (), report: Report = lambda *progress: None
    ) -> None:
        """``connections`` are Django's that the engine and the next job use too; ``report`` takes the progress."""
        self._report = report
        self._on_main_thread = on_main_thread
        self._thread_id = threading.get_ident()
        self._wanted: type[Interruption] | None = None
        self._open = False
        #: One item for each block that is shielded now. Threads add and remove items without losing count.
        self._shields: list[None] = []
        self._raised_at = self._signaled_at = -math.inf
        #: Since when signals came at blind spots only; None where the last one did not.
        self._put_off_since: float | None = None
        self._raising = threading.Lock()
        #: Django's connections on which the handler may wait for a statement.
        self.connections = list(connections)
        #: Those of them that the engine and the next job use as well; the others end with the handler.
        self._shared = tuple(connections)

    def report(self, key: AttemptKey, percent: int, message: str | None) -> None:
        """Keep the progress until it is written."""
        self._report(key, percent, message)

    def is_canceled(self) -> bool:
        """Return whether the handler is to stop because its job was canceled or belongs to another attempt."""
        return self._wanted is not None and issubclass(self._wanted, JobCanceled)

    def is_lost(self) -> bool:
        """Return whether the handler is to stop because its attempt seems to have lost the job."""
        return self._wanted is AttemptLost

    @property
    def wanted(self) -> type[Interruption] | None:
        """The interruption that was asked for; None where none was."""
        return self._wanted

    def request(self, kind: type[Interruption]) -> None:
        """Ask for an interruption and raise it; to be called from any thread."""
        self.want(kind)
        self.deliver()

    def want(self, kind: type[Interruption]) -> None:
        """Ask for an interruption without raising it yet. The first kind that was asked for stays."""
        if self._wanted is None:
            self._wanted = kind

    def deliver(self) -> None:
        """Raise what was asked for, unless that was done less than two seconds ago."""
        if not self._on_main_thread:
            self._raise_in_thread()
        elif self._due() is not None and not self._was_raised_just_now() and self._take_signal_turn():
            signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)
            # Where the main thread waits inside a driver, the signal is seen only when the statement has ended.
            self._end_in_background()

    def _take_signal_turn(self) -> bool:
        """Return whether to send the next signal now, not too soon after the last one.

        Psycopg, which waits in C, looks for signals only after a tenth of a second without any.
        """
        now = time.monotonic()
        if now - self._signaled_at < timing.INTERRUPT_SIGNAL_SECONDS:
            return False
        self._signaled_at = now
        return True

    def _raise_in_thread(self) -> None:
        # At the same moment nobody else raises it, and the handler does not end. Who holds the lock may wait for a
        # network; then what was asked for is delivered the next time.
        if not self._raising.acquire(blocking=False):
            return
        try:
            kind = self._due()
            if kind is not None and not self._was_raised_just_now():
                self._raised_at = time.monotonic()
                _set_asynchronous(self._thread_id, kind)
                # Now, so that the exception is there when the thread comes back from a statement that failed.
                self._end_in_background()
        finally:
            self._raising.release()

    def _end_in_background(self) -> None:
        """End statements in a thread of its own: whoever interrupts handlers must not wait for a network."""
        if self.connections:
            with contextlib.suppress(RuntimeError):  # the process may have no more threads
                threading.Thread(target=self._end_from_outside, name="end statements", daemon=True).start()

    def _end_from_outside(self) -> None:
        if self._on_main_thread:  # no lock, since a signal may interrupt the code that holds it
            self._end_statements(seen=False)
            return
        with self._raising:  # meanwhile the handler does not end, so that no other statement is hit
            if self._open:
                self._end_statements(seen=True)
                self._end_statements(seen=False)

    def _end_statements(self, *, seen: bool) -> None:
        """End what the handler's connections wait for: those whose driver sees what is under way, or the others."""
        for connection in list(self.connections):
            store = store_of(connection.alias)
            if store.knows_activity == seen and self._is_wanted(connection):
                try:
                    store.end_statement(connection, functools.partial(self._is_wanted, connection))
                except Exception as error:  # noqa: BLE001  (the database may be away; the handler stops all the same)
                    logger.warning("event=statement_not_ended alias=%s error=%r", connection.alias, error)

    def _is_wanted(self, connection: Any) -> bool:
        """Return whether to end what a connection waits for: after the handler it may be the engine's, or another's."""
        return self._open or all(connection is not shared for shared in self._shared)

    def close(self) -> None:
        """Raise nothing any more, since the handler has ended, and take back what was raised and has not arrived yet.

        Whoever ran the handler calls it once more: an exception that arrives while the handler's block is left may
        have prevented the first call.
        """
        if self._on_main_thread:  # no lock, since a signal may interrupt the code that holds it
            self._open = False
            return
        with self._raising:
            self._open = False
            _set_asynchronous(self._thread_id, None)

    def on_signal(self, frame: FrameType | None = None) -> None:
        """Raise what was asked for, in the main thread, unless that was done less than two seconds ago.

        Signals come from the supervisor, the stop relay and the alarm, and often two at a time. The second must not
        disturb what the handler does about the first. ``frame`` is what the signal interrupts.
        """
        if self._due() is not None and not self._was_raised_just_now() and not self._put_off(frame):
            self._raised_at = time.monotonic()  # a second signal must not disturb what follows
            # Before the exception, since a transaction that it leaves would close its busy connection.
            self._end_statements(seen=True)
            self.check()

    def _put_off(self, frame: FrameType | None) -> bool:
        """Wait for the next signal where the handler's own blocks would miss the exception; return whether to."""
        if frame is None or not is_at_blind_spot(frame):
            self._put_off_since = None
            return False
        now = time.monotonic()
        if self._put_off_since is None:
            self._put_off_since = now
        self._signaled_at = -math.inf  # the relay sends the next one at its next look
        return now - self._put_off_since < timing.INTERRUPT_PUT_OFF_SECONDS

    def check(self) -> None:
        """Raise what was asked for, here; called whenever the handler calls its context."""
        kind = self._due()
        if kind is not None:
            self._raised_at = time.monotonic()
            raise kind

    def remind(self) -> None:
        """Raise it, unless it was raised less than two seconds ago."""
        self.on_signal()

    def _due(self) -> type[Interruption] | None:
        return self._wanted if self._open and not self._shields else None

    def _was_raised_just_now(self) -> bool:
        return time.monotonic() - self._raised_at < timing.INTERRUPT_REPEAT_SECONDS

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Allow interruptions of the calling thread inside the block."""
        self._thread_id = threading.get_ident()
        self._open = True
        try:
            yield
        finally:
            self.close()

    @contextlib.contextmanager
    def shielded(self) -> Iterator[None]:
        """Put interruptions off until the end of the block, and longer where one was raised in it.

        Such as AttemptLost, where a step is refused: what the handler does about that must not be disturbed.
        """
        self._shields.append(None)
        try:
            yield
        except Interruption:
            self._raised_at = time.monotonic()
            raise
        finally:
            self._shields.pop()
        self.check()


def _set_asynchronous(thread_id: int, kind: type[Interruption] | None) -> None:
    """Make a thread raise an exception at its next bytecode; None withdraws one that it has not raised yet."""
    exception = None if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), exception)


class MainThreadSignals:
    """Passes the process's signals to the handler that runs in the main thread."""

    def __init__(self) -> None:
        self.current: Interrupter | None = None
        signal.signal(SIGNAL, self._on_signal)

    @receiver
    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        current = self.current
        if current is not None:
            current.on_signal(frame)


# The handlers that run in a child, each with what interrupts it.


class RunningJobs:
    """What runs now, by attempt. Other threads read it while the slots change it."""

    def __init__(self) -> None:
        self._jobs: dict[AttemptKey, tuple[Claimed, Interrupter]] = {}

    def add(self, claimed: Claimed, interrupter: Interrupter) -> None:
        """Note that a job's handler starts."""
        claimed.interruption = lambda: interrupter.wanted
        self._jobs[claimed.key] = (claimed, interrupter)

    def remove(self, claimed: Claimed) -> None:
        """Note that a job's handler has ended."""
        self._jobs.pop(claimed.key, None)

    def interrupters(self) -> dict[AttemptKey, Interrupter]:
        """Return what interrupts each handler, by attempt."""
        return {key: interrupter for key, (_, interrupter) in list(self._jobs.items())}

    def with_claims(self) -> list[tuple[Claimed, Interrupter]]:
        """Return what runs, each with what interrupts it."""
        return list(self._jobs.values())

    def claimed(self, key: AttemptKey) -> Claimed | None:
        """Return the job of this attempt; None where it does not run any more."""
        found = self._jobs.get(key)
        return None if found is None else found[0]

    def note_connection(self, connection: Any, **kwargs: Any) -> None:
        """Note that a handler has opened a connection, perhaps in another thread; a receiver of Django's signal."""
        job = current_job.get()
        found = None if job is None else self._jobs.get(job.key)
        if found is not None and not any(connection is known for known in found[1].connections):
            found[1].connections.append(connection)

    def cancel(self, pks: Collection[int]) -> None:
        """Interrupt the handlers of these jobs, since somebody canceled them."""
        for (pk, _), interrupter in self.interrupters().items():
            if pk in pks:
                interrupter.request(JobCanceled)
