"""Tickets that a child has taken and may not have claimed: no answer came yet, or somebody holds their rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.dispatch import held_jobs
from django_jobs.engine.ports import Ticket

#: A ticket whose row another transaction holds is kept for so long. Each further time that is twice as long, up to the
#: second number. For the third number of seconds after that, its job still counts as held.
HELD_SECONDS: Final = 0.25
MOST_HELD_SECONDS: Final = 4.0
RECENT_SECONDS: Final = 2.0
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


class HeldTickets:
    """Tickets whose rows other transactions held. The main loop finds them, the housekeeper puts them back later."""

    def __init__(self) -> None:
        #: When each is to be put back, and for how long it was kept.
        self._until: dict[Ticket, tuple[float, float]] = {}
        self._kept: set[Ticket] = set()
        #: Called when others have to know of more.
        self.found_more: Callable[[], object] = lambda: None
        self._lock = threading.Lock()

    def add(self, tickets: Iterable[Ticket]) -> None:
        """Keep tickets that were found to be held."""
        with self._lock:
            now = time.monotonic()
            recent = now - RECENT_SECONDS
            self._until = {item: of for item, of in self._until.items() if item in self._kept or of[0] > recent}
            for ticket in tickets:
                _, before = self._until.get(ticket, (0.0, HELD_SECONDS / 2))
                seconds = min(2 * before, MOST_HELD_SECONDS)
                self._until[ticket] = now + seconds, seconds
                self._kept.add(ticket)
                held_jobs.note([ticket.pk], seconds + RECENT_SECONDS)
        self.found_more()

    def take_due(self, *, takes_all: bool = False) -> list[Ticket]:
        """Take out those that are to be put back now."""
        with self._lock:
            now = time.monotonic()
            due = [ticket for ticket in self._kept if takes_all or self._until[ticket][0] <= now]
            self._kept.difference_update(due)
            return due
