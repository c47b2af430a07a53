"""Where handlers run: in the main thread, or in threads for handlers that wait on the network."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any, Final

from django.db import Error, connections, reset_queries
from django.db.backends.signals import connection_created

from django_jobs.engine import timing
from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.execution.outcomes import NotBegun
from django_jobs.engine.store import database
from django_jobs.exceptions import JobTimedOut
from django_jobs.texts import say
from django_jobs.worker import interruption
from django_jobs.worker.child_state import ChildState, run_in
from django_jobs.worker.event_loop import EventLoop, mend_rested
from django_jobs.worker.interruption import SIGNAL, Interrupter, MainThreadSignals
from django_jobs.worker.shared import MAX_SET

logger = logging.getLogger("django_jobs")

# A child's thread that stores how the handlers of its other threads ended.


class GroupCommit:
    """Stores ends in sets: the first one at once, and those that come while it is stored with the next set."""

    def __init__(self, state: ChildState) -> None:
        self._state = state
        self._asked = threading.Event()
        self._storing = threading.Lock()
        self._is_closing = False
        self._failure: Error | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, unless it runs. Raises RuntimeError where the process may have no more threads."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="group commit", daemon=True)
            thread.start()
            self._thread = thread

    def ask(self) -> None:
        """Ask for what ended to be stored; return at once."""
        self._asked.set()

    def check(self) -> None:
        """Raise the error that kept ends from being stored for as long as a burst waits for that."""
        if self._failure is not None:
            raise self._failure

    def store(self) -> None:
        """Store what ended, in the calling thread, after what is being stored."""
        try:
            with self._storing:
                self._state.settle()
        except Error as error:
            self._failure = error
        except Exception:  # whatever it is, the next ends must be stored
            logger.exception("event=settle_failed worker=%s", self._state.name)
        finally:
            reset_queries()  # with DEBUG Django keeps them, and each has what a whole set returned

    def stop(self) -> None:
        """End the thread; wait for it for at most ten seconds."""
        self._is_closing = True
        self._asked.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._is_closing:
            self._asked.wait()
            self._asked.clear()
            self.store()
        connections.close_all()


# Several handlers at a time in threads that stay, each with its own connections to databases.


class ThreadSlots:
    """One thread a slot, started when it is first needed. Interruption is best effort, at a thread's next bytecode.

    The stop relay looks after timeouts. How handlers ended is stored in sets by a thread of its own.
    """

    def __init__(self, state: ChildState) -> None:
        self._state = state
        self._limit = state.options.threads
        self._threads: list[threading.Thread] = []
        self._commit = GroupCommit(state)
        self._loop = EventLoop(state, self._commit.ask)
        self._not_before = 0.0
        #: How many jobs were finished, and may wait, when room was last asked for.
        self._finished = self._enough = 0
        # The supervisor's signal is received and ignored: the stop relay looks for stop requests anyway.
        MainThreadSignals()

    def room(self) -> int:
        """Return how many tickets to take: for the free slots, and for what should start soon after.

        Of the latter a new set is taken when half of it is used up, so that claims are few and no slot is idle. While
        long jobs hold all slots there is none: it would be claimed and requeued, again and again.
        """
        in_hand, self._finished = self._state.in_hand, self._state.in_hand.finished
        if self._pause():
            return 0
        ahead = 0 if in_hand.is_held_up() else min(MAX_SET, self._state.prefetch.ahead(self._limit))
        self._enough = ahead // 2
        if -in_hand.free() > self._enough:  # so many wait for a slot
            return 0
        return max(0, min(in_hand.free() + ahead, MAX_SET - in_hand.waiting_count()))

    def _pause(self) -> float:
        """Return for how many seconds to start nothing."""
        return max(0.0, self._not_before - time.monotonic())

    def run_batch(self) -> None:
        """Have enough threads for the jobs that wait, and an event loop for coroutines."""
        in_hand = self._state.in_hand
        if in_hand.waiting_count() > in_hand.waiting_for_threads():
            self._start_loop()
        missing = min(in_hand.waiting_for_threads() - in_hand.idle, self._limit - len(self._threads))
        for _ in range(missing):
            slot = len(self._threads)
            thread = threading.Thread(target=self._work, args=[slot], name=f"slot {slot}", daemon=True)
            try:
                self._commit.start()
                thread.start()
            except RuntimeError as error:  # the process may have no more threads
                self._requeue_waiting(error)
                return
            self._threads.append(thread)

    def _start_loop(self) -> None:
        try:
            self._commit.start()
            self._loop.start()
        except (RuntimeError, OSError) as error:  # the process may have no more threads, or no more open files
            self._requeue_waiting(error)
        else:
            self._loop.wake()

    def _requeue_waiting(self, error: Exception) -> None:
        """Requeue what waits for a thread: another worker may have one, and so may this one a little later."""
        logger.error("event=thread_not_started worker=%s error=%r", self._state.name, error)
        self._not_before = time.monotonic() + timing.THREAD_START_RETRY_SECONDS
        text = say("Requeued: its worker could not start a thread (%(error)s)", code="no_thread", error=str(error))
        for claimed in self._state.in_hand.take_waiting():
            self._state.in_hand.add_ended(NotBegun(claimed=claimed, text=text))
        self._state.settle()

    def _work(self, slot: int) -> None:
        """Run jobs in this thread, one after the other, until the slots are closed."""
        own, in_hand = connections.all(), self._state.in_hand
        rested = time.monotonic()
        while not in_hand.is_closed:
            try:
                claimed = in_hand.wait_for_next(timing.IDLE_CONNECTION_SECONDS)
                if claimed is None:
                    database.drop_connections()
                else:
                    self._run(slot, claimed, own, rested)
                    rested = time.monotonic()
            except BaseException:  # no mistake ends this thread, nor what a handler's library raises in it too late
                logger.exception("event=slot_failed worker=%s", self._state.name)

    def _run(self, slot: int, claimed: Claimed, own: Sequence[Any], rested: float) -> None:
        interrupter = Interrupter(on_main_thread=False, connections=own, report=self._state.progress.report)
        self._state.running.add(claimed, interrupter)
        with contextlib.ExitStack() as ending:
            ending.callback(reset_queries)
            ending.callback(self._commit.ask)
            ending.callback(self._state.in_hand.finish)
            ending.callback(self._state.running.remove, claimed)
            if time.monotonic() - rested >= timing.RESTED_CONNECTION_SECONDS:
                mend_rested()
            else:
                database.mend_connections()
            run_in(self._state, slot, claimed, interrupter)

    def store(self) -> None:
        """Raise what kept the ends of handlers from being stored for too long; a thread stores them."""
        self._commit.check()

    def wait_for_room(self) -> None:
        """Wait until there may be more room than when it was last asked for, or for a moment."""
        if self._pause():
            self._state.stopping.wait(self._pause())
        else:
            self._state.in_hand.wait_for_finish(self._finished, self._enough, timing.ROOM_LOOK_SECONDS)

    def wait(self) -> None:
        """Wait until nothing runs, and how what ran in threads ended is stored."""
        self._state.in_hand.wait_until_idle()
        self._commit.store()

    def close(self) -> None:
        """End the threads; wait for them for at most ten seconds."""
        self._state.in_hand.close()
        deadline = time.monotonic() + 10
        for thread in self._threads:
            thread.join(timeout=max(0.0, deadline - time.monotonic()))
        self._loop.stop()
        self._commit.stop()


# One handler at a time in the main thread, and the choice between the two.


#: The signals that a worker has a use for.
SIGNALS: Final = (SIGNAL, signal.SIGALRM, signal.SIGTERM, signal.SIGINT)


def make_slots(state: ChildState) -> MainThreadSlot | ThreadSlots:
    """Return the slots of a child: its main thread, or as many threads as its options say."""
    connection_created.connect(state.running.note_connection)
    return MainThreadSlot(state) if state.options.threads == 1 else ThreadSlots(state)


class MainThreadSlot:
    """One job at a time in the main thread, where signals can interrupt it."""

    def __init__(self, state: ChildState) -> None:
        self._state = state
        self._signals = MainThreadSignals()
        self._connections = connections.all()
        signal.signal(signal.SIGALRM, self._on_alarm)

    def room(self) -> int:
        """Return how many tickets to take now."""
        return self._state.prefetch.set_size()

    def run_batch(self) -> None:
        """Run the claimed jobs."""
        receivers: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
        while (claimed := self._state.in_hand.next()) is not None:
            interrupter = Interrupter(
                on_main_thread=True, connections=self._connections, report=self._state.progress.report
            )
            self._state.running.add(claimed, interrupter)
            self._signals.current = interrupter
            try:
                signal.setitimer(signal.ITIMER_REAL, claimed.timeout_seconds)
                run_in(self._state, 0, claimed, interrupter)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                self._signals.current = None
                if signal.getsignal(signal.SIGALRM) is not receivers[signal.SIGALRM]:
                    _take_back(receivers)  # before the next alarm, which might end the process
                self._state.running.remove(claimed)
                self._state.in_hand.finish()
        _take_back(receivers)

    @interruption.receiver
    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        interrupter = self._signals.current
        if interrupter is not None:
            interrupter.want(JobTimedOut)
            interrupter.on_signal(frame)

    def store(self) -> None:
        """Store how handlers ended."""
        self._state.settle()

    def wait_for_room(self) -> None:
        """Return at once: there is always room."""

    def wait(self) -> None:
        """Return at once: nothing runs."""

    def close(self) -> None:
        """Do nothing: the main thread goes on."""


def _take_back(receivers: dict[int, Any]) -> None:
    """Let these functions receive the signals again: a handler may have used a signal for something of its own."""
    for number, receiver in receivers.items():
        if signal.getsignal(number) is not receiver:
            signal.signal(number, receiver)
