"""The engine's broker on RQ, and one worker process at its queues."""

from __future__ import annotations

import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

import redis
from redis import Redis
from rq.command import PUBSUB_CHANNEL_TEMPLATE

from django_jobs import pools
from django_jobs.broker import rq_worker
from django_jobs.broker.queues import (
    BELL,
    LEAD,
    LEADER,
    LOOK,
    MARKER,
    RING,
    STOP_LEADING,
    are_foreign_run,
    as_bytes,
    as_id,
    call_back,
    close_shared,
    connect,
    errors_translated,
    is_foreign,
    look_for_foreign,
    push,
    queue_key,
    set_aside,
    shared,
    take,
    wait,
)
from django_jobs.broker.rq_worker import CANCEL_COMMAND, TicketWorker
from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine import timing
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
from django_jobs.statuses import Priority
from django_jobs.texts import say

logger = logging.getLogger("django_jobs")

# The engine's broker on RQ. No call waits for long, and none asks Redis within a second after a failure.


T = TypeVar("T")


class RQBroker(Broker):
    """Tickets as RQ jobs. :class:`django_jobs.engine.ports.Broker` says what each method means."""

    def __init__(self) -> None:
        self._broken_until = self._late_until = 0.0
        #: Whether Redis answered that it cannot do something, and has taken no tickets since.
        self._is_refused = False

    def push(self, items: Sequence[Ticket], *, front: bool = False) -> None:
        known = pools.names()
        by_queue: dict[Queue, list[str]] = defaultdict(list)
        for ticket in items:
            if ticket.pool in known:
                by_queue[ticket.queue].append(ticket.id)

        def push_all(client: Redis) -> None:
            for queue, ids in by_queue.items():
                push(client, queue.name, ids, front=front)

        self._call(push_all)
        if self._is_refused:
            self._is_refused = False
            logger.info("event=broker_works_again")

    def disconnect(self) -> None:
        close_shared()

    def failed_just_now(self) -> bool:
        return self._is_refused or time.monotonic() < self._broken_until

    def answers_late(self) -> bool:
        return time.monotonic() < self._late_until

    def look(self) -> BrokerState:
        known = pools.named()

        def read(client: Redis) -> BrokerState:
            rings, counts = client.eval(LOOK, 1 + len(known), BELL, *map(queue_key, known.values()))
            return BrokerState(dict(zip(known, counts, strict=True)), rings)

        return self._call(read)

    def ring(self) -> None:
        self._call(lambda client: client.eval(RING, 1, BELL))

    def lead(self, leader: str, seconds: float, *, rings: bool) -> bool:
        milliseconds = round(seconds * 1000)
        return bool(self._call(lambda client: client.eval(LEAD, 2, BELL, LEADER, leader, milliseconds, int(rings))))

    def stop_leading(self, leader: str) -> None:
        self._call(lambda client: client.eval(STOP_LEADING, 1, LEADER, leader))

    def depths(self) -> dict[Queue, int]:
        return self.look().depths

    def call_back(self, queue: Queue, most: int) -> list[Ticket]:
        name = pools.named()[queue]
        found = self._call(lambda client: call_back(client, name, most, is_foreign))
        parsed = (Ticket.parse(ticket_id, queue.priority, queue.pool) for ticket_id in found)
        return [ticket for ticket in parsed if ticket is not None]

    def waiting_ids(self) -> dict[str, set[str]]:
        def read(client: Redis) -> dict[str, set[str]]:
            found: dict[str, set[str]] = {pool: set() for pool in pools.names()}
            known = pools.named()
            with client.pipeline(transaction=False) as pipeline:
                for name in known.values():
                    pipeline.lrange(queue_key(name), 0, -1)
                for queue, ids in zip(known, pipeline.execute(), strict=True):
                    found[queue.pool].update(map(as_id, ids))
            return found

        return self._call(read)

    def installation(self) -> str | None:
        value = self._call(lambda client: client.get(MARKER))
        return value.decode(errors="backslashreplace") if isinstance(value, bytes) else None

    def mark(self, installation: str) -> bool:
        def claim(client: Redis) -> bool:
            client.set(MARKER, installation, nx=True)
            return bool(client.get(MARKER) == installation.encode())

        return self._call(claim)

    def request_cancel(self, worker_name: str, job_ids: Iterable[str]) -> None:
        payload = json.dumps({"command": CANCEL_COMMAND, "job_ids": list(job_ids)})
        self._call(lambda client: client.publish(PUBSUB_CHANNEL_TEMPLATE % worker_name, payload))

    def eviction_policy(self) -> str:
        def read(client: Redis) -> str:
            try:
                return str(client.info("memory").get("maxmemory_policy", ""))
            except redis.ResponseError:
                return ""

        return self._call(read)

    def foreign_ids(self) -> list[str]:
        waiting = set().union(*self.waiting_ids().values())
        return sorted(filter(is_foreign, waiting))

    def set_aside(self) -> SetAside:
        return self._call(lambda client: look_for_foreign(client, pools.queue_names()))

    def other_workers(self, queues: Sequence[str]) -> Mapping[str, int]:
        return self._call(lambda client: rq_worker.plain_workers_by_queue(client, queues))

    def consumer(self, worker_name: str, queues: Sequence[str] = ()) -> RQConsumer:
        return RQConsumer(worker_name, queues or pools.queue_names(DEFAULT_POOL))

    def _call(self, function: Callable[[Redis], T]) -> T:
        """Call Redis. Raises BrokerUnavailable when it does not answer, and for a second after that without trying."""
        began = time.monotonic()
        if began < self._broken_until:
            raise BrokerUnavailable(say("Redis did not answer a moment ago", code="broker_not_asked"))
        try:
            with errors_translated():
                return function(shared())
        except BrokerUnavailable as error:
            self._broken_until = time.monotonic() + timing.BROKER_BREAK_SECONDS
            if isinstance(error.__cause__, redis.ResponseError) and not self._is_refused:
                self._is_refused = True
                logger.warning("event=broker_refuses error=%s", error)
            raise
        finally:
            if (ended := time.monotonic()) - began > timing.LATE_BROKER_SECONDS:
                self._late_until = ended + timing.BROKER_BREAK_SECONDS


# One worker process at RQ's queues: how it takes tickets, pushes them again, and hears what it is told.
#
# RQ's own loop is not used; it makes about fifteen round trips a job.


#: What a queue is for that is none of ours.
_UNKNOWN: Final = Queue(DEFAULT_POOL, int(Priority.NORMAL))


class RQConsumer(Consumer):
    """A worker at RQ's queues. :class:`django_jobs.engine.ports.Consumer` says what each method means."""

    def __init__(self, worker_name: str, queues: Sequence[str]) -> None:
        self.queues: Sequence[str] = list(queues)
        self._calls = connect()
        self._blocking: Redis = connect(answer_seconds=timing.BROKER_BLOCK_SECONDS + 3)
        self._waiting: Redis | None = None
        self._blocked_id: int | None = None
        self._known = pools.by_queue_name()
        self._worker = TicketWorker(self.queues, worker_name, self._calls)

    # -- the list of workers ---------------------------------------------------------------------------------------

    def announce(self) -> None:
        with errors_translated():
            self._worker.announce()

    def listen(self, on_cancel: Callable[[list[str]], None], on_shutdown: Callable[[], None]) -> None:
        with errors_translated():
            self._worker.listen(on_cancel, on_shutdown)

    def beat(self, running: Sequence[RunningTicket]) -> None:
        self._worker.beat(running)

    def leave(self, done: Sequence[Ticket] = ()) -> None:
        self._worker.leave(done)

    # -- tickets ---------------------------------------------------------------------------------------------------

    def take(self, count: int, done: Sequence[Ticket] = ()) -> Taken:
        with errors_translated():
            found = take(self._calls, self.queues, count, [ticket.id for ticket in done])
            if found is None:
                time.sleep(timing.RQ_SUSPENDED_LOOK_SECONDS)
                return Taken()
            return self._read(found) if found else self._wait(count)

    def take_now(self, count: int, done: Sequence[Ticket] = ()) -> Taken:
        with errors_translated():
            found = take(self._calls, self.queues, count, [ticket.id for ticket in done])
        if found is None:
            raise WorkersSuspended("RQ's workers are suspended")
        return self._read(found)

    def _wait(self, count: int) -> Taken:
        if self._waiting is not None:  # given back now, since a ticket that came would have waited for that
            self._waiting.close()
        client = self._waiting = self._blocking.client()  # type: ignore[no-untyped-call]  # one connection, whose id wakes it
        try:
            self._blocked_id = client.client_id()
            found, suspended = wait(client, self.queues, count, timing.BROKER_BLOCK_SECONDS)
        except redis.ResponseError as error:
            if "UNBLOCKED" in str(error):
                return Taken()
            raise
        finally:
            self._blocked_id = None
        taken = self._read(found)
        if found and suspended:
            self.push_again(taken)
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

    def push_again(self, taken: Taken) -> None:
        try:
            for queue, ids in _by_queue((item.queue.name, item.id) for item in taken.tickets):
                push(self._calls, queue, ids, front=True)
            for queue, ids in _by_queue((entry.queue, entry.id) for entry in taken.foreign):
                self._calls.lpush(queue_key(queue), *map(as_bytes, reversed(ids)))
        except (redis.RedisError, OSError) as error:  # the scheduler misses the tickets and issues them again
            logger.debug("event=push_again_failed error=%r", error)

    def handle_foreign(self, entries: Sequence[ForeignEntry]) -> None:
        if not are_foreign_run():
            set_aside(self._calls, entries)
            return
        for entry in entries:
            self._worker.run_foreign(entry)


def _by_queue(pairs: Iterable[tuple[str, str]]) -> Iterable[tuple[str, list[str]]]:
    grouped: dict[str, list[str]] = defaultdict(list)
    for queue, entry_id in pairs:
        grouped[queue].append(entry_id)
    return grouped.items()
