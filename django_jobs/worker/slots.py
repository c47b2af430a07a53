"""Where handlers run: in the main thread, or in a pool of threads for handlers that wait on the network."""

from __future__ import annotations

import contextlib
import logging
import queue
import signal
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING, Final, Protocol

from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.execution.handler_run import context_for, ended_by, run
from django_jobs.engine.execution.outcomes import Interrupted, Outcome
from django_jobs.engine.store import database
from django_jobs.exceptions import JobTimedOut
from django_jobs.worker.interruption import Interrupter, MainThreadSignals, SlotRunner
from django_jobs.worker.shared_slots import Board

if TYPE_CHECKING:
    from django_jobs.worker.child import Child

logger = logging.getLogger("django_jobs")

#: After a thread could not be started.
PAUSE_SECONDS: Final = 1.0


class Running:
    """What runs now, by (job, attempt); read by the steward while the slots change it."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[int, int], tuple[Claimed, Interrupter]] = {}

    def add(self, claimed: Claimed, interrupter: Interrupter) -> None:
        self._jobs[claimed.pk, claimed.attempt] = (claimed, interrupter)

    def remove(self, claimed: Claimed) -> None:
        self._jobs.pop((claimed.pk, claimed.attempt), None)

    def interrupters(self) -> dict[tuple[int, int], Interrupter]:
        return {key: interrupter for key, (_, interrupter) in list(self._jobs.items())}

    def claimed(self, key: tuple[int, int]) -> Claimed | None:
        found = self._jobs.get(key)
        return None if found is None else found[0]

    def __bool__(self) -> bool:
        return bool(self._jobs)


class Slots(Protocol):
    """One or more places for a running handler."""

    board: Board
    running: Running

    def room(self, wanted: int) -> int:
        """How many tickets to take now."""

    def run_batch(self) -> None:
        """Start the claimed jobs; returns when the main thread may take the next ones."""

    def wait(self) -> None:
        """Until nothing runs."""

    def wait_for_room(self) -> None:
        """Until a slot is free, or a moment has passed."""


def make_slots(child: Child, board: Board) -> Slots:
    return MainThreadSlot(child, board) if child.options.threads == 1 else ThreadSlots(child, board)


def _run_in(child: Child, board: Board, slot: int, claimed: Claimed, interrupter: Interrupter) -> None:
    """Run a job in a slot. Whatever goes wrong, the board forgets it, and the child learns how it ended."""
    with contextlib.ExitStack() as ending:
        outcome = _outcome_of(child, board, slot, claimed, interrupter)
        ending.callback(child.ended, outcome)
        ending.callback(board.end, slot)
        ending.callback(interrupter.close)


def _outcome_of(child: Child, board: Board, slot: int, claimed: Claimed, interrupter: Interrupter) -> Outcome:
    try:
        runner = SlotRunner((claimed.pk, claimed.attempt), child.steward.progress, interrupter)
        board.begin(slot, claimed.pk, claimed.attempt, claimed.timeout_seconds)
        return run(claimed, context_for(claimed, runner))
    except BaseException as error:
        logger.exception("event=run_failed worker=%s job_id=%s", child.name, claimed.job_id)
        return ended_by(claimed, error)


class MainThreadSlot:
    """One job at a time in the main thread, where signals can interrupt it."""

    def __init__(self, child: Child, board: Board) -> None:
        self._child = child
        self.board = board
        self._signals = MainThreadSignals()
        self.running = Running()
        signal.signal(signal.SIGALRM, self._on_alarm)

    def room(self, wanted: int) -> int:
        return wanted

    def run_batch(self) -> None:
        while (claimed := self._child.batch.next()) is not None:
            interrupter = Interrupter(on_main_thread=True)
            self.running.add(claimed, interrupter)
            self._signals.current = interrupter
            try:
                signal.setitimer(signal.ITIMER_REAL, claimed.timeout_seconds)
                _run_in(self._child, self.board, 0, claimed, interrupter)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                self._signals.current = None
                self.running.remove(claimed)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        interrupter = self._signals.current
        if interrupter is not None:
            interrupter.want(JobTimedOut)
            interrupter.on_signal()

    def wait(self) -> None:
        """The main thread is here, so nothing runs."""

    def wait_for_room(self) -> None:
        """There always is."""


class ThreadSlots:
    """Several jobs at a time in threads; interruption is best effort, at a thread's next bytecode."""

    def __init__(self, child: Child, board: Board) -> None:
        self._child = child
        self.board = board
        self._free: queue.Queue[int] = queue.Queue()
        for slot in range(board.slots):
            self._free.put(slot)
        self.running = Running()
        self._changed = threading.Condition()
        self._not_before = 0.0
        MainThreadSignals()  # the supervisor's signal only says "look at the board", which the steward does anyway

    def room(self, wanted: int) -> int:
        return 0 if self._pause() else min(wanted, self._free.qsize())

    def _pause(self) -> float:
        """For how many seconds to start nothing."""
        return max(0.0, self._not_before - time.monotonic())

    def run_batch(self) -> None:
        while not self._free.empty() and (claimed := self._child.batch.next()) is not None:
            self._start(self._free.get_nowait(), claimed)

    def _start(self, slot: int, claimed: Claimed) -> None:
        interrupter = Interrupter(on_main_thread=False)
        timer = threading.Timer(claimed.timeout_seconds, interrupter.request, [JobTimedOut])
        timer.daemon = True
        thread = threading.Thread(target=self._run, args=(slot, claimed, interrupter, timer), daemon=True)
        self.running.add(claimed, interrupter)
        try:
            timer.start()
            thread.start()
        except RuntimeError as error:  # the process may have no more threads
            timer.cancel()
            self._hand_back(claimed, error)
            self._release(slot, claimed)

    def _hand_back(self, claimed: Claimed, error: RuntimeError) -> None:
        """Others may have the means to run it; it may come back to us, but not at once."""
        logger.error("event=thread_not_started worker=%s error=%r", self._child.name, error)
        self._not_before = time.monotonic() + PAUSE_SECONDS
        text = f"Handed back: its worker could not start a thread ({error})"
        # Not by way of the child, which would take it for a handler that needs no time.
        self._child.batch.add_ended(Interrupted(claimed=claimed, text=text))

    def _run(self, slot: int, claimed: Claimed, interrupter: Interrupter, timer: threading.Timer) -> None:
        with contextlib.ExitStack() as ending:
            ending.callback(self._release, slot, claimed)
            ending.callback(database.drop_connections)  # they belong to this thread, which ends
            ending.callback(self._settle)
            ending.callback(timer.cancel)
            _run_in(self._child, self.board, slot, claimed, interrupter)

    def _settle(self) -> None:
        self._child.steward.settle(self._child.batch.take_ended())

    def _release(self, slot: int, claimed: Claimed) -> None:
        with self._changed:
            self.running.remove(claimed)
            self._free.put(slot)
            self._changed.notify_all()

    def wait(self) -> None:
        with self._changed:
            while self.running:
                self._changed.wait(0.5)

    def wait_for_room(self) -> None:
        if self._pause():
            self._child.stopping.wait(self._pause())
            return
        with self._changed:
            if self._free.empty():
                self._changed.wait(0.5)
