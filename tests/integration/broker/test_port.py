"""What the engine and its workers need of a broker, method by method: of the one on RQ, and of the one in memory.

Another broker joins :data:`BENCHES`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import psutil
import pytest
import redis
from rq import Worker
from rq.suspension import resume, suspend

from django_jobs import pools
from django_jobs.exceptions import BrokerUnavailable, WorkersSuspended
from django_jobs.statuses import Priority
from tests.support import verbs
from tests.support.brokers import MemoryBroker, queue_for
from tests.support.clocks import Clock
from tests.support.commands import QUEUES
from tests.support.tuning import Tuning
from tests.support.verbs import (
    Broker,
    Consumer,
    ForeignEntry,
    RQBroker,
    RunningTicket,
    TakenTicket,
    Ticket,
)
from tests.support.waiting import wait_until

#: At once, against the two seconds for which a worker waits for tickets.
#: For who would wait a minute.
AT_ONCE: Final = 20.0


class RedisBench:
    """What a test does to RQ's Redis, beside what the port can do."""

    #: Connections of a process that makes calls.
    lines = 1

    def __init__(self, client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        self.broker = self.made_broker()
        self._client = client
        self._monkeypatch = monkeypatch

    def made_broker(self) -> Broker:
        """Another one, which has not failed yet."""
        return RQBroker()

    def plant(self, queue: str, *ids: str) -> None:
        self._client.rpush(f"rq:queue:{queue}", *ids)

    def suspend(self) -> None:
        suspend(self._client)

    def resume(self) -> None:
        resume(self._client)

    def break_down(self) -> None:
        """Every connection fails from now on."""
        fail: Any = redis.ConnectionPool
        self._monkeypatch.setattr(fail, "get_connection", self._refuse)

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise redis.ConnectionError("the test says so")

    def workers(self) -> dict[str, list[str]]:
        """What each worker runs, by name."""
        found = Worker.all(connection=self._client)
        return {worker.name: [str(job_id)] if (job_id := worker.get_current_job_id()) else [] for worker in found}


class MemoryBench:
    """The same for the broker in memory."""

    lines = 0

    def __init__(self, client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        self._memory = MemoryBroker()
        self.broker = self.made_broker()

    def made_broker(self) -> Broker:
        return self._memory

    def plant(self, queue: str, *ids: str) -> None:
        known = pools.by_queue_name()[queue]
        self._memory.add([(known, ForeignEntry(queue, entry_id)) for entry_id in ids])

    def suspend(self) -> None:
        self._memory.is_suspended = True

    def resume(self) -> None:
        self._memory.is_suspended = False

    def break_down(self) -> None:
        self._memory.is_down = True

    def workers(self) -> dict[str, list[str]]:
        return {name: [item.ticket.id for item in running] for name, running in self._memory.workers.items()}


BENCHES: Final[dict[str, type[RedisBench] | type[MemoryBench]]] = {"RQ": RedisBench, "memory": MemoryBench}


@pytest.fixture(params=list(BENCHES))
def bench(
    request: pytest.FixtureRequest, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> RedisBench | MemoryBench:
    verbs.close_shared_redis()
    return BENCHES[request.param](redis_client, monkeypatch)


@pytest.fixture
def broker(bench: RedisBench | MemoryBench) -> Broker:
    return bench.broker


@pytest.fixture
def long_waits(tuning: Tuning) -> None:
    """A worker that nothing wakes waits so long that no slow machine hides it."""
    tuning.set(broker_block_seconds=60, test_broker_wait_seconds=60.0)


@pytest.fixture
def consumer(broker: Broker) -> Iterator[Consumer]:
    consumer = broker.consumer("worker-1")
    yield consumer
    consumer.leave()


def ticket(pk: int, priority: Priority = Priority.NORMAL, attempt: int = 1) -> Ticket:
    return Ticket(pk, 2026, attempt, int(priority))


ONE, TWO, THREE = ticket(1), ticket(2), ticket(3)
LOW, URGENT = ticket(4, Priority.LOW), ticket(5, Priority.CRITICAL)
FOREIGN: Final = ForeignEntry("jobs-normal", "somebodys-job")


def taken(consumer: Consumer) -> list[Ticket]:
    return list(consumer.take_now(10).tickets)


class Waiting(threading.Thread):
    """A worker that waits for tickets."""

    def __init__(self, consumer: Consumer) -> None:
        super().__init__(daemon=True)
        self.taken = TakenTicket()
        self.seconds = 0.0
        self._consumer = consumer

    def run(self) -> None:
        began = time.monotonic()
        self.taken = self._consumer.take(10)
        self.seconds = time.monotonic() - began


# -- pushing and looking -----------------------------------------------------------------------------------------------


def test_tickets_are_taken_in_the_order_in_which_they_came(broker: Broker, consumer: Consumer) -> None:
    broker.push([ONE, TWO])
    broker.push([THREE])
    assert taken(consumer) == [ONE, TWO, THREE]


def test_tickets_pushed_to_the_front_go_before_those_that_wait_and_keep_their_order(
    broker: Broker, consumer: Consumer
) -> None:
    broker.push([ONE])
    broker.push([TWO, THREE], front=True)
    assert taken(consumer) == [TWO, THREE, ONE]


def test_tickets_of_one_queue_are_called_back_if_more_wait_there_and_foreign_entries_stay(
    bench: RedisBench | MemoryBench, broker: Broker, consumer: Consumer
) -> None:
    broker.push([ONE, LOW, URGENT])
    bench.plant(FOREIGN.queue, FOREIGN.id)
    broker.push([TWO])
    assert broker.call_back(ONE.queue, 3) == []
    assert broker.call_back(ONE.queue, 2) == [ONE, TWO]
    assert consumer.take_now(10) == TakenTicket([URGENT, LOW], [FOREIGN])


@pytest.mark.parametrize("bench", ["RQ"], indirect=True)
def test_what_a_worker_takes_meanwhile_is_not_called_back(
    broker: Broker, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.push([ONE, TWO])
    read, found = redis.Redis.lrange, list[Ticket]()

    def read_before_a_worker_takes(*args: Any) -> Any:
        waiting = read(*args)
        found.extend(consumer.take_now(1).tickets)
        return waiting

    monkeypatch.setattr(redis.Redis, "lrange", read_before_a_worker_takes)
    assert (broker.call_back(ONE.queue, 0), found) == ([TWO], [ONE])


def test_what_is_most_urgent_is_taken_first(broker: Broker, consumer: Consumer) -> None:
    broker.push([LOW, ONE, URGENT])
    assert taken(consumer) == [URGENT, ONE, LOW]


def test_a_look_tells_what_waits_and_how_often_the_bell_was_rung(bench: RedisBench | MemoryBench) -> None:
    broker = bench.broker
    broker.push([ONE, TWO, URGENT])
    bench.plant("jobs-low", "somebodys-job")
    before = broker.look()
    broker.ring()
    broker.ring()
    after = broker.look()
    assert before.depths == after.depths == broker.depths()
    assert after.depths == {queue_for(3): 1, queue_for(2): 0, queue_for(1): 2, queue_for(0): 1}
    assert after.rings - before.rings == 2


def test_one_has_the_lead_until_it_gives_it_up_or_its_time_is_over(bench: RedisBench | MemoryBench) -> None:
    broker = bench.broker
    assert [broker.lead(name, 60, rings=False) for name in ("me", "you", "me")] == [True, False, True]
    broker.stop_leading("you")
    assert not broker.lead("you", 60, rings=False)
    broker.stop_leading("me")
    assert broker.lead("you", 0.001, rings=False)
    wait_until(lambda: broker.lead("me", 60, rings=False), 30, "the lead to run out")


def test_who_does_not_get_the_lead_rings_all_the_same(bench: RedisBench | MemoryBench) -> None:
    broker = bench.broker
    before = broker.look().rings
    got = [broker.lead("me", 60, rings=True), broker.lead("you", 60, rings=True), broker.lead("you", 60, rings=False)]
    assert (got, broker.look().rings - before) == ([True, False, False], 2)


def test_the_ids_of_all_that_waits_are_told_and_which_of_them_are_foreign(bench: RedisBench | MemoryBench) -> None:
    bench.broker.push([ONE, URGENT])
    bench.plant("jobs-high", "b", "a")
    assert bench.broker.waiting_ids() == {"default": {ONE.id, URGENT.id, "a", "b"}}
    assert bench.broker.foreign_ids() == ["a", "b"]


def test_each_pool_has_its_queues(bench: RedisBench | MemoryBench, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    broker, ours = bench.broker, replace(TWO, pool="gpu")
    broker.push([ONE, ours, replace(ONE, pool="gone")])
    bench.plant("jobs-gpu-low", "somebodys-job")
    assert {queue: count for queue, count in broker.depths().items() if count} == {
        queue_for(1): 1,
        queue_for(1, "gpu"): 1,
        queue_for(0, "gpu"): 1,
    }
    assert broker.look().depths == broker.depths()
    assert broker.waiting_ids() == {"default": {ONE.id}, "gpu": {ours.id, "somebodys-job"}}
    assert broker.foreign_ids() == ["somebodys-job"]


def test_a_worker_of_a_pool_takes_its_tickets_alone(broker: Broker, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    ours = replace(TWO, pool="gpu")
    broker.push([ONE, ours])
    consumer = broker.consumer("worker-1", pools.queue_names("gpu"))
    found = consumer.take_now(10)
    assert list(found.tickets) == [ours]
    consumer.push_again(found)
    assert taken(broker.consumer("worker-2")) == [ONE]
    assert taken(consumer) == [ours]


def test_a_ticket_says_in_which_pools_queue_it_lay(broker: Broker, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    broker.push([ONE])
    broker.push([replace(ONE, pool="gpu")])
    assert taken(broker.consumer("worker-1")) == [ONE]
    assert taken(broker.consumer("worker-2", ["jobs-gpu-normal"])) == [replace(ONE, pool="gpu")]


# -- whose broker it is ------------------------------------------------------------------------------------------------


def test_the_first_installation_that_marks_a_broker_has_it(broker: Broker) -> None:
    assert broker.installation() is None
    assert broker.mark("mine")
    assert broker.mark("mine")
    assert not broker.mark("theirs")
    assert broker.installation() == "mine"


def test_a_broker_that_drops_nothing_says_so(broker: Broker) -> None:
    assert broker.eviction_policy() == "noeviction"


# -- workers -----------------------------------------------------------------------------------------------------------


def test_a_consumer_serves_all_queues_or_those_that_it_is_given(broker: Broker) -> None:
    broker.push([LOW, URGENT])
    assert tuple(broker.consumer("worker-1").queues) == QUEUES
    some = broker.consumer("worker-2", ["jobs-low"])
    assert (list(some.queues), taken(some)) == (["jobs-low"], [LOW])


def test_queues_are_served_in_the_order_in_which_they_are_given(broker: Broker) -> None:
    broker.push([ONE, URGENT])
    assert taken(broker.consumer("worker-1", ["jobs-normal", "jobs-critical"])) == [ONE, URGENT]


def test_no_more_is_taken_than_was_asked_for(broker: Broker, consumer: Consumer) -> None:
    broker.push([URGENT, ONE, TWO])
    assert consumer.take_now(2).tickets == [URGENT, ONE]
    assert consumer.take_now(2, done=[URGENT, ONE]).tickets == [TWO]
    assert len(consumer.take_now(2)) == 0


def test_a_ticket_is_taken_by_one_worker(broker: Broker, consumer: Consumer) -> None:
    broker.push([ONE])
    assert (taken(consumer), taken(broker.consumer("worker-2"))) == ([ONE], [])


@pytest.mark.usefixtures("long_waits")
def test_what_waits_is_taken_at_once(broker: Broker, consumer: Consumer) -> None:
    broker.push([ONE])
    began = time.monotonic()
    assert consumer.take(10).tickets == [ONE]
    assert time.monotonic() - began < AT_ONCE


@pytest.mark.usefixtures("long_waits")
def test_a_worker_waits_for_a_ticket(broker: Broker, consumer: Consumer) -> None:
    waiting = Waiting(consumer)
    waiting.start()
    time.sleep(0.2)
    broker.push([ONE])
    waiting.join(AT_ONCE)
    assert (waiting.taken.tickets, waiting.seconds < AT_ONCE) == ([ONE], True)


def test_a_worker_waits_for_no_more_than_a_few_seconds(consumer: Consumer) -> None:
    began = time.monotonic()
    assert len(consumer.take(10)) == 0
    assert 1 < time.monotonic() - began < 30


@pytest.mark.usefixtures("long_waits")
def test_a_wait_is_ended_from_another_thread_and_loses_no_ticket(broker: Broker, consumer: Consumer) -> None:
    waiting = Waiting(consumer)
    waiting.start()

    def is_over() -> bool:
        consumer.wake()
        return not waiting.is_alive()

    wait_until(is_over, AT_ONCE, "the end of the wait")
    broker.push([ONE])
    assert waiting.seconds > 0  # it ended without an error
    assert [*waiting.taken.tickets, *taken(consumer)] == [ONE]


@pytest.mark.parametrize("bench", ["RQ"], indirect=True)
@pytest.mark.usefixtures("long_waits")
def test_a_wait_that_the_server_ends_is_no_failure(consumer: Consumer, redis_client: redis.Redis) -> None:
    """As one does that becomes a replica."""
    waiting = Waiting(consumer)
    waiting.start()

    def is_over() -> bool:
        for item in redis_client.client_list():
            if item["cmd"] == "blmpop":
                redis_client.client_unblock(int(item["id"]), error=True)
        return not waiting.is_alive()

    wait_until(is_over, AT_ONCE, "the end of the wait")
    assert waiting.seconds > 0


def test_what_is_put_back_is_next_again(bench: RedisBench | MemoryBench, consumer: Consumer) -> None:
    bench.broker.push([URGENT, ONE, TWO])
    bench.plant("jobs-normal", FOREIGN.id)
    first = consumer.take_now(2)
    consumer.push_again(first)
    assert taken(consumer) == [URGENT, ONE, TWO]
    others = [FOREIGN, ForeignEntry(FOREIGN.queue, "another-job")]
    consumer.push_again(TakenTicket(foreign=others))
    assert consumer.take_now(10) == TakenTicket([], others)


def test_while_workers_are_suspended_they_get_nothing(bench: RedisBench | MemoryBench, consumer: Consumer) -> None:
    bench.broker.push([ONE])
    bench.suspend()
    assert len(consumer.take(10)) == 0
    with pytest.raises(WorkersSuspended):
        consumer.take_now(10)
    bench.resume()
    assert taken(consumer) == [ONE]


def test_a_ticket_that_comes_to_a_worker_that_was_suspended_meanwhile_stays(
    bench: RedisBench | MemoryBench, consumer: Consumer
) -> None:
    waiting = Waiting(consumer)
    waiting.start()
    time.sleep(0.2)
    bench.suspend()
    bench.broker.push([ONE])
    waiting.join(AT_ONCE)
    bench.resume()
    assert (len(waiting.taken), taken(consumer)) == (0, [ONE])


def test_foreign_entries_are_told_from_tickets(bench: RedisBench | MemoryBench, consumer: Consumer) -> None:
    bench.plant("jobs-normal", FOREIGN.id)
    bench.broker.push([ONE])
    found = consumer.take_now(10)
    assert (list(found.tickets), list(found.foreign), len(found)) == ([ONE], [FOREIGN], 2)


def test_foreign_entries_are_set_aside_and_remembered(bench: RedisBench | MemoryBench, consumer: Consumer) -> None:
    assert bench.broker.set_aside().count == 0
    bench.plant("jobs-normal", "a", "b")
    consumer.handle_foreign(consumer.take_now(10).foreign)
    aside = bench.broker.set_aside()
    assert (aside.count, aside.is_capped, set(aside.newest)) == (2, False, {"'a'", "'b'"})
    assert bench.broker.foreign_ids() == []


@pytest.mark.parametrize("bench", ["RQ"], indirect=True)
def test_of_a_flood_of_foreign_entries_some_are_remembered(
    bench: RedisBench, consumer: Consumer, redis_client: redis.Redis
) -> None:
    consumer.handle_foreign([ForeignEntry("jobs-normal", f"entry-{number}" * 80) for number in range(1_000)])
    aside = bench.broker.set_aside()
    assert (aside.count, aside.is_capped) == (1_000, True)
    consumer.handle_foreign([FOREIGN])
    assert bench.broker.set_aside().count == 1_000
    (key,) = redis_client.keys("*set_aside*")
    assert max(map(len, redis_client.lrange(key, 0, -1))) == 500


@pytest.mark.parametrize("bench", ["RQ"], indirect=True)
def test_a_flood_of_foreign_entries_is_a_line_in_ten_seconds_that_counts_them(
    consumer: Consumer, tuning: Tuning, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    tuning.set(foreign_log_clock=clock, foreign_logged_at=0.0)
    consumer.handle_foreign([FOREIGN])
    caplog.clear()
    consumer.handle_foreign([FOREIGN, FOREIGN])
    clock.now += 9
    consumer.handle_foreign([FOREIGN])
    assert "event=foreign_entry" not in caplog.text
    clock.now += 2
    consumer.handle_foreign([FOREIGN])
    assert "rq_job='somebodys-job' count=4" in caplog.text


def test_a_worker_is_listed_from_its_beginning_to_its_end(bench: RedisBench | MemoryBench, consumer: Consumer) -> None:
    consumer.announce()
    consumer.announce()  # the answer to the first try may have been lost
    assert bench.workers() == {"worker-1": []}
    consumer.leave([ONE])
    assert bench.workers() == {}


def test_a_worker_shows_what_it_runs_and_no_longer_than_that(
    bench: RedisBench | MemoryBench, consumer: Consumer
) -> None:
    consumer.announce()
    consumer.beat([RunningTicket(ONE, time.time())])
    assert bench.workers() == {"worker-1": [ONE.id]}
    consumer.beat([RunningTicket(TWO, time.time())])
    assert bench.workers() == {"worker-1": [TWO.id]}
    consumer.beat([])
    assert bench.workers() == {"worker-1": []}


def test_a_heartbeat_lists_a_worker_that_the_broker_has_forgotten(
    bench: RedisBench | MemoryBench, consumer: Consumer
) -> None:
    consumer.beat([])
    assert bench.workers() == {"worker-1": []}


def test_a_hint_to_cancel_reaches_the_worker_that_listens(broker: Broker, consumer: Consumer) -> None:
    heard: list[list[str]] = []
    consumer.announce()
    consumer.listen(heard.append, lambda: None)

    def is_heard() -> bool:
        broker.request_cancel("worker-1", ["JOB-2026-00001", "JOB-2026-00002"])
        return bool(heard)

    broker.request_cancel("worker-2", ["JOB-2026-00003"])  # nobody listens there
    wait_until(is_heard, 30, "the hint")
    assert heard[0] == ["JOB-2026-00001", "JOB-2026-00002"]


def test_our_own_workers_are_no_other_workers(broker: Broker) -> None:
    consumer = broker.consumer("web1-31066-8172e863")
    consumer.announce()
    assert not any(broker.other_workers(QUEUES).values())
    consumer.leave()


def lines() -> set[Any]:
    """The connections that this process has. A thread of another test may still close one."""
    return {(item.laddr, item.raddr) for item in psutil.Process().net_connections()}


def test_a_process_that_hung_up_has_no_line_until_its_next_call(bench: RedisBench | MemoryBench) -> None:
    bench.broker.disconnect()
    idle = lines()
    assert bench.broker.mark("mine")
    assert len(lines() - idle) == bench.lines
    bench.broker.disconnect()
    assert lines() <= idle
    assert bench.broker.installation() == "mine"


# -- a broker that does not answer -------------------------------------------------------------------------------------

CALLS: Final[dict[str, Callable[[Broker], object]]] = {
    "push": lambda broker: broker.push([ONE]),
    "look": lambda broker: broker.look(),
    "ring": lambda broker: broker.ring(),
    "lead": lambda broker: broker.lead("me", 1, rings=True),
    "stop_leading": lambda broker: broker.stop_leading("me"),
    "depths": lambda broker: broker.depths(),
    "call_back": lambda broker: broker.call_back(ONE.queue, 0),
    "waiting_ids": lambda broker: broker.waiting_ids(),
    "installation": lambda broker: broker.installation(),
    "mark": lambda broker: broker.mark("mine"),
    "request_cancel": lambda broker: broker.request_cancel("worker-1", ["JOB-2026-00001"]),
    "eviction_policy": lambda broker: broker.eviction_policy(),
    "foreign_ids": lambda broker: broker.foreign_ids(),
    "set_aside": lambda broker: broker.set_aside(),
    "other_workers": lambda broker: broker.other_workers(QUEUES),
}
CONSUMER_CALLS: Final[dict[str, Callable[[Consumer], object]]] = {
    "announce": lambda consumer: consumer.announce(),
    "listen": lambda consumer: consumer.listen(lambda _: None, lambda: None),
    "take": lambda consumer: consumer.take(1),
    "take_now": lambda consumer: consumer.take_now(1),
}


def test_every_call_says_that_the_broker_does_not_answer(bench: RedisBench | MemoryBench) -> None:
    methods = {name for name in vars(Broker) if not name.startswith("_")}
    assert set(CALLS) == methods - {"consumer", "failed_just_now", "answers_late", "disconnect"}
    bench.break_down()
    for name, call in CALLS.items():
        broker = bench.made_broker()
        with pytest.raises(BrokerUnavailable):
            raise AssertionError(f"{name} answered {call(broker)}")
        assert broker.failed_just_now()


def test_a_worker_is_told_that_the_broker_does_not_answer_where_it_must_know(
    bench: RedisBench | MemoryBench, consumer: Consumer
) -> None:
    consumer.announce()
    bench.break_down()
    for name, call in CONSUMER_CALLS.items():
        with pytest.raises(BrokerUnavailable):
            raise AssertionError(f"{name} answered {call(consumer)}")
    consumer.beat([RunningTicket(ONE, time.time())])
    consumer.push_again(TakenTicket([ONE], [FOREIGN]))
    consumer.handle_foreign([FOREIGN])
    consumer.wake()
    consumer.leave([ONE])
