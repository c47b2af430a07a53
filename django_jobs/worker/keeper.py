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

logger = logging.getLogger("django_jobs")


RENEWALS_TO_BE_LOST = 2


@dataclass(frozen=True, slots=True)
class Loss:
    """A child that is gone, and what of its work had begun."""

    worker_name: str
    started: frozenset[tuple[int, int]]
    reason: str
    how: str


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
        self.held: list[set[tuple[int, int]]] = []

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

    def is_lost(self, key: tuple[int, int]) -> bool:
        """Whether two renewals in a row did not find this attempt running: it belongs to somebody else now.

        One is not enough, since a renewal leaves out rows that are in use.
        """
        return len(self.held) == RENEWALS_TO_BE_LOST and not any(key in held for held in self.held)

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
        try:
            held = leases.renew(self._living())
        except Error as error:
            logger.warning("event=renewal_failed error=%r", error)
            database.drop_connections()
            return
        now = time.monotonic()
        self.held = [*self.held[-1:], {(item.pk, item.attempt) for item in held}]
        self.canceled = {
            (item.pk, item.attempt): now - item.cancel_seconds for item in held if item.cancel_seconds is not None
        }
