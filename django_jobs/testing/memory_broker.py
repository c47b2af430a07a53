"""A broker in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from django_jobs.engine.ports import Look, SetAside, Ticket
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.statuses import Priority


class MemoryBroker:
    """What a test may look into and break: set ``is_down``, and every call fails as it does without Redis."""

    def __init__(self, *, is_down: bool = False) -> None:
        self.queues: dict[int, deque[Ticket]] = {int(priority): deque() for priority in Priority}
        self.marker: str | None = None
        self.hints: list[tuple[str, list[str]]] = []
        self.is_down = is_down
        self.rings = 0

    def push(self, tickets: Sequence[Ticket], *, front: bool = False) -> None:
        self._reach()
        for ticket in reversed(tickets) if front else tickets:
            queue = self.queues[ticket.priority]
            if front:
                queue.appendleft(ticket)
            else:
                queue.append(ticket)

    def look(self) -> Look:
        return Look(self.depths(), self.rings)

    def ring(self) -> None:
        self._reach()
        self.rings += 1

    def depths(self) -> dict[int, int]:
        self._reach()
        return {priority: len(queue) for priority, queue in self.queues.items()}

    def waiting_ids(self) -> set[str]:
        self._reach()
        return {ticket.id for ticket in self.tickets}

    def installation(self) -> str | None:
        self._reach()
        return self.marker

    def mark(self, installation: str) -> bool:
        self._reach()
        self.marker = self.marker or installation
        return self.marker == installation

    def request_cancel(self, worker_name: str, job_ids: Iterable[str]) -> None:
        self._reach()
        self.hints.append((worker_name, list(job_ids)))

    def eviction_policy(self) -> str:
        self._reach()
        return "noeviction"

    def foreign_ids(self) -> list[str]:
        self._reach()
        return []

    def set_aside(self) -> SetAside:
        self._reach()
        return SetAside()

    def _reach(self) -> None:
        if self.is_down:
            raise BrokerUnavailable("the test says so")

    @property
    def tickets(self) -> list[Ticket]:
        """Everything that waits, in the order in which workers would get it."""
        return [ticket for priority in sorted(self.queues, reverse=True) for ticket in self.queues[priority]]

    def pks(self) -> list[int]:
        """The jobs of :attr:`tickets`."""
        return [ticket.pk for ticket in self.tickets]

    def take(self) -> Ticket | None:
        """Pop what is next, as a worker does."""
        for priority in sorted(self.queues, reverse=True):
            if self.queues[priority]:
                return self.queues[priority].popleft()
        return None

    def take_all(self) -> list[Ticket]:
        """Pop everything, as workers do."""
        taken = self.tickets
        self.lose_tickets()
        return taken

    def lose_tickets(self) -> None:
        """Single tickets go, the installation's mark stays."""
        for queue in self.queues.values():
            queue.clear()

    def lose_everything(self) -> None:
        """As after FLUSHALL."""
        self.lose_tickets()
        self.marker = None
