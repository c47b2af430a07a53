"""Where handlers run: whatever goes wrong there, the attempt ends as something, and its place is free again."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone, translation

from django_jobs import cancel_job
from django_jobs.exceptions import JobCanceled, PermanentError
from django_jobs.models import Job
from tests.support import verbs
from tests.support.attempts import raising
from tests.support.brokers import WORKER, MemoryBroker, reread, running_job
from tests.support.tuning import Tuning
from tests.support.verbs import ChildState, Interpose, SharedSlots, ThreadSlots, WorkerOptions, outcomes
from tests.support.waiting import wait_until

Reasons = Callable[[Job], list[str]]

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
        self.state = ChildState(WORKER, options, broker.consumer(WORKER), SharedSlots.create(options.slots))
        self.pauses = self.state.stopping = Pauses()
        self.slots = verbs.make_slots(self.state)

    def run(self, handler: Callable[[Any], Any] | None = None) -> Job:
        """A job in a slot, to its end. It finds the thread of the last one idle."""
        threads = getattr(self.slots, "_threads", [])
        wait_until(lambda: self.state.in_hand.idle == len(threads), 30, "idle threads")
        job, claimed = running_job()
        claimed.handler = handler or claimed.handler
        self.state.in_hand.put([claimed])
        self.slots.run_batch()
        self.slots.wait()
        self.state.settle()
        return reread(job)

    def is_idle(self) -> bool:
        state = self.state
        return not state.running.interrupters() and not state.shared_slots.occupied() and state.in_hand.is_empty()


@pytest.fixture
def make_child(broker: MemoryBroker) -> Iterator[Callable[[int], Child]]:
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGALRM)}
    made: list[Child] = []

    def make(threads: int) -> Child:
        made.append(Child(threads, broker))
        return made[-1]

    yield make
    for child in made:
        child.slots.close()
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
    return not child.state.in_hand.busy() and child.slots.room() >= 2


def test_a_handler_runs_and_its_slot_is_free_again(child: Child) -> None:
    assert child.run().status == "Completed"
    assert child.is_idle()


def test_progress_that_nobody_has_written_yet_is_stored_with_the_end(child: Child) -> None:
    def fail_half_way(context: Any) -> None:
        context.update_progress(50, "half")
        raise PermanentError("it failed")

    job = child.run(fail_half_way)
    assert (job.status, job.progress, job.progress_message) == ("Dead Letter", 50, "half")


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("a mistake of ours"), "Failed"), (JobCanceled(), "Canceled")], ids=repr
)
def test_what_strikes_outside_the_handler_is_an_end_too(
    child: Child, interpose: Interpose, error: BaseException, status: str
) -> None:
    interpose("run", lambda *arguments: raising(error)(None))
    assert child.run().status == status
    assert child.is_idle()


def test_a_job_that_the_shared_slots_refuse_leaves_its_slot_free(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child.state.shared_slots, "begin", lambda *arguments: raising(ValueError())(None))
    assert child.run().status == "Failed"
    assert child.is_idle()


def test_an_interruption_that_kept_the_handlers_end_from_being_noted_is_the_last(
    child: Child, interpose: Interpose
) -> None:
    seen: list[Any] = []

    def run(claimed: Any, context: Any) -> Any:
        interrupter = context._runner
        way_in = interrupter.interruptible()
        way_in.__enter__()
        interrupter.want(JobCanceled)
        seen.extend([interrupter, way_in])
        raise JobCanceled

    interpose("run", run)
    assert child.run().status == "Canceled"
    seen[0].check()


@pytest.mark.parametrize("what", ["prefetch.ran", "settler.settle"])
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
    monkeypatch.setattr(getattr(state, part), name, lambda *_: raising(ValueError("a mistake of ours"))(None))
    threaded.state.in_hand.put([claimed])
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


def test_a_process_that_may_have_no_more_threads_hands_its_jobs_back_and_pauses(
    threaded: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, one), (second, two) = running_job(), running_job()
    threaded.state.in_hand.put([one, two])
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", raising(RuntimeError("can't start new thread")))
        threaded.slots.run_batch()
    threaded.slots.wait()
    threaded.state.settle()
    for job in (reread(first), reread(second)):
        assert (job.status, job.retry_count) == ("Queued", 0)
        assert "can't start new thread" in job.history.latest("pk").message
    assert threaded.is_idle()

    assert threaded.slots.room() == 0
    threaded.slots.wait_for_room()
    (pause,) = threaded.pauses.seconds
    assert pause is not None
    assert 0 < pause <= verbs.SLOT_PAUSE_SECONDS


def test_after_the_pause_threads_are_tried_again(
    threaded: Child, monkeypatch: pytest.MonkeyPatch, tuning: Tuning
) -> None:
    clock = SimpleNamespace(monotonic=lambda: 1.0)
    tuning.set(thread_slots_clock=clock)
    assert isinstance(threaded.slots, ThreadSlots)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", raising(RuntimeError("can't start new thread")))
        threaded.state.in_hand.put([running_job()[1]])
        threaded.slots.run_batch()
    clock.monotonic = lambda: 1.0 + verbs.SLOT_PAUSE_SECONDS
    assert is_free(threaded)
    assert threaded.run().status == "Completed"


def test_what_waited_until_its_lease_was_over_does_not_begin(child: Child, reasons: Reasons) -> None:
    job, claimed = running_job()
    claimed.handler = never
    claimed.claimed_at -= 31
    child.state.in_hand.put([claimed])
    child.slots.run_batch()
    child.slots.wait()
    child.state.settle()
    assert (reread(job).status, reread(job).retry_count) == ("Queued", 0)
    assert reasons(job)[-1] == "lease_over"
    assert (child.state.jobs_run, child.state.prefetch.ahead(10)) == (0, 0)  # nothing ran, and so not fast either


def test_what_was_revoked_does_not_begin(child: Child, reasons: Reasons) -> None:
    """The supervisor hands it back, and it may run elsewhere by then."""
    for handler in (never, never_async):
        job, claimed = running_job()
        claimed.handler = handler
        child.state.put([claimed])
        child.state.shared_slots.board.revoke(claimed.set_number)
        child.slots.run_batch()
        child.slots.wait()
        child.state.settle()
        assert (reread(job).status, reasons(job)[-1], child.state.jobs_run) == ("Queued", "held_up", 0)
        assert child.is_idle()


def test_what_waited_until_it_expired_does_not_begin_and_says_nothing_of_how_long_its_type_runs(
    child: Child, reasons: Reasons
) -> None:
    """Else more of a slow type would be claimed ahead, and a child that may run so many jobs would run fewer."""
    for handler in (never, never_async):
        job, claimed = running_job()
        claimed.handler = handler
        claimed.row = claimed.row._replace(starts_before=time.monotonic())
        child.state.in_hand.put([claimed])
        child.slots.run_batch()
        child.slots.wait()
        child.state.settle()
        assert reasons(job)[-1] == "expired"
        assert (child.state.jobs_run, child.state.prefetch.ahead(10)) == (0, 0)
        assert child.is_idle()


def test_what_is_canceled_while_it_waits_for_a_slot_does_not_begin(child: Child) -> None:
    for handler in (never, never_async):
        job, claimed = running_job()
        claimed.handler = handler
        child.state.in_hand.put([claimed])
        cancel_job(job.name)
        child.state.cancel([job.name, "no job", "JOB-2026-99999"])
        child.state.cancel(["JOB-2026-99998"])  # the first one stays canceled
        child.slots.run_batch()
        child.slots.wait()
        child.state.settle()
        assert (reread(job).status, reread(job).canceled_at is not None) == ("Canceled", True)
        assert child.state.jobs_run == 0
        assert child.is_idle()


def test_a_hint_of_the_broker_alone_keeps_nothing_from_beginning(child: Child) -> None:
    """The row says whether a job is canceled: anybody who may write to Redis could send the hint."""
    job, claimed = running_job()
    claimed.handler = lambda _: None
    child.state.in_hand.put([claimed])
    child.state.cancel([job.name])
    child.slots.run_batch()
    child.slots.wait()
    child.state.settle()
    assert reread(job).status == "Completed"


async def never_async(context: Any) -> None:
    never(context)


def never(context: Any) -> None:
    raise AssertionError("it has begun")


# -- threads that stay ----------------------------------------------------------------------------------------------


def raw_connection(seen: list[Any]) -> Callable[[Any], None]:
    """A handler that notes its thread, and the driver's connection with which it asked the database."""

    def handler(context: Any) -> None:
        Job.objects.exists()
        seen.append((threading.get_ident(), connection.connection))

    return handler


def test_the_next_job_runs_in_the_same_thread_on_the_same_connection(threaded: Child) -> None:
    seen: list[Any] = []
    for _ in range(3):
        assert threaded.run(raw_connection(seen)).status == "Completed"
    assert len(set(seen)) == 1
    assert seen[0][0] != threading.get_ident()


def test_whatever_a_handler_leaves_behind_the_next_one_finds_a_clean_slot(threaded: Child) -> None:
    seen: list[Any] = []

    def look(context: Any) -> None:
        own = (connection.in_atomic_block, connection.get_autocommit())
        seen.append((threading.get_ident(), translation.get_language(), timezone.get_current_timezone_name(), *own))

    def leave_traces(context: Any) -> None:
        look(context)
        translation.activate("de")
        timezone.activate("Asia/Tokyo")
        transaction.atomic().__enter__()
        Job.objects.exists()

    def fail_without_autocommit(context: Any) -> None:
        connection.set_autocommit(False)
        Job.objects.exists()
        raise SystemExit

    assert threaded.run(leave_traces).status == "Completed"
    threaded.run(look)
    assert threaded.run(fail_without_autocommit).status == "Failed"
    threaded.run(look)
    assert len(set(seen)) == 1
    assert seen[0][-2:] == (False, True)


def test_a_connection_that_broke_while_the_slot_rested_is_replaced(
    threaded: Child, monkeypatch: pytest.MonkeyPatch, tuning: Tuning
) -> None:
    tuning.set(rested_connection_seconds=0.0)
    asked: list[Any] = []

    def is_usable(item: BaseDatabaseWrapper) -> bool:
        asked.append(item.connection)
        return False

    seen: list[Any] = []
    threaded.run(raw_connection(seen))
    with monkeypatch.context() as patch:
        patch.setattr(type(verbs.database_connection()), "is_usable", is_usable)
        threaded.run(raw_connection(seen))
    assert asked == [seen[0][1]]
    assert seen[1] != seen[0]


def test_a_slot_that_rests_for_long_holds_no_connection(threaded: Child, interpose: Interpose, tuning: Tuning) -> None:
    tuning.set(idle_thread_seconds=0.05)
    closed, own = threading.Event(), threading.local()
    really_drop = verbs.drop_connections

    def drop() -> None:
        really_drop()
        if getattr(own, "is_slots", False):
            closed.set()

    def handler(context: Any) -> None:
        own.is_slots = True

    interpose("drop_connections", drop)
    threaded.run(handler)
    assert closed.wait(30)


def test_what_many_threads_ended_is_stored_in_sets(
    make_child: Callable[[int], Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    child, together = make_child(10), threading.Barrier(10)
    sizes: list[int] = []
    settle = child.state.settler.settle

    def count(ended: list[Any]) -> None:
        sizes.append(len(ended))
        settle(ended)

    monkeypatch.setattr(child.state.settler, "settle", count)

    def meet(context: Any) -> None:
        together.wait(30)

    jobs = [running_job() for _ in range(10)]
    for _, claimed in jobs:
        claimed.handler = meet
    with child.slots._commit._storing:  # type: ignore[union-attr]
        child.state.in_hand.put([claimed for _, claimed in jobs])
        child.slots.run_batch()
        child.state.in_hand.wait_until_idle()
    child.slots.wait()
    assert {reread(job).status for job, _ in jobs} == {"Completed"}
    assert max(sizes) >= 9


def test_an_error_of_the_database_that_lasts_is_told_to_the_main_thread(
    threaded: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threaded.state.settler, "settle", lambda _: raising(OperationalError("gone"))(None))
    _, claimed = running_job()
    threaded.state.in_hand.put([claimed])
    threaded.slots.run_batch()
    threaded.slots.wait()
    with pytest.raises(OperationalError, match="gone"):
        threaded.slots.store()


def test_new_tickets_are_taken_once_half_of_what_was_claimed_ahead_has_begun(threaded: Child) -> None:
    threaded.state.prefetch.ran("any", 0.0029)
    assert threaded.slots.room() == 2 + 2 * 10
    threaded.state.in_hand.put([running_job()[1] for _ in range(13)])
    threaded.state.in_hand.next()
    assert threaded.slots.room() == 0  # eleven of them wait for a slot that is not free
    threaded.state.in_hand.finish()
    assert threaded.slots.room() == 10
    threaded.state.in_hand.take_waiting()


def test_while_long_jobs_hold_all_slots_nothing_is_claimed_that_was_requeued(threaded: Child) -> None:
    batch = threaded.state.in_hand
    threaded.state.prefetch.ran("any", 0.0029)
    batch.put([running_job()[1] for _ in range(3)])
    batch.next()
    batch.next()
    assert threaded.slots.room() == 2 * 10 - 1
    assert len(batch.take_waiting(have_waited_too_long=True)) == 1
    assert threaded.slots.room() == 0
    batch.finish()
    assert threaded.slots.room() == 1 + 2 * 10


def test_of_jobs_of_unknown_length_one_a_thread_is_taken(threaded: Child) -> None:
    assert (threaded.slots.room(), threaded.state.fits(["new"] * 5)) == (2, 2)
