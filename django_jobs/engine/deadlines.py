"""Time limits: for duties that go on in small steps, and for the host's code, which may hang.

Python cannot end what hangs in a thread. So the host's code runs in another thread, on this thread's connections and
with its context variables. It sees what this thread wrote. A thread that stops to wait for it leaves these connections
to it, and gets new ones.
"""

from __future__ import annotations

import contextvars
import os
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from queue import SimpleQueue
from typing import Any, Final, Generic, NamedTuple, TypeVar

from django.db import connections

from django_jobs.engine.store import database
from django_jobs.engine.store.database import store_of

T = TypeVar("T")


def add_up(seconds: float, counts: Iterable[int]) -> int:
    """Take steps for so many seconds, at least one, and return the sum of their counts.

    A step is taken as its count is asked for.
    """
    until, total = time.monotonic() + seconds, 0
    for count in counts:
        total += count
        if time.monotonic() >= until:
            break
    return total


class Late(Exception):
    """The host's code has not come to an end in time, and goes on. The text says where it is."""


class TimeLimit:
    """Calls about subjects, such as tenants. While one about a subject is late, no other one about it is made.

    Nor is any made while calls about ``most`` subjects are late: each has a thread.
    """

    def __init__(self, most: int, *, hangs_up: bool) -> None:
        """Make a limit; ``hangs_up`` tells that nobody wants the answer of a call that is late.

        It loses its connections then, so that no lock of a transaction outlasts that.
        """
        self._most = most
        self._hangs_up = hangs_up
        self._late: Counter[Hashable] = Counter()
        self._counting = threading.Lock()
        _clear_in_copies(self._late)

    def call(self, subject: Hashable, seconds: float, function: Callable[[], T]) -> T:
        """Return what ``function`` returns. Raises Late when it takes longer; the caller's transaction is lost then.

        Raises Late at once, and without that, where no call is made.
        """
        if subject in self._late or len(self._late) >= self._most:
            raise Late
        has_ended = is_late = False

        def run() -> T:
            nonlocal has_ended
            try:
                return function()
            finally:
                with self._counting:
                    has_ended = True
                    if is_late:
                        self._forget(subject)

        try:
            return _within(seconds, run, hangs_up=self._hangs_up)
        except BaseException:  # Late, or an interruption of the handler that asks
            with self._counting:
                if not has_ended:
                    is_late = True
                    self._late[subject] += 1
            raise

    def _forget(self, subject: Hashable) -> None:
        self._late[subject] -= 1
        if self._late[subject] <= 0:
            del self._late[subject]


def _within(seconds: float, function: Callable[[], T], *, hangs_up: bool) -> T:
    call = _HostCall(function)
    try:
        helper = _idle.pop()
    except IndexError:
        helper = _Helper()
    helper.calls.put(call)
    try:
        in_time = call.ended.acquire(timeout=seconds)
    except BaseException:  # an interruption of the handler that asks
        call.leave(hangs_up=True)
        raise
    if in_time or not call.leave(hangs_up=hangs_up):
        return call.result()
    raise Late("".join(traceback.format_stack(sys._current_frames().get(helper.ident or 0))))  # noqa: SLF001


class _Lent(NamedTuple):
    """A connection, and where its transaction stood when it was lent."""

    item: Any
    in_atomic_block: bool
    savepoint_ids: list[Any]
    atomic_blocks: list[Any]


class _HostCall(Generic[T]):
    """One call of the host's code, with all that it needs of the thread that waits for it."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._context = contextvars.copy_context()
        self._lent = [
            _Lent(item, item.in_atomic_block, [*item.savepoint_ids], [*item.atomic_blocks])
            for item in connections.all(initialized_only=True)
        ]
        for lent in self._lent:
            lent.item.inc_thread_sharing()
        self._value: Any = None
        self._error: BaseException | None = None
        #: The connections that it left, once it has come to its end.
        self._used: list[Any] | None = None
        self._is_left = False
        self._lock = threading.Lock()
        self.ended = threading.Lock()
        self.ended.acquire()

    def run(self) -> None:
        """Call the function, in the helper's thread."""
        for lent in self._lent:
            connections[lent.item.alias] = lent.item
        try:
            self._value = self._context.run(self._function)
        except BaseException as error:  # noqa: BLE001  (raised where the call was made)
            self._error = error
        used: list[Any] = [*connections.all(initialized_only=True)]
        with self._lock:
            self._used = used
        for item in used:
            if self._is_left:
                database.drop(item)
            del connections[item.alias]

    def leave(self, *, hangs_up: bool) -> bool:
        """Wait no longer, and get new connections; return False where the call has come to its end."""
        with self._lock:
            if self._used is not None:
                return False
            self._is_left = True
        for lent in self._lent:
            _replace(lent)
            if hangs_up:
                store_of(lent.item.alias).hang_up(lent.item)
        return True

    def result(self) -> T:
        """Return what the function returned or raise what it raised, with the connections back in this thread."""
        lent = [item.item for item in self._lent]
        for item in self._used or ():
            connections[item.alias] = item
            if item in lent:
                item.dec_thread_sharing()
            else:
                item.inc_thread_sharing()
        if self._error is not None:
            raise self._error
        value: T = self._value
        return value


def _replace(lent: _Lent) -> None:
    """Give this thread a new connection in the place of one that was lent; in a transaction, one that was lost."""
    connection: Any = connections.create_connection(lent.item.alias)
    if lent.in_atomic_block:  # as Django leaves one that was closed in a transaction
        connection.in_atomic_block = connection.closed_in_transaction = connection.needs_rollback = True
        connection.savepoint_ids, connection.atomic_blocks = lent.savepoint_ids, lent.atomic_blocks
        connection.commit_on_exit = lent.item.commit_on_exit
    connections[lent.item.alias] = connection


class _Helper(threading.Thread):
    """A thread that waits for calls, and makes one at a time."""

    def __init__(self) -> None:
        super().__init__(name="host's code", daemon=True)
        self.calls: SimpleQueue[_HostCall[Any]] = SimpleQueue()
        self.start()

    def run(self) -> None:
        """Make calls for as long as the process lives."""
        while True:
            self._make(self.calls.get())

    def _make(self, call: _HostCall[Any]) -> None:
        call.run()
        _idle.append(self)  # before the end of the call is known, so that the next one needs no other thread
        call.ended.release()


def _clear_in_copies(notes: Any) -> None:
    """Clear notes about threads in a copy of this process, which has none of them."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=notes.clear)


_idle: Final[list[_Helper]] = []
_clear_in_copies(_idle)
