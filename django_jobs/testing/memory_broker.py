"""A broker in memory."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.ports import (
    Broker,
    BrokerState,
    Consumer,
    ForeignEntry,
    Queue,
    RunningTicket,
    SetAside,
    Taken,
    Ticket,
)
from django_jobs.exceptions import BrokerUnavailable, WorkersSuspended

Entry: TypeAlias = Ticket | ForeignEntry

NEWEST: Final = 3


class MemoryBroker(Broker):
    """Tickets in this process. :class:`django_jobs.engine.ports.Broker` says what the methods mean.

    A test may look into it and break it: set ``is_down``, and every call fails as it does without Redis. With
    ``is_suspended`` workers get nothing.
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

    def push(self, tickets: Sequence[Ticket], *, front: bool = False) -> None:
        self.reach()
        known = pools.names()
        self.add([(ticket.queue, ticket) for ticket in tickets if ticket.pool in known], front=front)

    def disconnect(self) -> None:
        """Do nothing: it has no lines."""

    def failed_just_now(self) -> bool:
        return self.is_down

    def answers_late(self) -> bool:
        return False

    def look(self) -> BrokerState:
        return BrokerState(self.depths(), self.rings)

    def ring(self) -> None:
        self.reach()
        self.rings += 1

    def lead(self, leader: str, seconds: float, *, rings: bool) -> bool:
        self.reach()
        self.rings += rings
        if self.leader is not None and self.leader[0] != leader and time.monotonic() < self.leader[1]:
            return False
        self.leader = leader, time.monotonic() + seconds
        return True

    def stop_leading(self, leader: str) -> None:
        self.reach()
        if self.leader is not None and self.leader[0] == leader:
            self.leader = None

    def depths(self) -> dict[Queue, int]:
        self.reach()
        return {queue: len(self.queues[queue]) for queue in pools.all_queues()}

    def call_back(self, queue: Queue, most: int) -> list[Ticket]:
        self.reach()
        with self.changed:
            waiting = list(self.queues[queue])
            if len(waiting) <= most:
                return []
            self.queues[queue] = deque(entry for entry in waiting if isinstance(entry, ForeignEntry))
        return [entry for entry in waiting if isinstance(entry, Ticket)]

    def waiting_ids(self) -> dict[str, set[str]]:
        self.reach()
        found: dict[str, set[str]] = {pool: set() for pool in pools.names()}
        for queue in pools.all_queues():
            found[queue.pool].update(entry.id for entry in self.queues[queue])
        return found

    def installation(self) -> str | None:
        self.reach()
        return self.marker

    def mark(self, installation: str) -> bool:
        self.reach()
        self.marker = self.marker or installation
        return self.marker == installation

    def request_cancel(self, worker_name: str, job_ids: Iterable[str]) -> None:
        self.reach()
        self.hints.append((worker_name, list(job_ids)))
        if (listener := self.listeners.get(worker_name)) is not None:
            listener(self.hints[-1][1])

    def eviction_policy(self) -> str:
        self.reach()
        return "noeviction"

    def foreign_ids(self) -> list[str]:
        self.reach()
        return sorted({entry.id for entry in self.entries() if isinstance(entry, ForeignEntry)})

    def set_aside(self) -> SetAside:
        self.reach()
        return SetAside(len(self.aside), newest=tuple(ascii(entry.id) for entry in self.aside[: -NEWEST - 1 : -1]))

    def other_workers(self, queues: Sequence[str]) -> Mapping[str, int]:
        self.reach()
        return dict.fromkeys(queues, 0)

    def consumer(self, worker_name: str, queues: Sequence[str] = ()) -> MemoryConsumer:
        return MemoryConsumer(self, worker_name, queues or pools.queue_names(DEFAULT_POOL))


def by_urgency() -> list[Queue]:
    """Return the queues of all pools, the most urgent first."""
    return sorted(pools.all_queues(), key=lambda queue: -queue.priority)


def as_taken(entries: Sequence[Entry]) -> Taken:
    """Return entries as a worker gets them: tickets and foreign ones apart."""
    return Taken(
        [entry for entry in entries if isinstance(entry, Ticket)],
        [entry for entry in entries if isinstance(entry, ForeignEntry)],
    )


# A worker at a broker in memory.


WAIT_SECONDS: Final = 2.0


class MemoryConsumer(Consumer):
    """A worker at a broker in memory. :class:`django_jobs.engine.ports.Consumer` says what the methods mean."""

    def __init__(self, broker: MemoryBroker, worker_name: str, queues: Sequence[str]) -> None:
        self.queues: Sequence[str] = list(queues)
        self._broker = broker
        self._name = worker_name
        self._is_woken = False

    def announce(self) -> None:
        self._broker.reach()
        self._broker.workers[self._name] = []

    def listen(self, on_cancel: Callable[[list[str]], None], on_shutdown: Callable[[], None]) -> None:
        self._broker.reach()
        self._broker.listeners[self._name] = on_cancel

    def beat(self, running: Sequence[RunningTicket]) -> None:
        if not self._broker.is_down:
            self._broker.workers[self._name] = list(running)

    def leave(self, done: Sequence[Ticket] = ()) -> None:
        if not self._broker.is_down:
            self._broker.done += done
            self._broker.workers.pop(self._name, None)
            self._broker.listeners.pop(self._name, None)

    def take(self, count: int, done: Sequence[Ticket] = ()) -> Taken:
        with self._broker.changed:
            self._broker.changed.wait_for(lambda: self._is_woken or self._may_take(), WAIT_SECONDS)
            self._is_woken = False
            return Taken() if self._broker.is_suspended else self._take(count, done)

    def take_now(self, count: int, done: Sequence[Ticket] = ()) -> Taken:
        self._broker.reach()
        if self._broker.is_suspended:
            raise WorkersSuspended("the test says so")
        return self._take(count, done)

    def wake(self) -> None:
        with self._broker.changed:
            self._is_woken = True
            self._broker.changed.notify_all()

    def push_again(self, taken: Taken) -> None:
        if not self._broker.is_down:
            known = pools.by_queue_name()
            foreign = [(known[entry.queue], entry) for entry in taken.foreign]
            self._broker.add([*foreign, *((ticket.queue, ticket) for ticket in taken.tickets)], front=True)

    def handle_foreign(self, entries: Sequence[ForeignEntry]) -> None:
        self._broker.aside += entries

    def _take(self, count: int, done: Sequence[Ticket]) -> Taken:
        self._broker.done += done
        return as_taken(self._broker.pop(self._served(), count))

    def _may_take(self) -> bool:
        self._broker.reach()
        return not self._broker.is_suspended and any(self._broker.queues[queue] for queue in self._served())

    def _served(self) -> list[Queue]:
        known = pools.by_queue_name()
        return [known[name] for name in self.queues]
