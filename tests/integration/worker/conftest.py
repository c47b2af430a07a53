"""What the tests of a child's parts share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_jobs.worker.child_state import ChildState
from django_jobs.worker.options import WorkerOptions
from django_jobs.worker.shared_slots import SharedSlots
from tests.support.brokers import WORKER, MemoryBroker


@pytest.fixture
def state(broker: MemoryBroker) -> Iterator[ChildState]:
    slots = SharedSlots.create(1)
    yield ChildState(WORKER, WorkerOptions(), broker.consumer(WORKER), slots)
    slots.close()
