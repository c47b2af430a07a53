"""The engine's broker on RQ. No call waits for long, and none asks Redis within a second after a failure."""

from __future__ import annotations

import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import redis
from redis import Redis
from rq.command import PUBSUB_CHANNEL_TEMPLATE

from django_jobs import pools
from django_jobs.broker import connection, foreign_entries, plain_workers, tickets
from django_jobs.broker.rq_consumer import RQConsumer
from django_jobs.broker.rq_worker import CANCEL_COMMAND
from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.foreign_entries import SetAside
from django_jobs.engine.ports import NO_WEIGHTS, Broker, Look, Queue, Ticket
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.texts import say

T = TypeVar("T")

logger = logging.getLogger("django_jobs")

BREAK_SECONDS = 1.0


class RQBroker(Broker):
    """Tickets as RQ jobs. :class:`django_jobs.engine.ports.Broker` says what each method means."""

    def __init__(self) -> None:
        self._broken_until = 0.0
        #: Whether Redis answered that it cannot do something, and has taken no tickets since.
        self._is_refused = False

    def push(
        self, items: Sequence[Ticket], *, front: bool = False, first_weights: Mapping[Queue, float] = NO_WEIGHTS
    ) -> None:
        known = pools.names()
        by_queue: dict[Queue, list[str]] = defaultdict(list)
        for ticket in items:
            if ticket.pool in known:
                by_queue[ticket.queue].append(ticket.id)

        def push_all(client: Redis) -> None:
            for queue, ids in by_queue.items():
                tickets.push(client, queue.name, ids, front=front, first_weight=first_weights.get(queue))

        self._call(push_all)
        if self._is_refused:
            self._is_refused = False
            logger.info("event=broker_works_again")

    def disconnect(self) -> None:
        connection.close_shared()

    def failed_just_now(self) -> bool:
        return self._is_refused or time.monotonic() < self._broken_until

    def look(self) -> Look:
        known = pools.named()

        def read(client: Redis) -> Look:
            rings, counts, weights = tickets.look(client, list(known.values()))
            least = {queue: weight for queue, weight in zip(known, weights, strict=True) if weight is not None}
            return Look(dict(zip(known, counts, strict=True)), rings, least)

        return self._call(read)

    def ring(self) -> None:
        self._call(tickets.ring)

    def lead(self, leader: str, seconds: float, *, rings: bool) -> bool:
        return self._call(lambda client: tickets.lead(client, leader, seconds, rings=rings))

    def stop_leading(self, leader: str) -> None:
        self._call(lambda client: tickets.stop_leading(client, leader))

    def depths(self) -> dict[Queue, int]:
        return self.look().depths

    def call_back(self, queue: Queue, most: int) -> list[Ticket]:
        name = pools.named()[queue]
        found = self._call(lambda client: tickets.call_back(client, name, most, foreign_entries.is_foreign))
        parsed = (Ticket.parse(ticket_id, queue.priority, queue.pool) for ticket_id in found)
        return [ticket for ticket in parsed if ticket is not None]

    def waiting_ids(self) -> dict[str, set[str]]:
        def read(client: Redis) -> dict[str, set[str]]:
            found: dict[str, set[str]] = {pool: set() for pool in pools.names()}
            known = pools.named()
            with client.pipeline(transaction=False) as pipeline:
                for name in known.values():
                    pipeline.lrange(tickets.queue_key(name), 0, -1)
                for queue, ids in zip(known, pipeline.execute(), strict=True):
                    found[queue.pool].update(map(tickets.as_id, ids))
            return found

        return self._call(read)

    def installation(self) -> str | None:
        value = self._call(lambda client: client.get(tickets.MARKER))
        return value.decode(errors="backslashreplace") if isinstance(value, bytes) else None

    def mark(self, installation: str) -> bool:
        def claim(client: Redis) -> bool:
            client.set(tickets.MARKER, installation, nx=True)
            return bool(client.get(tickets.MARKER) == installation.encode())

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
        return sorted(filter(foreign_entries.is_foreign, waiting))

    def set_aside(self) -> SetAside:
        return self._call(lambda client: foreign_entries.look(client, connection.queue_names()))

    def other_workers(self, queues: Sequence[str]) -> Mapping[str, int]:
        return self._call(lambda client: plain_workers.count_by_queue(client, queues))

    def consumer(self, worker_name: str, queues: Sequence[str] = ()) -> RQConsumer:
        return RQConsumer(worker_name, queues or pools.queue_names(DEFAULT_POOL))

    def _call(self, function: Callable[[Redis], T]) -> T:
        """Call Redis. Raises BrokerUnavailable when it does not answer, and for a second after that without trying."""
        if time.monotonic() < self._broken_until:
            raise BrokerUnavailable(say("Redis did not answer a moment ago", code="broker_not_asked"))
        try:
            with connection.errors_translated():
                return function(connection.shared())
        except BrokerUnavailable as error:
            self._broken_until = time.monotonic() + BREAK_SECONDS
            if isinstance(error.__cause__, redis.ResponseError) and not self._is_refused:
                self._is_refused = True
                logger.warning("event=broker_refuses error=%s", error)
            raise
