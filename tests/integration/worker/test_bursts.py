"""When a burst is over: not while its broker does not answer what there is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from django_jobs.exceptions import BrokerUnavailable
from tests.support import verbs
from tests.support.brokers import MemoryBroker, job_in, pending_job, reread
from tests.support.commands import DeadBroker
from tests.support.tuning import Tuning
from tests.support.verbs import (
    FOREIGN_BROKER,
    WORKERS_SUSPENDED,
    Child,
    ChildState,
    Claims,
    FailureTracker,
    Interpose,
    WorkerFailed,
    WorkerOptions,
)

WORKER = "worker-1"


class IdleChild(Child):
    """A child of a burst that finds no ticket."""

    def __init__(self, *queues: str) -> None:
        board = SimpleNamespace(get_on=lambda: None, enter=lambda _: None, is_quiet=False)
        shared: Any = SimpleNamespace(board=board)
        options = WorkerOptions(burst=True, queues=queues)
        self.state = ChildState(WORKER, options, MemoryBroker().consumer(WORKER, queues), shared)
        self.state.stopping = SimpleNamespace(wait=lambda _: None, is_set=lambda: False)  # type: ignore[assignment]
        #: How often it waited for one of its threads.
        self.waits = 0
        self.slots: Any = SimpleNamespace(
            room=lambda: 1,
            run_batch=lambda: None,
            store=lambda: None,
            wait=lambda: None,
            wait_for_room=self._wait,
        )
        self._failures = FailureTracker(is_burst=True)
        self.claims = Claims(self.state, lambda _: None)
        self._is_own_broker = True

    def _wait(self) -> None:
        self.waits += 1


def test_a_broker_that_does_not_answer_is_no_end_of_a_burst(broker: MemoryBroker) -> None:
    job, child = pending_job(), IdleChild()
    verbs.use_broker(DeadBroker())  # type: ignore[arg-type]
    assert child._round()
    with pytest.raises(BrokerUnavailable):
        verbs.dispatch_what_is_left()

    verbs.use_broker(broker)
    child._is_own_broker = True
    assert child._round()
    assert (reread(job).status, verbs.dispatch_what_is_left()) == ("Queued", True)


def test_a_burst_with_nothing_left_is_over(broker: MemoryBroker) -> None:
    assert not IdleChild()._round()
    assert not verbs.dispatch_what_is_left()


def test_a_burst_is_not_over_while_another_process_dispatches(
    broker: MemoryBroker, interpose: Interpose, tuning: Tuning
) -> None:
    broker.is_down = True
    pending_job()
    broker.is_down = False
    tuning.set(dispatch_pauses_seconds=(0.0,))
    interpose("fill_window", lambda *_: None)
    assert verbs.dispatch_what_is_left()


def test_a_burst_at_suspended_queues_says_so(broker: MemoryBroker) -> None:
    child = IdleChild()
    child.state.consumer = broker.consumer(WORKER)
    broker.is_suspended = True
    with pytest.raises(WorkerFailed) as failure:
        child._round()
    assert failure.value.code == WORKERS_SUSPENDED


def test_a_burst_waits_for_nothing_in_queues_that_it_does_not_serve(broker: MemoryBroker) -> None:
    job_in("Queued", priority="Low")
    assert not IdleChild("jobs-high")._round()
    assert IdleChild("jobs-high", "jobs-low")._round()


def test_a_burst_whose_threads_still_run_jobs_waits_for_what_these_may_submit(broker: MemoryBroker) -> None:
    child = IdleChild()
    child.state.in_hand.running = 1
    assert child._round()
    assert child.waits == 1


def test_a_burst_looks_again_after_the_end_of_a_job_that_may_have_submitted_more_than_it_saw(
    broker: MemoryBroker, interpose: Interpose
) -> None:
    child = IdleChild()
    child.state.in_hand.running = 1

    def look(queues: Any) -> bool:
        child.state.in_hand.running = 0  # after the look at the backlog
        return False

    interpose("dispatch_what_is_left", look)
    assert [bool(child._round()), bool(child._round())] == [True, False]


def test_a_burst_waits_a_moment_for_a_ticket_that_is_under_way(broker: MemoryBroker, tuning: Tuning) -> None:
    clock = SimpleNamespace(monotonic=lambda: 100.0)
    tuning.set(child_clock=clock)
    job_in("Queued")  # committed by another dispatcher, which has not pushed its ticket yet
    child = IdleChild()
    rounds = []
    for moment in (100.0, 100.9, 101.1):
        clock.monotonic = lambda moment=moment: moment
        rounds.append(bool(child._round()))
    assert rounds == [True, True, False]


def test_a_broker_that_answers_again_is_looked_at_anew(broker: MemoryBroker) -> None:
    child = IdleChild()
    verbs.use_broker(DeadBroker())  # type: ignore[arg-type]
    pending_job()
    assert child._round()

    broker.mark("somebody-else")
    verbs.use_broker(broker)
    with pytest.raises(WorkerFailed) as failure:
        child._round()
    assert failure.value.code == FOREIGN_BROKER
