"""The supervisor's ear for orders from the admin's page of workers: quiet, resume, stop."""

from __future__ import annotations

import logging
import time
from typing import Final

from django_jobs.engine.control import worker_orders
from django_jobs.models import WorkerOrder

logger = logging.getLogger("django_jobs")

#: How often it looks for an order, by the primary key, in the thread that renews leases.
PAUSE_SECONDS: Final = 2.0


class OrderReader:
    """Looks what this supervisor was ordered last. Another thread reads what to do, which is never undone by silence.

    While the database is away, the last order that was read holds.
    """

    def __init__(self, supervisor: str) -> None:
        self._supervisor = supervisor
        self._last: WorkerOrder | None = None
        self._next_look = 0.0

    @property
    def is_quiet(self) -> bool:
        """Whether to take no new jobs."""
        last = self._last
        return last is not None and last.order != WorkerOrder.Order.RESUME

    @property
    def is_stop(self) -> bool:
        """Whether to stop."""
        last = self._last
        return last is not None and last.order == WorkerOrder.Order.STOP

    def look(self) -> None:
        """Look for an order, if the last look was some seconds ago, and note that it was read."""
        if not self._supervisor or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + PAUSE_SECONDS
        found = worker_orders.read(self._supervisor)
        if found is None:
            return
        if self._last is None or found.ordered_at != self._last.ordered_at:
            logger.info("event=worker_ordered order=%s by=%s", found.order, found.ordered_by)
            self._last = found
        if found.obeyed_at is None:  # also where an earlier note could not be written
            worker_orders.note_obeyed(found)

    def leave(self) -> None:
        """Note that the supervisor leaves, if that was ordered."""
        if self._last is not None and self.is_stop:
            worker_orders.note_left(self._last)
