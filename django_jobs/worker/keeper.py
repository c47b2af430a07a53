"""The supervisor's way to the database, in a thread of its own, so that killing never waits on a network."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from django.db import Error, connections

from django_jobs.conf import jobs_settings
from django_jobs.engine import announcements, database, leases
from django_jobs.worker.board import Running

logger = logging.getLogger("django_jobs")


RENEWALS_TO_BE_LOST = 2


@dataclass(frozen=True, slots=True)
class Loss:
    """A child that is gone, and what of its work had begun."""

    worker_name: str
    started: frozenset[tuple[int, int]]
    reason: str
    how: str


@dataclass(frozen=True, slots=True)
class Renewal:
    """For which workers leases were renewed, and of which attempts (job, attempt); ``began`` on time.monotonic."""

    began: float
    workers: frozenset[str]
    held: frozenset[tuple[int, int]]

    def missed(self, worker_name: str, item: Running) -> bool:
        """Whether it should have found this attempt running, and did not."""
        return self.began > item.started and worker_name in self.workers and item.key not in self.held


class Keeper:
    """Renews the leases of living children and ends what dead ones leave behind."""

    def __init__(self, living: Callable[[], Collection[str]]) -> None:
        self._living = living
        self._losses: queue.Queue[Loss] = queue.Queue()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._next_renewal = 0.0
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        #: (job, attempt) → time.monotonic() at which its cancel was requested
        self.canceled: dict[tuple[int, int], float] = {}
        self.renewals: list[Renewal] = []

    def start(self) -> None:
        self._thread.start()

    def report(self, loss: Loss) -> None:
        """A child is gone."""
        self._losses.put(loss)
        self._wake.set()

    def stop(self) -> None:
        """End, after the reported losses were seen to."""
        deadline = time.monotonic() + 10
        while not self._losses.empty() and time.monotonic() < deadline:
            time.sleep(0.05)
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=10)

    def is_lost(self, worker_name: str, item: Running) -> bool:
        """Whether two renewals in a row missed this attempt: it belongs to somebody else now.

        One is not enough, since a renewal leaves out rows that are in use.
        """
        return len(self.renewals) == RENEWALS_TO_BE_LOST and all(it.missed(worker_name, item) for it in self.renewals)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._round()
            except Exception:  # all running jobs hang on this thread, which must outlive any mistake
                logger.exception("event=keeper_failed")
                self._stop.wait(1.0)
        connections.close_all()

    def _round(self) -> None:
        self._see_to_losses()
        if time.monotonic() >= self._next_renewal:
            self._renew()
            self._next_renewal = time.monotonic() + float(jobs_settings.LEASE_SECONDS) / 6
        self._wake.wait(max(0.05, self._next_renewal - time.monotonic()))
        self._wake.clear()

    def _see_to_losses(self) -> None:
        while not self._losses.empty():
            loss = self._losses.queue[0]
            try:
                leases.release_worker(loss.worker_name, loss.started, loss.reason, loss.how)
                announcements.withdraw(loss.worker_name)
            except Error as error:
                logger.warning("event=release_delayed worker=%s error=%r", loss.worker_name, error)
                database.drop_connections()
                self._wake.clear()
                if self._stop.wait(1.0):
                    return
            else:
                self._losses.get()

    def _renew(self) -> None:
        began, workers = time.monotonic(), self._living()
        try:
            held = leases.renew(workers)
        except Error as error:
            logger.warning("event=renewal_failed error=%r", error)
            database.drop_connections()
            return
        now = time.monotonic()
        found = frozenset((item.pk, item.attempt) for item in held)
        self.renewals = [*self.renewals[1 - RENEWALS_TO_BE_LOST :], Renewal(began, frozenset(workers), found)]
        self.canceled = {
            (item.pk, item.attempt): now - item.cancel_seconds for item in held if item.cancel_seconds is not None
        }
