"""Where handlers run: in the main thread, or in a pool of threads for handlers that wait on the network."""

from __future__ import annotations

import contextlib
import logging
import queue
import signal
import threading
import time
from types import FrameType
from typing import Final, Protocol

from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.execution.handler_run import context_for, ended_by, run
from django_jobs.engine.execution.outcomes import Interrupted, Outcome
from django_jobs.engine.store import database
from django_jobs.exceptions import JobTimedOut
from django_jobs.worker.child_state import ChildState
from django_jobs.worker.interruption import Interrupter, MainThreadSignals, SlotRunner

logger = logging.getLogger("django_jobs")

#: How long no job is started after a thread could not be started.
PAUSE_SECONDS: Final = 1.0


class Slots(Protocol):
    """One or more places in which handlers run."""

    def room(self, wanted: int) -> int:
        """Return how many of the ``wanted`` tickets to take now."""

    def run_batch(self) -> None:
        """Start the claimed jobs; return when the main thread may take the next ones."""

    def wait(self) -> None:
        """Wait until nothing runs."""

    def wait_for_room(self) -> None:
        """Wait until a slot is free, or for a moment."""


def make_slots(state: ChildState) -> Slots:
    """Return the slots of a child: its main thread, or as many threads as its options say."""
    return MainThreadSlot(state) if state.options.threads == 1 else ThreadSlots(state)


def _run_in(state: ChildState, slot: int, claimed: Claimed, interrupter: Interrupter) -> None:
    """Run a job in a slot. Whatever goes wrong, the shared slot is freed and the outcome handed over."""
    with contextlib.ExitStack() as ending:
        outcome = _outcome_of(state, slot, claimed, interrupter)
        ending.callback(state.ended, outcome)
        ending.callback(state.shared_slots.end, slot)
        ending.callback(interrupter.close)


def _outcome_of(state: ChildState, slot: int, claimed: Claimed, interrupter: Interrupter) -> Outcome:
    try:
        runner = SlotRunner((claimed.pk, claimed.attempt), state.progress, interrupter)
        state.shared_slots.begin(slot, claimed.pk, claimed.attempt, claimed.timeout_seconds)
        return run(claimed, context_for(claimed, runner))
    except BaseException as error:
        logger.exception("event=run_failed worker=%s job_id=%s", state.name, claimed.job_id)
        return ended_by(claimed, error)


class MainThreadSlot:
    """One job at a time in the main thread, where signals can interrupt it."""

    def __init__(self, state: ChildState) -> None:
        self._state = state
        self._signals = MainThreadSignals()
        signal.signal(signal.SIGALRM, self._on_alarm)

    def room(self, wanted: int) -> int:
        return wanted

    def run_batch(self) -> None:
        while (claimed := self._state.batch.next()) is not None:
            interrupter = Interrupter(on_main_thread=True)
            self._state.running.add(claimed, interrupter)
            self._signals.current = interrupter
            try:
                signal.setitimer(signal.ITIMER_REAL, claimed.timeout_seconds)
                _run_in(self._state, 0, claimed, interrupter)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                self._signals.current = None
                self._state.running.remove(claimed)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        interrupter = self._signals.current
        if interrupter is not None:
            interrupter.want(JobTimedOut)
            interrupter.on_signal()

    def wait(self) -> None:
        """Return at once: while the main thread is here, nothing runs."""

    def wait_for_room(self) -> None:
        """Return at once: there is always room."""


class ThreadSlots:
    """Several jobs at a time in threads; interruption is best effort, at a thread's next bytecode."""

    def __init__(self, state: ChildState) -> None:
        self._state = state
        self._free: queue.Queue[int] = queue.Queue()
        for slot in range(state.shared_slots.count):
            self._free.put(slot)
        self._changed = threading.Condition()
        self._not_before = 0.0
        # The supervisor's signal is received and ignored: the housekeeper looks for stop requests anyway.
        MainThreadSignals()

    def room(self, wanted: int) -> int:
        return 0 if self._pause() else min(wanted, self._free.qsize())

    def _pause(self) -> float:
        """Return for how many seconds to start nothing."""
        return max(0.0, self._not_before - time.monotonic())

    def run_batch(self) -> None:
        while not self._free.empty() and (claimed := self._state.batch.next()) is not None:
            self._start(self._free.get_nowait(), claimed)

    def _start(self, slot: int, claimed: Claimed) -> None:
        interrupter = Interrupter(on_main_thread=False)
        timer = threading.Timer(claimed.timeout_seconds, interrupter.request, [JobTimedOut])
        timer.daemon = True
        thread = threading.Thread(target=self._run, args=(slot, claimed, interrupter, timer), daemon=True)
        self._state.running.add(claimed, interrupter)
        try:
            timer.start()
            thread.start()
        except RuntimeError as error:  # the process may have no more threads
            timer.cancel()
            self._hand_back(claimed, error)
            self._release(slot, claimed)

    def _hand_back(self, claimed: Claimed, error: RuntimeError) -> None:
        """Give a job back that got no thread: another worker may have one, and so may this one a little later."""
        logger.error("event=thread_not_started worker=%s error=%r", self._state.name, error)
        self._not_before = time.monotonic() + PAUSE_SECONDS
        text = f"Handed back: its worker could not start a thread ({error})"
        # Not by ``state.ended``, which would count it as a handler that ran for no time.
        self._state.batch.add_ended(Interrupted(claimed=claimed, text=text))

    def _run(self, slot: int, claimed: Claimed, interrupter: Interrupter, timer: threading.Timer) -> None:
        with contextlib.ExitStack() as ending:
            ending.callback(self._release, slot, claimed)
            ending.callback(database.drop_connections)  # they belong to this thread, which ends
            ending.callback(self._state.settle)
            ending.callback(timer.cancel)
            _run_in(self._state, slot, claimed, interrupter)

    def _release(self, slot: int, claimed: Claimed) -> None:
        with self._changed:
            self._state.running.remove(claimed)
            self._free.put(slot)
            self._changed.notify_all()

    def wait(self) -> None:
        with self._changed:
            while self._state.running:
                self._changed.wait(0.5)

    def wait_for_room(self) -> None:
        if self._pause():
            self._state.stopping.wait(self._pause())
            return
        with self._changed:
            if self._free.empty():
                self._changed.wait(0.5)
