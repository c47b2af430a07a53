"""When a burst is over: not while its broker does not answer what there is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.ports import use_broker
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.worker.child import Child
from django_jobs.worker.child_state import ChildState
from django_jobs.worker.exit_codes import FOREIGN_BROKER, FailureTracker, WorkerFailed
from django_jobs.worker.options import WorkerOptions
from tests.support.brokers import MemoryBroker, pending_job, reread
from tests.support.commands import DeadBroker

WORKER = "worker-1"


class IdleChild(Child):
    """A child of a burst that finds no ticket."""

    def __init__(self) -> None:
        slots: Any = SimpleNamespace()
        self.state = ChildState(WORKER, WorkerOptions(burst=True), MemoryBroker().consumer(WORKER), slots)
        self.state.stopping = SimpleNamespace(wait=lambda _: None, is_set=lambda: False)  # type: ignore[assignment]
        self.slots: Any = SimpleNamespace(room=lambda count: count, run_batch=lambda: None)
        self._failures = FailureTracker(is_burst=True)
        self._done = []
        self._is_own_broker = True


def test_a_broker_that_does_not_answer_is_no_end_of_a_burst(broker: MemoryBroker) -> None:
    job, child = pending_job(), IdleChild()
    use_broker(DeadBroker())  # type: ignore[arg-type]
    assert child._round()
    with pytest.raises(BrokerUnavailable):
        dispatcher.anything_queued()

    use_broker(broker)
    child._is_own_broker = True
    assert child._round()
    assert (reread(job).status, dispatcher.anything_queued()) == ("Queued", True)


def test_a_burst_with_nothing_left_is_over(broker: MemoryBroker) -> None:
    assert not IdleChild()._round()
    assert not dispatcher.anything_queued()


def test_a_broker_that_answers_again_is_looked_at_anew(broker: MemoryBroker) -> None:
    child = IdleChild()
    use_broker(DeadBroker())  # type: ignore[arg-type]
    pending_job()
    assert child._round()

    broker.mark("somebody-else")
    use_broker(broker)
    with pytest.raises(WorkerFailed) as failure:
        child._round()
    assert failure.value.code == FOREIGN_BROKER
