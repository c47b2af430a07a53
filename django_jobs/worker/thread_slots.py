"""Several handlers at a time in threads that stay, each with its own connections to databases."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from django.db import connections, reset_queries

from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.execution.outcomes import NotBegun
from django_jobs.engine.store import database
from django_jobs.texts import say
from django_jobs.worker.child_board import MAX_SET
from django_jobs.worker.child_state import ChildState
from django_jobs.worker.event_loop import EventLoop
from django_jobs.worker.group_commit import GroupCommit
from django_jobs.worker.interruption import Interrupter, MainThreadSignals
from django_jobs.worker.slot_run import run_in
from django_jobs.worker.sync_thread import IDLE_SECONDS, RESTED_SECONDS, mend_rested

logger = logging.getLogger("django_jobs")

#: How long no job is started after a thread could not be started.
PAUSE_SECONDS: Final = 1.0
#: How long the main loop waits for room before it looks again, whatever happens.
LOOK_SECONDS: Final = 0.5


class ThreadSlots:
    """One thread a slot, started when it is first needed. Interruption is best effort, at a thread's next bytecode.

    The stop relay looks after timeouts. How handlers ended is stored in sets by a thread of its own.
    """

    def __init__(self, state: ChildState) -> None:
        self._state = state
        self._threads: list[threading.Thread] = []
        self._commit = GroupCommit(state)
        self._loop = EventLoop(state, state.options.threads, self._commit.ask)
        self._not_before = 0.0
        #: How many jobs were finished, and may wait, when room was last asked for.
        self._finished = self._enough = 0
        # The supervisor's signal is received and ignored: the stop relay looks for stop requests anyway.
        MainThreadSignals()

    def room(self) -> int:
        """Return how many tickets to take: for the free slots, and for what should start soon after.

        Of the latter a new set is taken when half of it is used up, so that claims are few and no slot is idle. While
        long jobs hold all slots there is none: it would be claimed and handed back, again and again.
        """
        batch, self._finished = self._state.batch, self._state.batch.finished
        if self._pause():
            return 0
        ahead = 0 if batch.is_held_up() else min(MAX_SET, self._state.prefetch.ahead(self._limit))
        self._enough = ahead // 2
        if batch.surplus() > self._enough:
            return 0
        return max(0, min(batch.free() + ahead, MAX_SET - batch.waiting_count()))

    @property
    def _limit(self) -> int:
        return self._state.options.threads

    def fits(self, job_types: Sequence[str]) -> int:
        return self._state.prefetch.fits(job_types, self._state.batch.free(), self._limit)

    def _pause(self) -> float:
        """Return for how many seconds to start nothing."""
        return max(0.0, self._not_before - time.monotonic())

    def run_batch(self) -> None:
        """Have enough threads for the jobs that wait, and an event loop for coroutines."""
        batch = self._state.batch
        if batch.waiting_count() > batch.waiting_for_threads():
            self._start_loop()
        missing = min(batch.waiting_for_threads() - batch.idle, self._limit - len(self._threads))
        for _ in range(missing):
            slot = len(self._threads)
            thread = threading.Thread(target=self._work, args=[slot], name=f"slot {slot}", daemon=True)
            try:
                self._commit.start()
                thread.start()
            except RuntimeError as error:  # the process may have no more threads
                self._hand_back(error)
                return
            self._threads.append(thread)

    def _start_loop(self) -> None:
        try:
            self._commit.start()
            self._loop.start()
        except (RuntimeError, OSError) as error:  # the process may have no more threads, or no more open files
            self._hand_back(error)
        else:
            self._loop.wake()

    def _hand_back(self, error: Exception) -> None:
        """Give back what waits for a thread: another worker may have one, and so may this one a little later."""
        logger.error("event=thread_not_started worker=%s error=%r", self._state.name, error)
        self._not_before = time.monotonic() + PAUSE_SECONDS
        text = say("Handed back: its worker could not start a thread (%(error)s)", code="no_thread", error=str(error))
        for claimed in self._state.batch.take_waiting():
            self._state.batch.add_ended(NotBegun(claimed=claimed, text=text))
        self._state.settle()

    def _work(self, slot: int) -> None:
        """Run jobs in this thread, one after the other, until the slots are closed."""
        own, batch = connections.all(), self._state.batch
        rested = time.monotonic()

        def turn() -> None:
            nonlocal rested
            claimed = batch.wait_for_next(IDLE_SECONDS)
            if claimed is None:
                database.drop_connections()
                return
            try:
                self._run(slot, claimed, own, rested)
            finally:
                rested = time.monotonic()

        while not batch.is_closed:
            self._guarded(turn)

    def _guarded(self, function: Any) -> None:
        """Call a function, so that no mistake ends this thread, nor what a handler's library raises in it too late."""
        try:
            function()
        except BaseException:
            logger.exception("event=slot_failed worker=%s", self._state.name)

    def _run(self, slot: int, claimed: Claimed, own: Sequence[Any], rested: float) -> None:
        interrupter = Interrupter(on_main_thread=False, connections=own)
        self._state.running.add(claimed, interrupter)
        with contextlib.ExitStack() as ending:
            ending.callback(reset_queries)
            ending.callback(self._commit.ask)
            ending.callback(self._state.batch.finish)
            ending.callback(self._state.running.remove, claimed)
            if time.monotonic() - rested >= RESTED_SECONDS:
                self._guarded(mend_rested)
            else:
                database.mend_connections()
            run_in(self._state, slot, claimed, interrupter)

    def store(self) -> None:
        self._commit.check()

    def wait_for_room(self) -> None:
        if self._pause():
            self._state.stopping.wait(self._pause())
        else:
            self._state.batch.wait_for_finish(self._finished, self._enough, LOOK_SECONDS)

    def wait(self) -> None:
        self._state.batch.wait_until_idle()
        self._commit.store()

    def close(self) -> None:
        """End the threads; wait for them for at most ten seconds."""
        self._state.batch.close()
        deadline = time.monotonic() + 10
        for thread in self._threads:
            thread.join(timeout=max(0.0, deadline - time.monotonic()))
        self._loop.stop()
        self._commit.stop()
