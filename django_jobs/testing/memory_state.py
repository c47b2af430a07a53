"""What a broker in memory holds, for its methods, for workers and for tests."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from django_jobs import pools
from django_jobs.engine.ports import ForeignEntry, Queue, RunningTicket, Taken, Ticket
from django_jobs.exceptions import BrokerUnavailable

Entry: TypeAlias = Ticket | ForeignEntry


class MemoryState:
    """What a test may look into and break: set ``is_down``, and every call fails as it does without Redis.

    With ``is_suspended`` workers get nothing.
    """

    def __init__(self, *, is_down: bool = False) -> None:
        #: By queue; those of a pool come into being with the first look at them.
        self.queues: dict[Queue, deque[Entry]] = defaultdict(deque)
        self.marker: str | None = None
        self.hints: list[tuple[str, list[str]]] = []
        self.is_down = is_down
        self.is_suspended = False
        self.rings = 0
        self.leader: tuple[str, float] | None = None
        #: What each worker in the list runs, by its name, and what listening ones do at a hint.
        self.workers: dict[str, list[RunningTicket]] = {}
        self.listeners: dict[str, Callable[[list[str]], None]] = {}
        self.aside: list[ForeignEntry] = []
        #: Tickets of which workers said that nothing need be kept.
        self.done: list[Ticket] = []
        self.changed = threading.Condition(threading.RLock())

    def reach(self) -> None:
        """Raise BrokerUnavailable if the broker is down."""
        if self.is_down:
            raise BrokerUnavailable("the test says so")

    def add(self, entries: Sequence[tuple[Queue, Entry]], *, front: bool = False) -> None:
        """Add (queue, ticket or foreign entry) at the back of the queues, or in their order at the front."""
        with self.changed:
            for queue, entry in reversed(entries) if front else entries:
                if front:
                    self.queues[queue].appendleft(entry)
                else:
                    self.queues[queue].append(entry)
            self.changed.notify_all()

    def pop(self, queues: Iterable[Queue], count: int) -> list[Entry]:
        """Pop up to ``count`` entries from these queues, in their order."""
        popped: list[Entry] = []
        for queue in queues:
            waiting = self.queues[queue]
            while waiting and len(popped) < count:
                popped.append(waiting.popleft())
        return popped

    def entries(self) -> list[Entry]:
        """Return all that waits, the most urgent first."""
        return [entry for queue in by_urgency() for entry in self.queues[queue]]

    @property
    def tickets(self) -> list[Ticket]:
        """Return the tickets that wait, in the order in which workers would get them."""
        return [entry for entry in self.entries() if isinstance(entry, Ticket)]

    def pks(self) -> list[int]:
        """Return the jobs of :attr:`tickets`."""
        return [ticket.pk for ticket in self.tickets]

    def take(self) -> Ticket | None:
        """Pop the next ticket, as a worker does; None where nothing waits."""
        taken = as_taken(self.pop(by_urgency(), 1))
        return taken.tickets[0] if taken.tickets else None

    def take_all(self) -> list[Ticket]:
        """Pop everything, as workers do."""
        taken = self.tickets
        self.lose_tickets()
        return taken

    def lose_tickets(self) -> None:
        """Lose all tickets and keep the installation's mark."""
        for queue in self.queues.values():
            queue.clear()

    def lose_everything(self) -> None:
        """Lose all data, as Redis does at FLUSHALL."""
        self.lose_tickets()
        self.marker = None


def by_urgency() -> list[Queue]:
    """Return the queues of all pools, the most urgent first."""
    return sorted(pools.all_queues(), key=lambda queue: -queue.priority)


def as_taken(entries: Sequence[Entry]) -> Taken:
    """Return entries as a worker gets them: tickets and foreign ones apart."""
    return Taken(
        [entry for entry in entries if isinstance(entry, Ticket)],
        [entry for entry in entries if isinstance(entry, ForeignEntry)],
    )
