"""Where handlers run: whatever goes wrong there, the attempt ends as something, and its place is free again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper

from django_jobs.engine.execution import outcomes
from django_jobs.exceptions import JobCanceled
from django_jobs.models import Job
from django_jobs.worker import slots
from django_jobs.worker.child_state import ChildState
from django_jobs.worker.options import WorkerOptions
from django_jobs.worker.shared_slots import SharedSlots
from django_jobs.worker.slots import ThreadSlots, make_slots
from tests.support.attempts import raising
from tests.support.brokers import WORKER, MemoryBroker, reread, running_job

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
    # Whoever looks at a worker's log is to see a mistake that ended a thread.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]


class Pauses(threading.Event):
    """An event that never comes; whoever waits for it has waited."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        return False


class Child:
    """A worker child, as far as its slots see it."""

    def __init__(self, threads: int, broker: MemoryBroker) -> None:
        options = WorkerOptions(threads=threads)
        self.state = ChildState(WORKER, options, broker.consumer(WORKER), SharedSlots.create(threads))
        self.pauses = self.state.stopping = Pauses()
        self.slots = make_slots(self.state)

    def run(self) -> Job:
        """A job in a slot, to its end."""
        job, claimed = running_job()
        self.state.batch.put([claimed])
        self.slots.run_batch()
        self.slots.wait()
        self.state.settle()
        return reread(job)

    def is_idle(self) -> bool:
        state = self.state
        return not state.running and not state.shared_slots.occupied() and state.batch.is_empty()


@pytest.fixture
def make_child(broker: MemoryBroker) -> Iterator[Callable[[int], Child]]:
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGALRM)}
    made: list[Child] = []

    def make(threads: int) -> Child:
        made.append(Child(threads, broker))
        return made[-1]

    yield make
    for child in made:
        child.state.shared_slots.close()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(params=[1, 2], ids=["main thread", "threads"])
def child(make_child: Callable[[int], Child], request: pytest.FixtureRequest) -> Child:
    return make_child(request.param)


@pytest.fixture
def threaded(make_child: Callable[[int], Child]) -> Child:
    return make_child(2)


def is_free(child: Child) -> bool:
    """Whether all places of a child with threads can be taken."""
    return child.slots.room(5) == 2


def test_a_handler_runs_and_its_slot_is_free_again(child: Child) -> None:
    assert child.run().status == "Completed"
    assert child.is_idle()


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("a mistake of ours"), "Failed"), (JobCanceled(), "Canceled")], ids=repr
)
def test_what_strikes_outside_the_handler_is_an_end_too(
    child: Child, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: str
) -> None:
    monkeypatch.setattr(slots, "run", lambda *arguments: raising(error)(None))
    assert child.run().status == status
    assert child.is_idle()


def test_a_job_that_the_shared_slots_refuse_leaves_its_slot_free(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child.state.shared_slots, "begin", lambda *arguments: raising(ValueError())(None))
    assert child.run().status == "Failed"
    assert child.is_idle()


def test_an_interruption_that_kept_the_handlers_end_from_being_noted_is_the_last(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def run(claimed: Any, context: Any) -> Any:
        interrupter = context._runner.interrupter
        way_in = interrupter.interruptible()
        way_in.__enter__()
        interrupter.want(JobCanceled)
        seen.extend([interrupter, way_in])
        raise JobCanceled

    monkeypatch.setattr(slots, "run", run)
    assert child.run().status == "Canceled"
    seen[0].check()


@pytest.mark.parametrize("what", ["shown.forget", "settler.settle"])
def test_a_thread_that_a_mistake_ends_leaves_its_slot_free_and_its_outcome_known(
    threaded: Child, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    _, claimed = running_job()
    state, (part, _, name) = threaded.state, what.partition(".")
    ends: list[Any] = []
    ended = state.ended

    def take_over(outcome: outcomes.Outcome) -> None:
        ends.append(outcome)
        ended(outcome)

    monkeypatch.setattr(state, "ended", take_over)
    monkeypatch.setattr(getattr(state, part), name, lambda _: raising(ValueError("a mistake of ours"))(None))
    threaded.state.batch.put([claimed])
    threaded.slots.run_batch()
    threaded.slots.wait()
    assert threaded.is_idle()
    assert is_free(threaded)
    assert [type(outcome) for outcome in ends] == [outcomes.Returned]


def test_a_connection_that_cannot_be_closed_does_not_keep_a_slot(
    threaded: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_close = BaseDatabaseWrapper.close

    def close(connection: BaseDatabaseWrapper) -> None:
        really_close(connection)
        raise RuntimeError("The pool is closed")

    with monkeypatch.context() as patch:
        patch.setattr(BaseDatabaseWrapper, "close", close)
        assert threaded.run().status == "Completed"
    assert threaded.is_idle()
    assert is_free(threaded)


@pytest.mark.parametrize("refused", ["the timer's", "the handler's"])
def test_a_process_that_may_have_no_more_threads_hands_its_jobs_back_and_pauses(
    threaded: Child, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    really_start = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if isinstance(thread, threading.Timer) == (refused == "the timer's"):
            raise RuntimeError("can't start new thread")
        really_start(thread)

    (first, one), (second, two) = running_job(), running_job()
    threaded.state.batch.put([one, two])
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        threaded.slots.run_batch()
    threaded.slots.wait()
    threaded.state.settle()
    for job in (reread(first), reread(second)):
        assert (job.status, job.retry_count) == ("Queued", 0)
        assert "can't start new thread" in job.history.latest("pk").message
    assert threaded.is_idle()

    assert threaded.slots.room(5) == 0
    threaded.slots.wait_for_room()
    (pause,) = threaded.pauses.seconds
    assert pause is not None
    assert 0 < pause <= slots.PAUSE_SECONDS


def test_after_the_pause_threads_are_tried_again(threaded: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: 1.0)
    monkeypatch.setattr(slots, "time", clock)
    assert isinstance(threaded.slots, ThreadSlots)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", raising(RuntimeError("can't start new thread")))
        threaded.state.batch.put([running_job()[1]])
        threaded.slots.run_batch()
    clock.monotonic = lambda: 1.0 + slots.PAUSE_SECONDS
    assert is_free(threaded)
    assert threaded.run().status == "Completed"
