"""What RQ's tools read of a worker of ours while it changes, and what a Redis in trouble is to us."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
import redis
from rq.queue import Queue as RQQueue

from django_jobs.exceptions import BrokerUnavailable
from tests.support import verbs
from tests.support.bombs import plant
from tests.support.own_redis import forget_the_broker, use_redis_at
from tests.support.redis_servers import switched_redis
from tests.support.refusals import refused
from tests.support.tuning import Tuning
from tests.support.verbs import RQBroker, RunningTicket, Ticket, TicketWorker
from tests.support.waiting import wait_until

ROUNDS = 200
LOOK = "return {redis.call('HGET', KEYS[1], 'state'), redis.call('SCARD', KEYS[2])}"


def made_worker() -> TicketWorker:
    worker = TicketWorker(verbs.broker_queue_names(), "one", verbs.connect_redis())
    worker.announce()
    return worker


def running(pk: int) -> RunningTicket:
    return RunningTicket(Ticket(pk, 2026, 1, 1), time.time())


class Reader(threading.Thread):
    """Reads a worker's state and the number of its jobs, both of one moment, again and again."""

    def __init__(self, client: redis.Redis, worker: TicketWorker) -> None:
        super().__init__()
        self.seen: set[tuple[bytes, int]] = set()
        self._client = client
        self._keys = worker.key, worker.executions_key
        self._is_over = threading.Event()

    def run(self) -> None:
        is_over = False
        while not is_over:  # it looks once in any case
            is_over = self._is_over.is_set()
            state, jobs = self._client.eval(LOOK, 2, *self._keys)
            self.seen.add((state, jobs))

    def stop(self) -> None:
        self._is_over.set()
        self.join()


def test_nobody_sees_an_idle_worker_with_a_job_nor_a_busy_one_without(redis_client: redis.Redis) -> None:
    worker = made_worker()
    reader = Reader(redis_client, worker)
    reader.start()
    for number in range(1, ROUNDS + 1):
        worker.beat([running(number)])
        worker.beat([])
    reader.stop()
    worker.leave()
    assert reader.seen
    assert reader.seen <= {(b"busy", 1), (b"idle", 0)}
    assert redis_client.keys("rq:execution:*") == redis_client.keys("rq:job:*") == []


def test_what_ended_while_redis_was_away_is_taken_off_its_lists_later(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = made_worker()
    worker.beat([running(1)])
    for call in ("exists", "pipeline"):
        with monkeypatch.context() as away:
            away.setattr(worker.calls, call, Mock(side_effect=redis.ConnectionError("away")))
            worker.beat([])
    assert redis_client.scard(worker.executions_key) == 1
    worker.beat([])
    assert redis_client.scard(worker.executions_key) == 0
    assert redis_client.keys("rq:execution:*") == redis_client.keys("rq:job:*") == []
    worker.leave()


def test_a_job_that_goes_on_is_shown_once(redis_client: redis.Redis) -> None:
    worker, job = made_worker(), running(1)
    worker.beat([job])
    worker.beat([job])
    assert redis_client.scard(worker.executions_key) == len(redis_client.keys("rq:execution:*")) == 1
    worker.leave()


def test_of_tickets_that_are_done_nothing_is_kept(redis_client: redis.Redis) -> None:
    broker, tickets = RQBroker(), [running(pk).ticket for pk in (1, 2, 3)]
    consumer = broker.consumer("one")
    broker.push(tickets)
    assert consumer.take_now(3).tickets == tickets
    consumer.take_now(3, done=tickets[:1])
    assert set(redis_client.keys("rq:job:*")) == {f"rq:job:{ticket.id}".encode() for ticket in tickets[1:]}
    consumer.leave(done=tickets[1:])
    assert redis_client.keys("rq:job:*") == []


def test_a_broker_that_failed_is_not_asked_again_for_a_second(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, tuning: Tuning
) -> None:
    clock = SimpleNamespace(monotonic=lambda: 100.0)
    tuning.set(broker_clock=clock)
    broker = RQBroker()
    with monkeypatch.context() as away:
        away.setattr(redis.ConnectionPool, "get_connection", Mock(side_effect=redis.ConnectionError("away")))
        with pytest.raises(BrokerUnavailable):
            broker.ring()
    clock.monotonic = lambda: 100.9
    with refused(BrokerUnavailable, "broker_not_asked"):
        broker.ring()
    clock.monotonic = lambda: 101.1
    broker.ring()


@pytest.mark.usefixtures("redis_client")
def test_a_redis_that_refuses_the_password_is_not_said_to_be_silent(settings: Any) -> None:
    """Who reads that it does not answer looks whether it runs."""
    url = urlsplit(os.environ["REDIS_URL"])
    wrong = url._replace(netloc=f"nobody:wrong@{url.netloc.rpartition('@')[2]}").geturl()
    settings.RQ_QUEUES = {name: {"URL": wrong} for name in settings.RQ_QUEUES}
    with refused(BrokerUnavailable, "broker_refuses"), verbs.redis_errors_translated():
        verbs.connect_redis().ping()


def test_a_redis_that_refuses_is_a_broker_that_cannot_be_used(redis_client: redis.Redis) -> None:
    redis_client.set("rq:queue:jobs-normal", "no list")
    with refused(BrokerUnavailable, "broker_refuses"):
        RQBroker().depths()
    with refused(BrokerUnavailable, "broker_refuses"):
        RQBroker().consumer("one").take(1)


def test_a_worker_hears_what_is_told_at_the_server_to_which_its_address_leads_by_now(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    with switched_redis(tmp_path) as switched:
        use_redis_at(switched.url, monkeypatch)
        worker = made_worker()
        worker.listen(heard.extend, lambda: None)
        switched.switch()
        with switched.client(1) as client:

            def is_told() -> bool:
                worker.beat([])
                client.publish(worker.pubsub_channel_name, '{"command": "cancel-jobs", "job_ids": ["7"]}')
                return bool(heard)

            wait_until(is_told, 30, "the worker to listen there")
            assert client.exists(worker.key)
        worker.leave()
        forget_the_broker()


def test_a_worker_that_was_never_listed_writes_nothing_when_it_leaves(redis_client: redis.Redis) -> None:
    """The Redis that answers by then may be another installation's."""
    TicketWorker(verbs.broker_queue_names(), "one", verbs.connect_redis()).leave([Ticket(1, 2026, 1, 1)])
    assert redis_client.keys("*") == []


@pytest.mark.usefixtures("redis_client")
def test_a_connection_does_not_tell_which_library_it_is_of() -> None:
    for client in (verbs.connect_redis(), verbs.shared_redis()):
        assert client.client_info().get("lib-name", "") == ""


def test_a_client_reads_what_has_another_form_in_each_protocol(redis_client: redis.Redis) -> None:
    """RQ reads jobs so; a client decides when it is made how it reads an answer."""
    redis_client.hset("a hash", "a field", "a value")
    assert verbs.connect_redis().hgetall("a hash") == {b"a field": b"a value"}


@pytest.mark.parametrize("names", [["jobs-normal"], ["jobs-high", "jobs-normal"]], ids=["one queue", "several"])
def test_rq_itself_takes_nothing_from_our_queues_that_is_no_ticket(
    names: list[str], redis_client: redis.Redis, trace: Path
) -> None:
    plant(redis_client, "somebodys-job", trace)
    queues = [RQQueue(name, connection=redis_client) for name in names]
    assert RQQueue.dequeue_any(queues, None, connection=redis_client) is None
    assert redis_client.llen("rq:queue:jobs-normal") == 0
