"""A broker in memory, for jobs that run in this process."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence

from django_jobs import pools
from django_jobs.engine.ports import Broker, BrokerState, Consumer, Queue, SetAside, Ticket
from django_jobs.exceptions import BrokerUnavailable


class MemoryBroker(Broker):
    """Tickets in this process. :class:`django_jobs.engine.ports.Broker` says what the methods mean.

    While it ``is_down`` every call fails as it does without Redis.
    """

    def __init__(self, *, is_down: bool = False) -> None:
        #: By queue; those of a pool come into being with the first look at them.
        self.queues: dict[Queue, deque[Ticket]] = defaultdict(deque)
        self.marker: str | None = None
        self.is_down = is_down
        self.rings = 0

    def reach(self) -> None:
        """Raise BrokerUnavailable if the broker is down."""
        if self.is_down:
            raise BrokerUnavailable("the test says so")

    def take(self) -> Ticket | None:
        """Pop the most urgent ticket, as a worker does; None where nothing waits."""
        waiting = [queue for queue in pools.all_queues() if self.queues[queue]]
        return self.queues[max(waiting, key=lambda queue: queue.priority)].popleft() if waiting else None

    def push(self, tickets: Sequence[Ticket], *, front: bool = False) -> None:
        self.reach()
        known = pools.names()
        for ticket in reversed(tickets) if front else tickets:
            queue = self.queues[ticket.queue]
            if ticket.pool in known:
                (queue.appendleft if front else queue.append)(ticket)

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
        return True

    def stop_leading(self, leader: str) -> None:
        self.reach()

    def depths(self) -> dict[Queue, int]:
        self.reach()
        return {queue: len(self.queues[queue]) for queue in pools.all_queues()}

    def call_back(self, queue: Queue, most: int) -> list[Ticket]:
        self.reach()
        waiting = list(self.queues[queue])
        if len(waiting) <= most:
            return []
        self.queues[queue].clear()
        return waiting

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

    def eviction_policy(self) -> str:
        self.reach()
        return "noeviction"

    def foreign_ids(self) -> list[str]:
        return []

    def set_aside(self) -> SetAside:
        return SetAside()

    def other_workers(self, queues: Sequence[str]) -> Mapping[str, int]:
        self.reach()
        return dict.fromkeys(queues, 0)

    def consumer(self, worker_name: str, queues: Sequence[str] = ()) -> Consumer:
        raise NotImplementedError("What runs in this process needs no worker.")
