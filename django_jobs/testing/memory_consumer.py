"""A worker at a broker in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from django_jobs import pools
from django_jobs.engine.ports import Consumer, ForeignEntry, Queue, RunningTicket, Taken, Ticket
from django_jobs.exceptions import WorkersSuspended
from django_jobs.testing.memory_state import MemoryState, as_taken

WAIT_SECONDS: Final = 2.0


class MemoryConsumer(Consumer):
    """A worker at a broker in memory. :class:`django_jobs.engine.ports.Consumer` says what the methods mean."""

    def __init__(self, broker: MemoryState, worker_name: str, queues: Sequence[str]) -> None:
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

    def put_back(self, taken: Taken) -> None:
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
