"""Where handlers run: in the main thread, or in threads for handlers that wait on the network."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from types import FrameType
from typing import Any, Final, Protocol

from django.db import connections
from django.db.backends.signals import connection_created

from django_jobs.exceptions import JobTimedOut
from django_jobs.worker import blind_spots
from django_jobs.worker.child_state import ChildState
from django_jobs.worker.interruption import SIGNAL, Interrupter, MainThreadSignals
from django_jobs.worker.slot_run import run_in
from django_jobs.worker.thread_slots import ThreadSlots

#: The signals that a worker has a use for.
SIGNALS: Final = (SIGNAL, signal.SIGALRM, signal.SIGTERM, signal.SIGINT)


class Slots(Protocol):
    """One or more places in which handlers run."""

    def room(self) -> int:
        """Return how many tickets to take now."""

    def fits(self, job_types: Sequence[str]) -> int:
        """Return how many of the jobs of these types, the first ones first, should start soon."""

    def run_batch(self) -> None:
        """Start the claimed jobs; return when the main thread may take the next ones."""

    def store(self) -> None:
        """Store how handlers ended; where a thread does that, only raise what kept it from doing so for too long."""

    def wait_for_room(self) -> None:
        """Wait until there may be more room than when it was last asked for, or for a moment."""

    def wait(self) -> None:
        """Wait until nothing runs, and how what ran in threads ended is stored."""

    def close(self) -> None:
        """Let go of what the slots hold."""


def make_slots(state: ChildState) -> Slots:
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
        return self._state.prefetch.set_size()

    def fits(self, job_types: Sequence[str]) -> int:
        return self._state.prefetch.fits(job_types)

    def run_batch(self) -> None:
        receivers: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
        while (claimed := self._state.batch.next()) is not None:
            interrupter = Interrupter(on_main_thread=True, connections=self._connections)
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
                self._state.batch.finish()
        _take_back(receivers)

    @blind_spots.receiver
    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        interrupter = self._signals.current
        if interrupter is not None:
            interrupter.want(JobTimedOut)
            interrupter.on_signal(frame)

    def store(self) -> None:
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
