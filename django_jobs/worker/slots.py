"""Where handlers run: in the main thread, or in a pool of threads for handlers that wait on the network."""

from __future__ import annotations

import queue
import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from django.db import connections

from django_jobs.engine.claim import Claimed
from django_jobs.engine.execution import context_for, run
from django_jobs.exceptions import JobTimedOut
from django_jobs.worker.board import Board
from django_jobs.worker.interruption import Interrupter, MainThreadSignals, SlotRunner

if TYPE_CHECKING:
    from django_jobs.worker.child import Child


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
    runner = SlotRunner((claimed.pk, claimed.attempt), child.steward.progress, interrupter)
    board.begin(slot, claimed.pk, claimed.attempt, claimed.timeout_seconds)
    try:
        outcome = run(claimed, context_for(claimed, runner))
    finally:
        board.end(slot)
    child.steward.forget(claimed)
    child.ended(outcome)


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
            signal.setitimer(signal.ITIMER_REAL, claimed.timeout_seconds)
            try:
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
        MainThreadSignals()  # the supervisor's signal only says "look at the board", which the steward does anyway

    def room(self, wanted: int) -> int:
        return min(wanted, self._free.qsize())

    def run_batch(self) -> None:
        while not self._free.empty() and (claimed := self._child.batch.next()) is not None:
            slot = self._free.get_nowait()
            interrupter = Interrupter(on_main_thread=False)
            self.running.add(claimed, interrupter)
            threading.Thread(target=self._run, args=(slot, claimed, interrupter), daemon=True).start()

    def _run(self, slot: int, claimed: Claimed, interrupter: Interrupter) -> None:
        timer = threading.Timer(claimed.timeout_seconds, interrupter.request, [JobTimedOut])
        timer.daemon = True
        timer.start()
        try:
            _run_in(self._child, self.board, slot, claimed, interrupter)
            self._child.steward.settle(self._child.batch.take_ended())
        finally:
            timer.cancel()
            self.running.remove(claimed)
            connections.close_all()  # they belong to this thread, which ends
            self._free.put(slot)
            with self._changed:
                self._changed.notify_all()

    def wait(self) -> None:
        with self._changed:
            while self.running:
                self._changed.wait(0.5)

    def wait_for_room(self) -> None:
        with self._changed:
            if self._free.empty():
                self._changed.wait(0.5)
