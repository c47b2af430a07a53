"""One worker process at RQ's queues: how it takes tickets, gives them back, and hears what it is told.

RQ's own loop is not used; it makes about fifteen round trips a job.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import redis
from redis import Redis

from django_jobs import pools
from django_jobs.broker import connection, foreign_entries, tickets
from django_jobs.broker.rq_worker import TicketWorker
from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.foreign_entries import ForeignEntry
from django_jobs.engine.ports import Consumer, Queue, RunningTicket, Taken, Ticket
from django_jobs.exceptions import WorkersSuspended
from django_jobs.statuses import Priority

logger = logging.getLogger("django_jobs")

#: How long a worker waits before it looks again whether `rq suspend` still holds.
SUSPENDED_SECONDS = 0.5
#: What a queue is for that is none of ours.
_UNKNOWN: Final = Queue(DEFAULT_POOL, int(Priority.NORMAL))


class RQConsumer(Consumer):
    """A worker at RQ's queues. :class:`django_jobs.engine.ports.Consumer` says what each method means."""

    def __init__(self, worker_name: str, queues: Sequence[str]) -> None:
        self.queues: Sequence[str] = list(queues)
        self._calls = connection.connect()
        self._blocking: Redis = connection.connect(answer_seconds=connection.BLOCK_SECONDS + 3)
        self._waiting: Redis | None = None
        self._blocked_id: int | None = None
        self._known = pools.by_queue_name()
        self._worker = TicketWorker(self.queues, worker_name, self._calls)

    # -- the list of workers ---------------------------------------------------------------------------------------

    def announce(self) -> None:
        with connection.errors_translated():
            self._worker.announce()

    def listen(self, on_cancel: Callable[[list[str]], None], on_shutdown: Callable[[], None]) -> None:
        with connection.errors_translated():
            self._worker.listen(on_cancel, on_shutdown)

    def beat(self, running: Sequence[RunningTicket]) -> None:
        self._worker.beat(running)

    def leave(self, done: Sequence[Ticket] = ()) -> None:
        self._worker.leave(done)

    # -- tickets ---------------------------------------------------------------------------------------------------

    def take(self, count: int, done: Sequence[Ticket] = ()) -> Taken:
        with connection.errors_translated():
            found = tickets.take(self._calls, self.queues, count, _ids(done))
            if found is None:
                time.sleep(SUSPENDED_SECONDS)
                return Taken()
            return self._read(found) if found else self._wait(count)

    def take_now(self, count: int, done: Sequence[Ticket] = ()) -> Taken:
        with connection.errors_translated():
            found = tickets.take(self._calls, self.queues, count, _ids(done))
        if found is None:
            raise WorkersSuspended("RQ's workers are suspended")
        return self._read(found)

    def _wait(self, count: int) -> Taken:
        if self._waiting is not None:  # given back now, since a ticket that came would have waited for that
            self._waiting.close()
        client = self._waiting = self._blocking.client()  # type: ignore[no-untyped-call]  # one connection, whose id wakes it
        try:
            self._blocked_id = client.client_id()
            found, suspended = tickets.wait(client, self.queues, count, connection.BLOCK_SECONDS)
        except redis.ResponseError as error:
            if "UNBLOCKED" in str(error):
                return Taken()
            raise
        finally:
            self._blocked_id = None
        taken = self._read(found)
        if found and suspended:
            self.put_back(taken)
            return Taken()
        return taken

    def _read(self, found: Sequence[tuple[str, str]]) -> Taken:
        """Tell tickets from foreign entries among (queue, id) pairs."""
        if not found:
            return Taken()
        parsed: list[Ticket] = []
        foreign: list[ForeignEntry] = []
        for queue, entry_id in found:
            known = self._known.get(queue, _UNKNOWN)
            ticket = Ticket.parse(entry_id, known.priority, known.pool)
            if ticket is None:
                foreign.append(ForeignEntry(queue, entry_id))
            else:
                parsed.append(ticket)
        return Taken(parsed, foreign)

    def wake(self) -> None:
        blocked = self._blocked_id
        if blocked is not None:
            try:
                self._calls.client_unblock(blocked)
            except (redis.RedisError, OSError):
                return  # the wait ends by itself within two seconds

    def put_back(self, taken: Taken) -> None:
        try:
            for queue, ids in _by_queue((item.queue.name, item.id) for item in taken.tickets):
                tickets.push(self._calls, queue, ids, front=True)
            for queue, ids in _by_queue((entry.queue, entry.id) for entry in taken.foreign):
                self._calls.lpush(tickets.queue_key(queue), *map(tickets.as_bytes, reversed(ids)))
        except (redis.RedisError, OSError) as error:  # the scheduler misses the tickets and issues them again
            logger.debug("event=put_back_failed error=%r", error)

    def handle_foreign(self, entries: Sequence[ForeignEntry]) -> None:
        if not foreign_entries.are_run():
            foreign_entries.set_aside(self._calls, entries)
            return
        for entry in entries:
            self._worker.run_foreign(entry)


def _ids(items: Sequence[Ticket]) -> list[str]:
    return [ticket.id for ticket in items]


def _by_queue(pairs: Iterable[tuple[str, str]]) -> Iterable[tuple[str, list[str]]]:
    grouped: dict[str, list[str]] = defaultdict(list)
    for queue, entry_id in pairs:
        grouped[queue].append(entry_id)
    return grouped.items()
