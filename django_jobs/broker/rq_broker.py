"""The engine's broker on RQ. No call waits for long, and none asks Redis within a second after a failure."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import redis
from redis import Redis
from rq.command import PUBSUB_CHANNEL_TEMPLATE

from django_jobs.broker import connection, foreign_entries, plain_workers, tickets
from django_jobs.broker.rq_consumer import RQConsumer
from django_jobs.broker.rq_worker import CANCEL_COMMAND
from django_jobs.engine.ports import Broker, Look, SetAside, Ticket
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.statuses import Priority

T = TypeVar("T")

BREAK_SECONDS = 1.0


class RQBroker(Broker):
    """Tickets as RQ jobs. :class:`django_jobs.engine.ports.Broker` says what each method means."""

    def __init__(self) -> None:
        self._broken_until = 0.0

    def push(self, items: Sequence[Ticket], *, front: bool = False) -> None:
        by_priority: dict[int, list[str]] = defaultdict(list)
        for ticket in items:
            by_priority[ticket.priority].append(ticket.id)

        def push_all(client: Redis) -> None:
            for priority, ids in by_priority.items():
                tickets.push(client, connection.queue_name(priority), ids, front=front)

        self._call(push_all)

    def failed_just_now(self) -> bool:
        return time.monotonic() < self._broken_until

    def look(self) -> Look:
        def read(client: Redis) -> Look:
            rings, *counts = tickets.look(client, [connection.queue_name(priority) for priority in Priority])
            return Look(dict(zip(map(int, Priority), counts, strict=True)), rings)

        return self._call(read)

    def ring(self) -> None:
        self._call(tickets.ring)

    def depths(self) -> dict[int, int]:
        return self.look().depths

    def waiting_ids(self) -> set[str]:
        def read(client: Redis) -> set[str]:
            with client.pipeline(transaction=False) as pipeline:
                for name in connection.queue_names():
                    pipeline.lrange(tickets.queue_key(name), 0, -1)
                return {tickets.as_id(ticket_id) for ids in pipeline.execute() for ticket_id in ids}

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
        return sorted(filter(foreign_entries.is_foreign, self.waiting_ids()))

    def set_aside(self) -> SetAside:
        return self._call(lambda client: foreign_entries.look(client, connection.queue_names()))

    def other_workers(self, queues: Sequence[str]) -> Mapping[str, int]:
        return self._call(lambda client: plain_workers.count_by_queue(client, queues))

    def consumer(self, worker_name: str, queues: Sequence[str] = ()) -> RQConsumer:
        return RQConsumer(worker_name, queues or connection.queue_names())

    def _call(self, function: Callable[[Redis], T]) -> T:
        """Call Redis. Raises BrokerUnavailable when it does not answer, and for a second after that without trying."""
        if time.monotonic() < self._broken_until:
            raise BrokerUnavailable("Redis did not answer a moment ago")
        try:
            with connection.errors_translated():
                return function(connection.shared())
        except BrokerUnavailable:
            self._broken_until = time.monotonic() + BREAK_SECONDS
            raise
