"""What the tests of a child's parts share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.support.brokers import WORKER, MemoryBroker
from tests.support.tuning import Tuning
from tests.support.verbs import Child, ChildState, SharedSlots, WorkerOptions


@pytest.fixture
def state(broker: MemoryBroker) -> Iterator[ChildState]:
    slots = SharedSlots.create(1)
    yield ChildState(WORKER, WorkerOptions(), broker.consumer(WORKER), slots)
    slots.close()


@pytest.fixture(params=[1, 2], ids=["main thread", "threads"])
def child(broker: MemoryBroker, request: pytest.FixtureRequest, tuning: Tuning) -> Iterator[Child]:
    # However slow the machine is: no job counts as one behind which others wait, and none as one to be shown.
    tuning.set(requeue_seconds=600, shown_ticket_seconds=600)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    slots = SharedSlots.create(request.param)
    options = WorkerOptions(burst=True, threads=request.param)
    yield Child(ChildState(WORKER, options, broker.consumer(WORKER), slots), os.getppid())
    slots.close()
    for number, handler in before.items():
        signal.signal(number, handler)
