"""The broker of ``django_jobs.testing`` with workers at it, and with what is no ticket of ours."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL
from django_jobs.exceptions import WorkersSuspended
from tests.support.verbs import Consumer, ForeignEntry, HostBroker, Queue, RunningTicket, SetAside, TakenTicket, Ticket

Entry: TypeAlias = Ticket | ForeignEntry

NEWEST: Final = 3
WAIT_SECONDS: Final = 2.0


class MemoryBroker(HostBroker):
    """A test may look into it and break it: set ``is_down``, and every call fails as it does without Redis.

    With ``is_suspended`` workers get nothing.
    """

    #: Foreign entries too.
    queues: dict[Queue, deque[Any]]

    def __init__(self, *, is_down: bool = False) -> None:
        super().__init__(is_down=is_down)
        self.hints: list[tuple[str, list[str]]] = []
        self.is_suspended = False
        self.leader: tuple[str, float] | None = None
        #: What each worker in the list runs, by its name, and what listening ones do at a hint.
        self.workers: dict[str, list[RunningTicket]] = {}
        self.listeners: dict[str, Callable[[list[str]], None]] = {}
        self.aside: list[ForeignEntry] = []
        #: Tickets of which workers said that nothing need be kept.
        self.done: list[Ticket] = []
        self.changed = threading.Condition(threading.RLock())

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
        """All that waits, the most urgent first."""
        by_urgency = sorted(pools.all_queues(), key=lambda queue: -queue.priority)
        return [entry for queue in by_urgency for entry in self.queues[queue]]

    @property
    def tickets(self) -> list[Ticket]:
        """The tickets that wait, in the order in which workers would get them."""
        return [entry for entry in self.entries() if isinstance(entry, Ticket)]

    def pks(self) -> list[int]:
        """The jobs of :attr:`tickets`."""
        return [ticket.pk for ticket in self.tickets]

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
        with self.changed:
            super().push(tickets, front=front)
            self.changed.notify_all()

    def lead(self, leader: str, seconds: float, *, rings: bool) -> bool:
        super().lead(leader, seconds, rings=rings)
        if self.leader is not None and self.leader[0] != leader and time.monotonic() < self.leader[1]:
            return False
        self.leader = leader, time.monotonic() + seconds
        return True

    def stop_leading(self, leader: str) -> None:
        super().stop_leading(leader)
        if self.leader is not None and self.leader[0] == leader:
            self.leader = None

    def call_back(self, queue: Queue, most: int) -> list[Ticket]:
        with self.changed:
            called: list[Any] = list(super().call_back(queue, most))
            self.queues[queue].extend(entry for entry in called if isinstance(entry, ForeignEntry))
        return [entry for entry in called if isinstance(entry, Ticket)]

    def request_cancel(self, worker_name: str, job_ids: Iterable[str]) -> None:
        super().request_cancel(worker_name, job_ids)
        self.hints.append((worker_name, list(job_ids)))
        if (listener := self.listeners.get(worker_name)) is not None:
            listener(self.hints[-1][1])

    def foreign_ids(self) -> list[str]:
        self.reach()
        return sorted({entry.id for entry in self.entries() if isinstance(entry, ForeignEntry)})

    def set_aside(self) -> SetAside:
        self.reach()
        return SetAside(len(self.aside), newest=tuple(ascii(entry.id) for entry in self.aside[: -NEWEST - 1 : -1]))

    def consumer(self, worker_name: str, queues: Sequence[str] = ()) -> MemoryConsumer:
        return MemoryConsumer(self, worker_name, queues or pools.queue_names(DEFAULT_POOL))


class MemoryConsumer(Consumer):
    """A worker at a broker in memory."""

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

    def take(self, count: int, done: Sequence[Ticket] = ()) -> TakenTicket:
        with self._broker.changed:
            self._broker.changed.wait_for(lambda: self._is_woken or self._may_take(), WAIT_SECONDS)
            self._is_woken = False
            return TakenTicket() if self._broker.is_suspended else self._take(count, done)

    def take_now(self, count: int, done: Sequence[Ticket] = ()) -> TakenTicket:
        self._broker.reach()
        if self._broker.is_suspended:
            raise WorkersSuspended("the test says so")
        return self._take(count, done)

    def wake(self) -> None:
        with self._broker.changed:
            self._is_woken = True
            self._broker.changed.notify_all()

    def push_again(self, taken: TakenTicket) -> None:
        if not self._broker.is_down:
            known = pools.by_queue_name()
            foreign = [(known[entry.queue], entry) for entry in taken.foreign]
            self._broker.add([*foreign, *((ticket.queue, ticket) for ticket in taken.tickets)], front=True)

    def handle_foreign(self, entries: Sequence[ForeignEntry]) -> None:
        self._broker.aside += entries

    def _take(self, count: int, done: Sequence[Ticket]) -> TakenTicket:
        self._broker.done += done
        return _as_taken(self._broker.pop(self._served(), count))

    def _may_take(self) -> bool:
        self._broker.reach()
        return not self._broker.is_suspended and any(self._broker.queues[queue] for queue in self._served())

    def _served(self) -> list[Queue]:
        known = pools.by_queue_name()
        return [known[name] for name in self.queues]


def _as_taken(entries: Sequence[Entry]) -> TakenTicket:
    """Entries as a worker gets them: tickets and foreign ones apart."""
    return TakenTicket(
        [entry for entry in entries if isinstance(entry, Ticket)],
        [entry for entry in entries if isinstance(entry, ForeignEntry)],
    )
