"""The thread that waits for rates of starts: exact to the moment, and silent where no type has one."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_jobs.models import EngineLease, JobType
from tests.support import verbs
from tests.support.brokers import MemoryBroker, pending_job
from tests.support.clocks import Clock
from tests.support.factories import make_job_type
from tests.support.tuning import Tuning
from tests.support.verbs import (
    FLOW_LOOK,
    FLOW_PASS_SECONDS,
    FLOW_USE_SECONDS,
    DutyThread,
    FlowClock,
    Interpose,
    Scheduler,
)
from tests.support.waiting import wait_until


def limited_type(field: str = "max_starts") -> JobType:
    fields: dict[str, Any] = {field: 5, "concurrency_key": "text"}
    return make_job_type(**fields)


def write(seconds: float) -> float:
    """Let the last pass have written that one may start more in so many seconds."""
    moment = (verbs.now() + dt.timedelta(seconds=seconds)).timestamp()
    EngineLease.objects.update_or_create(pk=verbs.DISPATCH_LEASE, defaults={"state": {"20": "7", "next_at": moment}})
    return moment


@pytest.fixture(autouse=True)
def _no_types() -> None:
    """Types that an installed app declares may have rates."""
    JobType.objects.all().delete()


@pytest.fixture
def passes(interpose: Interpose) -> list[float]:
    """When passes were made; none of them does anything."""
    made: list[float] = []

    def make() -> int:
        made.append(time.monotonic())
        return 3

    interpose("dispatch_patiently", make)
    return made


@pytest.fixture
def clock(tuning: Tuning) -> Clock:
    """The clock of this process; that of the database goes on by itself."""
    clock = Clock()
    tuning.set(flow_clock=clock)
    return clock


def test_where_no_type_has_a_rate_it_looks_once_in_some_seconds(passes: list[float], clock: Clock) -> None:
    make_job_type()
    write(-1.0)
    flow = FlowClock()
    assert flow.step() == (0, FLOW_USE_SECONDS)
    limited_type()
    assert (flow.step(), passes) == ((0, FLOW_USE_SECONDS), [])
    clock.now += FLOW_USE_SECONDS
    assert flow.step() == (3, FLOW_PASS_SECONDS)


@pytest.mark.parametrize("field", ["max_starts", "max_starts_per_key", "breaker_failures"])
def test_a_type_with_a_rate_or_a_breaker_has_it_look_at_what_was_written(
    passes: list[float], clock: Clock, field: str
) -> None:
    limited_type(field)
    flow = FlowClock()
    assert flow.step() == (0, FLOW_LOOK)
    write(-1.0)
    assert flow.step() == (3, FLOW_PASS_SECONDS)


def test_a_pass_is_made_once_for_each_moment_that_was_written(passes: list[float], clock: Clock) -> None:
    limited_type()
    flow = FlowClock()
    for _ in range(2):
        write(-1.0)
        assert flow.step() == (3, FLOW_PASS_SECONDS)
        clock.now += FLOW_PASS_SECONDS
        assert flow.step() == (0, FLOW_LOOK)
    assert len(passes) == 2


def test_it_waits_until_the_moment_that_was_written(passes: list[float], clock: Clock, tuning: Tuning) -> None:
    tuning.set(flow_look_seconds=100.0)
    limited_type()
    flow = FlowClock()
    write(80.0)
    done, wait = flow.step()
    assert done == 0
    assert 0 < wait <= 80.001  # SQLite's clock counts milliseconds
    write(1_000.0)
    assert flow.step() == (0, 100.0)


def test_there_are_no_more_passes_than_one_in_twenty_milliseconds(passes: list[float], clock: Clock) -> None:
    limited_type()
    flow = FlowClock()
    write(-1.0)
    flow.step()
    write(-1.0)
    done, wait = flow.step()
    assert done == 0
    assert wait == pytest.approx(FLOW_PASS_SECONDS)
    clock.now += wait
    assert flow.step() == (3, FLOW_PASS_SECONDS)


@pytest.fixture
def thread() -> Iterator[Callable[[Callable[[], bool]], DutyThread]]:
    begun: list[DutyThread] = []

    def start(leads: Callable[[], bool]) -> DutyThread:
        begun.append(DutyThread("passes", FlowClock().step, leads, lambda _, duty: duty()))
        begun[-1].start()
        return begun[-1]

    yield start
    for item in begun:
        item.stop()
        item.join(30.0)


@pytest.mark.django_db(transaction=True)
def test_the_thread_makes_passes_while_it_leads_and_not_before(
    passes: list[float], thread: Callable[[Callable[[], bool]], DutyThread]
) -> None:
    limited_type()
    write(-1.0)
    leads = threading.Event()
    asked = threading.Semaphore(0)

    def is_leading() -> bool:
        asked.release()
        return leads.is_set()

    thread(is_leading)
    assert asked.acquire(timeout=30)
    assert asked.acquire(timeout=30)  # it looks again, so the first look is over
    assert passes == []
    leads.set()
    wait_until(lambda: passes, 30.0, "a pass")


@pytest.mark.django_db(transaction=True)
def test_the_thread_of_a_scheduler_dispatches_what_waits_unless_the_broker_is_anothers(
    broker: MemoryBroker, interpose: Interpose, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SCHEDULER_INTERVAL": 0.05}
    limited_type()
    for verb in ("dispatch_new", "wake", "condition_at_insert"):
        interpose(verb, lambda *_: None)
    leader, stop, dispatch = Scheduler("one"), threading.Event(), verbs.dispatch_patiently
    rests, drop = list[str](), verbs.drop_connections

    def drop_and_tell() -> None:
        drop()
        rests.append(threading.current_thread().name)

    interpose("drop_connections", drop_and_tell)  # of a leader's threads, only the one that may not dispatch does so

    def dispatch_unless_in_its_ticks(*args: Any) -> int:
        return 0 if threading.current_thread() is loop else dispatch(*args)

    interpose("dispatch_patiently", dispatch_unless_in_its_ticks)

    def run() -> None:
        leader.run(stop)
        drop()

    loop = threading.Thread(target=run, daemon=True)
    job = pending_job()
    broker.marker = "somebody else"
    leader.tick()
    write(-1.0)
    loop.start()
    try:
        wait_until(lambda: len(rests) > 1 or broker.pks(), 30.0, "two looks of the thread")
        assert broker.pks() == []
        broker.marker = verbs.installation_id()
        wait_until(lambda: broker.pks() == [job.pk], 30.0, "a ticket")
    finally:
        stop.set()
        loop.join(30)
    assert not loop.is_alive()
