"""The child's thread that stops handlers: on request, when a lease is over, and when the worker's grace is over.

It asks neither the database nor Redis, so that no network can hold it up: who is cut off from them must learn of it.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
import time

from django_jobs.conf import jobs_settings
from django_jobs.engine.execution import ownership
from django_jobs.exceptions import AttemptLost, JobCanceled, JobTimedOut, WorkerStopping
from django_jobs.worker.child_state import ChildState
from django_jobs.worker.shared_slots import StopRequest

logger = logging.getLogger("django_jobs")

TICK_SECONDS = 0.05


class StopRelay:
    """Looks every 50 ms which handlers are to stop, and interrupts them again and again until they do."""

    def __init__(self, state: ChildState, supervisor: int) -> None:
        self._state = state
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._quit = threading.Event()
        self._supervisor = supervisor
        self._stop_seen: float | None = None
        self._canceled_since: dict[tuple[int, int], float] = {}

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._quit.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._quit.wait(TICK_SECONDS):
            self._state.shared_slots.board.pulse()
            try:
                self.tick()
            except Exception:  # whatever it is, the next handler must be stopped
                logger.exception("event=relay_failed worker=%s", self._state.name)

    def tick(self) -> None:
        """Look once."""
        self._state.loop_watch.look()
        if self._state.counts is not None:
            self._state.counts.send_when_due()
        self._pass_requests_on()
        self._tell_whose_lease_is_over()
        is_orphan = os.getppid() != self._supervisor
        if self._state.stopping.is_set() and not is_orphan:
            self._end_the_grace()
        for interrupter in self._state.running.interrupters().values():
            interrupter.deliver()
        if is_orphan:
            self._kill_what_never_stops()

    def _pass_requests_on(self) -> None:
        running = self._state.running.interrupters()
        if not running:
            return
        for item in self._state.shared_slots.occupied():
            if item.key not in running:
                continue
            if item.seconds > item.timeout:  # the alarm does not reach a main thread that waits inside a driver
                running[item.key].want(JobTimedOut)
            if item.stop_request != StopRequest.NONE:
                running[item.key].want(AttemptLost if item.stop_request == StopRequest.LOST else JobCanceled)

    def _tell_whose_lease_is_over(self) -> None:
        """Stop attempts whose leases nobody renewed: their jobs may run elsewhere by now."""
        renewed = self._state.shared_slots.renewed()
        for claimed, interrupter in self._state.running.with_claims():
            if interrupter.wanted is None and ownership.has_run_out(claimed, renewed):
                logger.error("event=lease_over worker=%s job_id=%s", self._state.name, claimed.job_id)
                interrupter.want(AttemptLost)

    def _end_the_grace(self) -> None:
        self._stop_seen = self._stop_seen or time.monotonic()
        if time.monotonic() - self._stop_seen > float(jobs_settings.SHUTDOWN_GRACE_SECONDS):
            for interrupter in self._state.running.interrupters().values():
                interrupter.want(WorkerStopping)

    def _kill_what_never_stops(self) -> None:
        """Kill this process for a handler that ignores its timeout or a cancel: there is no supervisor to do it."""
        now, grace = time.monotonic(), float(jobs_settings.CANCEL_GRACE_SECONDS)
        for key, interrupter in self._state.running.interrupters().items():
            if interrupter.wanted is not None and issubclass(interrupter.wanted, JobCanceled):
                self._canceled_since.setdefault(key, now)
        for item in self._state.shared_slots.occupied():
            if item.ignores_timeout or now - self._canceled_since.get(item.key, now) > grace:
                logger.error("event=orphan_killed worker=%s job=%s", self._state.name, item.pk)
                faulthandler.dump_traceback(sys.__stderr__ or 2, all_threads=True)  # nobody is left to store them
                os.kill(os.getpid(), signal.SIGKILL)
