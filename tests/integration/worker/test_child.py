"""A whole child in the test's own process, on a broker that is not RQ's."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.ports import ForeignEntry
from django_jobs.models import JobType
from django_jobs.worker.child import Child
from django_jobs.worker.child_state import ChildState
from django_jobs.worker.options import WorkerOptions
from django_jobs.worker.shared_slots import SharedSlots
from tests.support.brokers import WORKER, MemoryBroker, pending_job, reread

pytestmark = pytest.mark.django_db(transaction=True)

FOREIGN = ForeignEntry("jobs-normal", "somebodys-job")


@pytest.fixture(params=[1, 2], ids=["main thread", "threads"])
def child(broker: MemoryBroker, request: pytest.FixtureRequest) -> Iterator[Child]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    slots = SharedSlots.create(request.param)
    options = WorkerOptions(burst=True, threads=request.param)
    yield Child(ChildState(WORKER, options, broker.consumer(WORKER), slots), os.getppid())
    slots.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_child_works_on_any_broker_with_the_ports_methods(child: Child, broker: MemoryBroker, kind: JobType) -> None:
    jobs = [pending_job(kind) for _ in range(30)]
    broker.add([(1, FOREIGN)])
    dispatcher.dispatch()

    child.run()

    assert {reread(job).status for job in jobs} == {"Completed"}
    assert (broker.tickets, broker.aside, broker.workers) == ([], [FOREIGN], {})
    assert child.state.jobs_run == 30


def test_a_child_that_ran_as_many_jobs_as_it_may_leaves_the_others(
    child: Child, broker: MemoryBroker, kind: JobType
) -> None:
    for _ in range(5):
        pending_job(kind)
    dispatcher.dispatch()
    object.__setattr__(child.state.options, "max_jobs", 3)

    child.run()

    assert (child.is_recycled, child.state.jobs_run, len(broker.tickets)) == (True, 3, 2)
