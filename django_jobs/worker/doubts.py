"""Claims that have no answer from the database yet: their jobs may be claimed, or not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Final

from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.ports import Ticket

#: After so many seconds without an answer a claim is given up. Any statement of it is over by then.
DOUBT_SECONDS: Final = 20.0


class Doubts:
    """The tickets of such claims. The main loop claims, the housekeeper gives up what is too old."""

    def __init__(self) -> None:
        self._since: dict[Ticket, float] = {}
        self._given_up: set[tuple[int, int]] = set()
        self._lock = threading.Lock()

    def add(self, tickets: Iterable[Ticket]) -> None:
        """Note that these are about to be claimed."""
        with self._lock:
            self._since |= dict.fromkeys(tickets, time.monotonic())

    def answered(self, tickets: Iterable[Ticket], claimed: Sequence[Claimed]) -> list[Claimed]:
        """Note the claim's answer. Return what of it may run: what was given up meanwhile belongs to others."""
        with self._lock:
            may_run = [item for item in claimed if (item.pk, item.attempt) not in self._given_up]
            self._forget(tickets)
            return may_run

    def resolve(self, left: Iterable[Ticket]) -> None:
        """Keep only these doubts; the others are resolved."""
        with self._lock:
            self._forget(set(self._since) - set(left))

    def tickets(self) -> list[Ticket]:
        """Return what is in doubt."""
        with self._lock:
            return list(self._since)

    def known(self) -> set[tuple[int, int]]:
        """Return (job, attempt) of what the main loop may have claimed. What is too old is given up and never runs."""
        with self._lock:
            oldest = time.monotonic() - DOUBT_SECONDS
            self._given_up |= {(ticket.pk, ticket.attempt) for ticket, since in self._since.items() if since < oldest}
            return {(ticket.pk, ticket.attempt) for ticket in self._since} - self._given_up

    def _forget(self, tickets: Iterable[Ticket]) -> None:
        for ticket in tickets:
            self._since.pop(ticket, None)
            self._given_up.discard((ticket.pk, ticket.attempt))
