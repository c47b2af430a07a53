"""A broker in memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.ports import (
    Broker,
    BrokerState,
    ForeignEntry,
    Queue,
    SetAside,
    Ticket,
)
from django_jobs.testing.memory_consumer import MemoryConsumer
from django_jobs.testing.memory_state import MemoryState

NEWEST: Final = 3


class MemoryBroker(MemoryState, Broker):
    """Tickets in this process. :class:`django_jobs.engine.ports.Broker` says what the methods mean."""

    def push(self, tickets: Sequence[Ticket], *, front: bool = False) -> None:
        self.reach()
        known = pools.names()
        self.add([(ticket.queue, ticket) for ticket in tickets if ticket.pool in known], front=front)

    def disconnect(self) -> None:
        """Do nothing: it has no lines."""

    def failed_just_now(self) -> bool:
        return self.is_down

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
