"""A whole child in the test's own process, on a broker that is not RQ's."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.execution import settle
from django_jobs.engine.ports import ForeignEntry, Taken
from django_jobs.models import JobType
from django_jobs.worker import housekeeper, published_tickets
from django_jobs.worker.child import Child
from django_jobs.worker.child_state import ChildState
from django_jobs.worker.interruption import Interrupter
from django_jobs.worker.options import WorkerOptions
from django_jobs.worker.shared_slots import SharedSlots
from tests.support.brokers import WORKER, MemoryBroker, pending_job, reread, returned, running_job

pytestmark = pytest.mark.django_db(transaction=True)

FOREIGN = ForeignEntry("jobs-normal", "somebodys-job")


@pytest.fixture(params=[1, 2], ids=["main thread", "threads"])
def child(broker: MemoryBroker, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    # However slow the machine is: no job counts as one behind which others wait, and none as one to be shown.
    monkeypatch.setattr(housekeeper, "HAND_BACK_SECONDS", 600)
    monkeypatch.setattr(published_tickets, "SHOWN_AFTER_SECONDS", 600)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    slots = SharedSlots.create(request.param)
    options = WorkerOptions(burst=True, threads=request.param)
    yield Child(ChildState(WORKER, options, broker.consumer(WORKER), slots), os.getppid())
    slots.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_child_works_on_any_broker_with_the_ports_methods(child: Child, broker: MemoryBroker, kind: JobType) -> None:
    # No more than have tickets from the beginning: a burst may end while another thread dispatches.
    jobs = [pending_job(kind) for _ in range(6)]
    broker.add([(1, FOREIGN)])
    dispatcher.dispatch()
    assert broker.pks() == [job.pk for job in jobs]

    child.run()

    assert len(child._done) < len(jobs)  # those of earlier rounds were handed over meanwhile
    assert sorted(ticket.pk for ticket in broker.done) == [job.pk for job in jobs]
    assert {reread(job).status for job in jobs} == {"Completed"}
    assert (broker.tickets, broker.aside, broker.workers) == ([], [FOREIGN], {})


@pytest.mark.parametrize("child", [1], indirect=True)  # threads start jobs before others have ended
def test_a_child_that_ran_as_many_jobs_as_it_may_leaves_the_others(
    child: Child, broker: MemoryBroker, kind: JobType
) -> None:
    for _ in range(5):
        pending_job(kind)
    dispatcher.dispatch()
    object.__setattr__(child.state.options, "max_jobs", 3)

    child.run()

    assert (child.is_recycled, child.state.jobs_run, len(broker.tickets)) == (True, 3, 2)


def test_tickets_that_come_to_a_child_that_is_to_stop_are_put_back(
    child: Child, broker: MemoryBroker, kind: JobType, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [pending_job(kind) for _ in range(3)]
    dispatcher.dispatch()
    take = child.state.consumer.take_now

    def stop_meanwhile(count: int, done: Any) -> Taken:
        child.state.stop()
        return take(count, done)

    monkeypatch.setattr(child.state.consumer, "take_now", stop_meanwhile)
    child.run()

    assert broker.pks() == [job.pk for job in jobs]
    assert {reread(job).status for job in jobs} == {"Queued"}


def test_a_stop_ends_a_wait_for_tickets(broker: MemoryBroker) -> None:
    state = ChildState(WORKER, WorkerOptions(), broker.consumer(WORKER), SharedSlots.create(1))
    timer = threading.Timer(0.1, state.stop)
    timer.start()
    began = time.monotonic()
    assert len(state.consumer.take(1)) == 0
    assert time.monotonic() - began < 1.5
    timer.join()
    state.shared_slots.close()


def test_a_child_knows_every_attempt_wherever_it_is_on_its_way(child: Child) -> None:
    state, seen = child.state, set()
    claims = [running_job()[1] for _ in range(3)]
    state.doubtful = [claims[0].ticket]
    state.batch.put([claims[1]])
    state.running.add(claims[2], Interrupter(on_main_thread=False))
    settling = returned(running_job()[1])

    def look(*_: Any) -> list[Any]:
        seen.update(state.known_attempts())
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settle, "settle", look)
        state.settler.settle([settling])
    assert seen == {(item.pk, item.attempt) for item in [*claims, settling.claimed]}
