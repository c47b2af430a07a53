"""Which of a child's tickets the broker's tools show as running."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from django_jobs.engine.ports import RunningTicket, Ticket
from django_jobs.worker.running_jobs import RunningJobs
from django_jobs.worker.shared_slots import SharedSlots

#: A job that runs for longer than this is shown; nobody would see a shorter one.
SHOWN_AFTER_SECONDS: Final = 0.5


class PublishedTickets:
    """What was published as running. The slots report ends, while the housekeeper publishes."""

    def __init__(self, slots: SharedSlots, running: RunningJobs) -> None:
        self._slots = slots
        self._running = running
        self._shown: dict[tuple[int, int], RunningTicket] = {}
        #: (job, attempt) of what ended and may still be shown.
        self._ended: list[tuple[int, int]] = []

    def forget(self, key: tuple[int, int]) -> None:
        """Note that this (job, attempt) has ended, so that it is shown no longer than until the next update."""
        if self._shown.pop(key, None) is not None:
            self._ended.append(key)

    def without_shown(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
        """Return the tickets that are not shown; what is left of the others goes when they are shown no longer."""
        shown = {*list(self._shown), *self._ended}
        return [ticket for ticket in tickets if (ticket.pk, ticket.attempt) not in shown] if shown else tickets

    def has_ended(self) -> bool:
        """Return whether something is shown that has ended."""
        return bool(self._ended)

    def is_any_missing(self) -> bool:
        """Return whether something has run for long enough to be shown, and is not."""
        occupied = self._slots.occupied()
        return any(item.seconds > SHOWN_AFTER_SECONDS and item.key not in self._shown for item in occupied)

    def update(self) -> list[RunningTicket]:
        """Return what is to be shown from now on."""
        for _ in range(len(self._ended)):  # what is returned has none of them; more may come meanwhile
            self._ended.pop()
        occupied = {item.key: item for item in self._slots.occupied()}
        for key, item in occupied.items():
            if item.seconds > SHOWN_AFTER_SECONDS and key not in self._shown:
                claimed = self._running.claimed(key)
                if claimed is not None:
                    self._shown[key] = RunningTicket(claimed.ticket, started=time.time() - item.seconds)
        for key in [key for key in list(self._shown) if key not in occupied]:
            self.forget(key)  # it ended while it was being added, so that the slot's call came too early
        return list(self._shown.values())
