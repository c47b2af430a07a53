"""The child's third thread: while handlers run, it fills the broker again after tickets were taken, and asks again what
the next claims will want to know.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Collection

from django.db import Error, connections

from django_jobs.engine.dispatch import dispatcher, freed_places, window
from django_jobs.engine.execution import policy_memory
from django_jobs.engine.store import database, line_watch
from django_jobs.engine.store.chosen import store
from django_jobs.statuses import Priority

logger = logging.getLogger("django_jobs")

#: Far longer than a submission relies on the broker having been full.
SECOND_LOOK_SECONDS = 5 * window.FULL_SECONDS
#: For so long it is waited for where the database has one writer.
REST_SECONDS = 0.25
#: For so long after the end of a job that is counted by limits, tickets that were taken are no reason to wait in line
#: for the lock: mostly the limits keep the window from being full, and whoever has the lock makes a pass.
FLOW_SECONDS = 0.5


class Refiller:
    """Dispatches when it is asked to. What is asked while it works counts as one request.

    When nothing was asked for a moment it looks once more: a job that was submitted while the broker was still full of
    the tickets that are taken by now did not ring the bell.

    Where the database has one writer, it does not work beside a handler that has just begun. A thread that asks waits
    for it, and the scheduler looks instead of it. A handler that holds the interpreter meanwhile would let nobody
    write.
    """

    def __init__(
        self, note_seconds: Callable[[float], object] = lambda _: None, in_pools: Collection[str] = ()
    ) -> None:
        """Make a refiller that tells ``note_seconds`` how long each refill took that brought tickets.

        It looks for room of these pools only, where any is named.
        """
        self._note_seconds = note_seconds
        self._in_pools = in_pools
        self._asked = threading.Event()
        self._is_waited_for = store().has_one_writer
        self._rests = threading.Condition()
        self._is_at_work = False
        self._quit = False
        self._priority = int(Priority.LOW)
        self._has_ended = self._is_pass_due = False
        self._flows_until = -math.inf
        self._thread = threading.Thread(target=self._run, name="refiller", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ask(self, priority: int) -> None:
        """Ask for a refill, since tickets of this priority, and perhaps of lower ones, were taken."""
        self._priority = max(self._priority, priority)
        self._asked.set()
        if self._is_waited_for:
            with self._rests:
                self._rests.wait_for(lambda: not (self._is_at_work or self._asked.is_set()), REST_SECONDS)

    def ask_in_place_of_ended(self) -> None:
        """Ask for a pass, since jobs ended that were counted by limits."""
        self._has_ended = True
        self._asked.set()

    def ask_for_pass(self) -> None:
        """Ask for a pass, since this worker wants far fewer tickets than it did, or others hold the jobs of some."""
        self._is_pass_due = True
        self._asked.set()

    def stop(self) -> None:
        """End the thread; wait for it for at most ten seconds."""
        self._quit = True
        self._asked.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while self._asked.wait() and not self._quit:
            try:
                self._refill()
            except Exception:  # the scheduler would do its work, but more slowly
                logger.exception("event=refill_failed")
                time.sleep(1.0)
        connections.close_all()

    def _refill(self) -> None:
        self._is_at_work = True
        self._asked.clear()
        priority, self._priority = self._priority, int(Priority.LOW)
        try:
            database.mend_connections()
            with line_watch.waiting():
                self._dispatch(priority)
        finally:
            with self._rests:
                self._is_at_work = False
                self._rests.notify_all()
        with line_watch.waiting(), contextlib.suppress(Error):  # the next claim asks
            policy_memory.ask_again(self._asked.is_set)
        if not self._is_waited_for and not self._asked.wait(SECOND_LOOK_SECONDS):
            with line_watch.waiting():
                self._look_again(priority)

    def _dispatch(self, priority: int) -> None:
        has_ended = self._has_ended
        if has_ended:  # another thread may set it at any moment
            self._has_ended = False
        started = time.monotonic()
        if has_ended:
            self._flows_until = started + FLOW_SECONDS
        if self._is_pass_due:
            self._is_pass_due = False
            dispatcher.dispatch_without_budget()
        elif started >= self._flows_until:
            if dispatcher.refill(priority, self._in_pools):
                self._note_seconds(time.monotonic() - started)
        elif freed_places.dispatch(has_ended=has_ended):
            self._flows_until = time.monotonic() + FLOW_SECONDS
            self._asked.set()

    def _look_again(self, priority: int) -> None:
        if time.monotonic() >= self._flows_until:
            dispatcher.refill_if_empty(priority, self._in_pools)
        else:
            freed_places.dispatch(has_ended=False)
