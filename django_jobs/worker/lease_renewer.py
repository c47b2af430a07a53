"""The supervisor's thread for the database: it renews leases and ends what dead children leave behind.

It is a thread of its own, so that the supervisor can kill a child without waiting for a network.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from django.db import Error, connections

from django_jobs.conf import jobs_settings
from django_jobs.engine.dispatch import worker_registry
from django_jobs.engine.execution import leases
from django_jobs.engine.execution.leases import Loss
from django_jobs.engine.store import database
from django_jobs.worker.shared_slots import OccupiedSlot

logger = logging.getLogger("django_jobs")

RENEWALS_TO_BE_LOST = 2
#: After so many seconds what could not be done because a row was in use is tried again.
AGAIN_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Renewal:
    """One renewal: for which workers, and the (job, attempt) that it found; ``began`` is on time.monotonic's clock."""

    began: float
    workers: frozenset[str]
    held: frozenset[tuple[int, int]]

    def missed(self, worker_name: str, item: OccupiedSlot) -> bool:
        """Return whether this renewal should have found the attempt, and did not."""
        return self.began > item.started and worker_name in self.workers and item.key not in self.held


class LeaseRenewer:
    """Renews the leases of living children every sixth of LEASE_SECONDS, and ends what dead ones leave behind."""

    def __init__(self, living: Callable[[], Collection[str]]) -> None:
        self._living = living
        self._losses: deque[Loss] = deque()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._next_renewal = 0.0
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        #: (job, attempt) → time.monotonic() at which its cancel was requested
        self.canceled: dict[tuple[int, int], float] = {}
        self.renewals: list[Renewal] = []

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def report(self, loss: Loss) -> None:
        """Hand over what a dead child leaves behind."""
        self._losses.append(loss)
        self._wake.set()

    def stop(self) -> None:
        """End the thread once it has dealt with the reported losses; wait for at most twenty seconds."""
        deadline = time.monotonic() + 10
        while self._losses and time.monotonic() < deadline:
            time.sleep(0.05)
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=10)

    def is_lost(self, worker_name: str, item: OccupiedSlot) -> bool:
        """Return whether two renewals in a row missed this attempt: its job belongs to another worker now."""
        return len(self.renewals) == RENEWALS_TO_BE_LOST and all(it.missed(worker_name, item) for it in self.renewals)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._round()
            except Exception:  # all running jobs depend on this thread, so that no mistake may end it
                logger.exception("event=keeper_failed")
                self._stop.wait(1.0)
        connections.close_all()

    def _round(self) -> None:
        if time.monotonic() >= self._next_renewal:
            self._next_renewal = time.monotonic() + self._renew()
        for _ in range(len(self._losses)):
            self._deal_with(self._losses[0])
        pause = max(0.05, self._next_renewal - time.monotonic())
        self._wake.wait(min(pause, AGAIN_SECONDS) if self._losses else pause)
        self._wake.clear()

    def _deal_with(self, loss: Loss) -> None:
        """Deal with the first loss; again in a later round where the database is away or a row is in use."""
        is_done = True
        try:
            is_done = leases.release_worker(loss)
            worker_registry.withdraw(loss.worker_name)
        except Error as error:
            is_done = False
            logger.warning("event=release_delayed worker=%s error=%r", loss.worker_name, error)
            database.drop_connections()
        except Exception:  # its leases will run out
            logger.exception("event=release_failed worker=%s", loss.worker_name)
        self._losses.popleft()
        if not is_done:
            self._losses.append(loss)

    def _renew(self) -> float:
        """Renew the leases and return in how many seconds to do it again."""
        pause = float(jobs_settings.LEASE_SECONDS) / 6
        began, workers = time.monotonic(), self._living()
        try:
            held = leases.renew(workers)
        except Error as error:
            logger.warning("event=renewal_failed error=%r", error)
            database.drop_connections()
            return pause
        now = time.monotonic()
        found = frozenset((item.pk, item.attempt) for item in held)
        self.renewals = [*self.renewals[1 - RENEWALS_TO_BE_LOST :], Renewal(began, frozenset(workers), found)]
        self.canceled = {
            (item.pk, item.attempt): now - item.cancel_seconds for item in held if item.cancel_seconds is not None
        }
        # Where a row was in use, its lease is renewed soon.
        return pause if all(item.is_renewed for item in held) else min(pause, AGAIN_SECONDS)
