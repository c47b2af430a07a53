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
from rq import SimpleWorker, Worker
from rq.command import send_shutdown_command
from rq.queue import Queue as RQQueue
from rq.registry import ScheduledJobRegistry

from django_jobs.exceptions import BrokerUnavailable
from tests.support import verbs
from tests.support.bombs import plant, register_as_running
from tests.support.brokers import pending_job, queue_for, reread
from tests.support.django_rq import TICKET
from tests.support.factories import make_job_type
from tests.support.own_redis import forget_the_broker, use_redis_at
from tests.support.redis_servers import switched_redis
from tests.support.refusals import refused
from tests.support.tuning import Tuning
from tests.support.verbs import UNREAD, RQBroker, RunningTicket, Ticket, TicketWorker
from tests.support.waiting import wait_until

ROUNDS = 200
TWO = Ticket(2, 2026, 1, 1)
#: What each ticket names for RQ to call.
ENTRY = "django_jobs.broker.rq_worker.run_ticket"
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
    broker = RQBroker()
    broker.ring()
    settings.RQ_QUEUES = {name: {"URL": wrong} for name in settings.RQ_QUEUES}
    with refused(BrokerUnavailable, "broker_refuses"), verbs.redis_errors_translated():
        verbs.connect_redis().ping()
    broker.disconnect()  # it keeps nothing of where it was connected
    with refused(BrokerUnavailable, "broker_refuses"):
        broker.ring()
    broker.disconnect()


def test_a_redis_that_refuses_is_a_broker_that_cannot_be_used(redis_client: redis.Redis, tuning: Tuning) -> None:
    redis_client.set("rq:queue:jobs-normal", "no list")
    broker = RQBroker()
    with refused(BrokerUnavailable, "broker_refuses"):
        broker.depths()
    with refused(BrokerUnavailable, "broker_refuses"):
        RQBroker().consumer("one").take(1)
    tuning.set(broker_clock=SimpleNamespace(monotonic=lambda: time.monotonic() + 60))
    assert broker.failed_just_now()  # until it has taken tickets
    redis_client.delete("rq:queue:jobs-normal")
    broker.push([TWO])
    assert not broker.failed_just_now()


@pytest.mark.usefixtures("redis_client")
def test_a_redis_that_tells_nothing_of_its_memory_is_no_broker_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis.Redis, "info", Mock(side_effect=redis.exceptions.NoPermissionError("no INFO")))
    broker = RQBroker()
    assert (broker.eviction_policy(), broker.failed_just_now()) == ("", False)


def test_a_plain_worker_counts_at_its_queues_for_as_long_as_rq_knows_it(redis_client: redis.Redis) -> None:
    worker: Any = Worker(["jobs-low", "own"], name="plain", connection=redis_client)
    worker.register_birth()
    assert RQBroker().other_workers(["jobs-low", "jobs-high"]) == {"jobs-low": 1, "jobs-high": 0}
    redis_client.delete(worker.key)
    assert RQBroker().other_workers(["jobs-low"]) == {"jobs-low": 0}


def test_a_worker_hears_what_is_told_at_the_server_to_which_its_address_leads_by_now(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tuning: Tuning
) -> None:
    heard: list[str] = []
    tuning.set(broker_break_seconds=0.0)
    with switched_redis(tmp_path) as switched:
        use_redis_at(switched.url, monkeypatch)
        worker = made_worker()
        worker.listen(heard.extend, lambda: None)
        broker = RQBroker()
        broker.ring()
        switched.switch()
        with refused(BrokerUnavailable, "broker_read_only"):
            broker.ring()
        broker.ring()
        with switched.client(1) as client:

            def is_told() -> bool:
                worker.beat([])
                client.publish(worker.pubsub_channel_name, '{"command": "cancel-jobs", "job_ids": ["7"]}')
                return bool(heard)

            wait_until(is_told, 30, "the worker to listen there")
            assert client.exists(worker.key)
        worker.leave()
        forget_the_broker()


def test_a_worker_obeys_rqs_command_to_shut_down_whatever_else_it_is_told(redis_client: redis.Redis) -> None:
    worker, told = made_worker(), list[Any]()
    worker.listen(told.append, lambda: told.append("shutdown"))

    def is_told() -> bool:
        for rubbish in ("no JSON", "[]", "7", '{"command": "cancel-jobs", "job_ids": 7}', '{"command": "kill-horse"}'):
            redis_client.publish(worker.pubsub_channel_name, rubbish)
        send_shutdown_command(redis_client, worker.name)
        return bool(told)

    wait_until(is_told, 30, "the command")
    worker.leave()
    assert set(told) == {"shutdown"}


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
    assert redis_client.keys("rq:queue:*") == []  # nor does it keep one in a second list
    assert RQBroker().set_aside().newest == ("'somebodys-job'",)


@pytest.mark.parametrize("foreign", ["set_aside", "run"])
@pytest.mark.parametrize("names", [["jobs-normal"], ["jobs-high", "jobs-normal"]], ids=["one queue", "several"])
def test_rq_itself_reads_nothing_of_a_ticket_but_its_id(
    names: list[str], foreign: str, redis_client: redis.Redis, trace: Path, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "FOREIGN_RQ_JOBS": foreign}
    plant(redis_client, TICKET, trace, origin="default")
    RQBroker().push([TWO])
    redis_client.delete(f"rq:job:{TWO.id}")
    queues = [RQQueue(name, connection=redis_client) for name in names]
    for entry in (TICKET, TWO.id):
        found = RQQueue.dequeue_any(queues, None, connection=redis_client)
        assert found is not None
        job, queue = found
        assert (job.id, job.func_name, job.args, job.origin, queue.name) == (entry, ENTRY, [], *["jobs-normal"] * 2)


def test_a_worker_of_rq_executes_nothing_of_what_it_says_that_it_runs(redis_client: redis.Redis, trace: Path) -> None:
    plant(redis_client, "abc", trace, origin="default")
    register_as_running(redis_client, "abc", abandoned=False)
    redis_client.sadd("rq:worker:w:executions", "abc:e1")
    job = Worker(["default", "jobs-normal"], name="w", connection=redis_client).get_current_job()
    assert job is not None
    assert job.func_name == UNREAD


def test_rqs_scheduler_finds_the_jobs_of_the_hosts_own_queues_alone(redis_client: redis.Redis) -> None:
    for name in ("own", "jobs-normal"):
        redis_client.zadd(f"rq:scheduled:{name}", {"abc": 1})
    registry: Any = ScheduledJobRegistry
    found = {name: registry(name, connection=redis_client).get_jobs_to_schedule() for name in ("own", "jobs-normal")}
    assert found == {"own": ["abc"], "jobs-normal": []}


def test_rubbish_in_our_registries_ends_no_worker_of_rq(redis_client: redis.Redis) -> None:
    for name in ("own", "jobs-normal"):
        redis_client.set(f"rq:wip:{name}", "no set")
    worker: Any = Worker(["jobs-normal"], name="w", connection=redis_client)
    worker.run_maintenance_tasks()
    assert worker.last_cleaned_at
    worker = Worker(["own"], name="w2", connection=redis_client)
    with pytest.raises(redis.ResponseError):
        worker.run_maintenance_tasks()


def work_off(*names: str, client: redis.Redis) -> None:
    """Run what waits as a plain ``rqworker`` does, in this process."""
    queues = [RQQueue(name, connection=client) for name in names]
    worker = SimpleWorker(queues, name="plain", connection=client)
    while (found := RQQueue.dequeue_any(queues, None, connection=client)) is not None:
        worker.execute_job(*found)


@pytest.mark.django_db(transaction=True)
def test_a_plain_worker_runs_the_jobs_of_a_pool_and_fills_the_broker_again(
    redis_client: redis.Redis, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    kind = make_job_type("report_progress", pool="gpu", max_running=1)
    jobs = [pending_job(kind) for _ in range(2)]
    assert RQBroker().depths()[queue_for(1, "gpu")] == 1
    work_off("jobs-gpu-normal", client=redis_client)
    assert [(reread(job).status, reread(job).progress) for job in jobs] == [("Completed", 100)] * 2
    assert redis_client.keys("rq:job:*") == []
