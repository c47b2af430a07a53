from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest

from django_jobs.exceptions import BrokerUnavailable
from tests.support import verbs
from tests.support.brokers import MemoryBroker
from tests.support.tuning import Tuning
from tests.support.verbs import Queue, QueueLook, Ticket


class CrowdedBroker(MemoryBroker):
    """Keeps every ticket that was ever pushed, in order; for many threads."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self.pushed: list[str] = []
        self.is_full = False

    def push(self, tickets: Sequence[Ticket], **options: Any) -> None:
        with self._lock:
            super().push(tickets, **options)
            self.pushed += [ticket.id for ticket in tickets]

    def failed_just_now(self) -> bool:
        return self.is_full or super().failed_just_now()

    def look(self) -> QueueLook:
        if self.is_full:
            raise BrokerUnavailable("the test says that it is full")
        return super().look()

    def depths(self) -> dict[Queue, int]:
        with self._lock:
            return super().depths()

    def request_cancel(self, worker_name: str, job_ids: Iterable[str]) -> None:
        with self._lock:
            super().request_cancel(worker_name, job_ids)


@pytest.fixture(autouse=True)
def _long_crowds(tuning: Tuning) -> None:
    """Let a worker that a test announced live until the end of its crowd, however long that takes."""
    tuning.set(worker_fresh_seconds=3_600)


@pytest.fixture
def broker() -> Iterator[CrowdedBroker]:
    crowded = CrowdedBroker()
    verbs.use_broker(crowded)
    yield crowded
    verbs.use_broker(None)


@pytest.fixture
def full_broker(broker: CrowdedBroker) -> CrowdedBroker:
    """One that never has room, so that submitting dispatches nothing."""
    broker.is_full = True
    return broker
