"""Coroutines run many at a time in one thread, and none of them disturbs another, or what follows it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, connections, transaction
from django.utils import translation

from django_jobs import acreate_batch
from django_jobs.exceptions import AttemptLost, JobCanceled, JobTimedOut, WorkerStopping
from django_jobs.models import Batch, Job
from tests.support import verbs
from tests.support.brokers import WORKER, MemoryBroker, reread, running_job
from tests.support.tuning import Tuning
from tests.support.verbs import (
    ChildState,
    Housekeeper,
    Interpose,
    Interrupter,
    LoopWatch,
    OtherThreads,
    SharedSlots,
    StopRelay,
    SyncThread,
    WorkerOptions,
)
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

Handler = Callable[[Any], Any]


class Child:
    """A worker child with four slots, as far as these see it."""

    def __init__(self, broker: MemoryBroker) -> None:
        options = WorkerOptions(threads=4)
        self.state = ChildState(WORKER, options, broker.consumer(WORKER), SharedSlots.create(options.slots))
        self.slots = verbs.make_slots(self.state)
        self.relay = StopRelay(self.state, supervisor=1)

    def start(self, *handlers: Handler) -> list[Job]:
        """One job for each handler, begun as soon as there is a slot."""
        jobs = []
        for handler in handlers:
            job, claimed = running_job()
            claimed.handler = handler
            jobs.append(job)
            self.state.put([claimed])
        self.slots.run_batch()
        return jobs

    def finish(self, jobs: list[Job]) -> list[Job]:
        """The jobs once they have ended."""
        self.slots.wait()
        return [reread(job) for job in jobs]

    def run(self, *handlers: Handler) -> list[str]:
        """The statuses of jobs with these handlers, at their ends."""
        return [job.status for job in self.finish(self.start(*handlers))]

    def interrupt(self, kind: type[BaseException]) -> None:
        """Ask each running handler to stop."""
        for interrupter in self.state.running.interrupters().values():
            interrupter.request(kind)  # type: ignore[arg-type]


@pytest.fixture
def child(broker: MemoryBroker, tuning: Tuning) -> Iterator[Child]:
    # However slow the machine is: nothing is left behind that ends at all, but in tests of that.
    tuning.set(hung_call_seconds=60.0, left_behind_task_seconds=60.0)
    before = signal.getsignal(signal.SIGUSR1)
    made = Child(broker)
    yield made
    made.slots.close()
    made.state.shared_slots.close()
    signal.signal(signal.SIGUSR1, before)


async def come_true(is_true: Callable[[], bool]) -> None:
    """Wait for something that another thread, or another coroutine, does."""
    while not is_true():  # noqa: ASYNC110  (no event of asyncio's comes from another thread)
        await asyncio.sleep(0.001)


def test_coroutines_wait_for_each_other_in_one_thread(child: Child) -> None:
    there: list[int] = []

    async def meet(context: Any) -> None:
        there.append(threading.get_ident())
        await come_true(lambda: len(there) >= 4)

    assert child.run(meet, meet, meet, meet, meet, meet) == ["Completed"] * 6
    assert len(set(there)) == 1
    assert not child.slots._loop._tasks  # type: ignore[union-attr]
    assert child.state.in_hand.is_empty()
    assert not child.state.shared_slots.occupied()
    assert not child.state.running.interrupters()


def test_no_more_run_at_a_time_than_there_are_slots_whatever_they_are(child: Child) -> None:
    running: list[int] = []
    seen: list[int] = []

    async def wait_in_loop(context: Any) -> None:
        running.append(1)
        seen.append(len(running))
        await come_true(lambda: len(seen) >= 4)  # the first four are there together
        await asyncio.sleep(0.02)
        running.pop()

    def wait_in_thread(context: Any) -> None:
        running.append(1)
        seen.append(len(running))
        wait_until(lambda: len(seen) >= 4, 30, "four at a time")
        time.sleep(0.02)
        running.pop()

    assert set(child.run(*[wait_in_loop, wait_in_thread] * 6)) == {"Completed"}
    assert (len(seen), max(seen)) == (12, 4)


def test_the_end_of_a_coroutine_is_stored_at_once(child: Child) -> None:
    async def handler(context: Any) -> None:
        """Ends."""

    (job,) = child.start(handler)
    wait_until(lambda: reread(job).status == "Completed", 30, "its end")


def test_what_has_not_begun_or_has_ended_is_not_taken_for_running(child: Child) -> None:
    """Else it would pay for a neighbor that ends the process."""
    seen: list[list[int]] = []

    async def look(context: Any) -> None:
        seen.append([item.pk for item in child.state.shared_slots.occupied()])

    jobs = child.start(look, look, look, look)
    assert [job.status for job in child.finish(jobs)] == ["Completed"] * 4
    assert seen == [[job.pk] for job in jobs]
    assert child.state.shared_slots.ended() == {(job.pk, 1) for job in jobs}


def test_what_has_left_a_task_behind_is_taken_for_running(child: Child) -> None:
    """Since that may still end the process."""
    seen: list[int] = []

    async def go_on() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            seen.extend(item.pk for item in child.state.shared_slots.occupied())

    async def leave(context: Any) -> None:
        tasks.append(asyncio.create_task(go_on()))
        await asyncio.sleep(0)

    tasks: list[asyncio.Task[None]] = []
    (job,) = child.finish(child.start(leave))
    assert seen == [job.pk]


def test_each_knows_its_own_job_and_leaves_its_language_to_itself(child: Child) -> None:
    seen: list[tuple[str, str, str]] = []

    async def look(context: Any) -> None:
        for _ in range(3):
            claimed = verbs.current_job.get()
            seen.append((context.job_id, claimed.job_id if claimed else "", translation.get_language()))
            await asyncio.sleep(0)
        translation.activate("de")

    child.run(look, look)
    child.run(look)
    assert {(own, known) for own, known, _ in seen} == {(own, own) for own, _, _ in seen}
    assert len({language for _, _, language in seen}) == 1


@pytest.mark.parametrize(
    ("kind", "status"), [(JobCanceled, "Canceled"), (JobTimedOut, "Timed Out"), (AttemptLost, "Queued")]
)
def test_an_interruption_ends_one_at_its_await_and_no_other(
    child: Child, kind: type[BaseException], status: str
) -> None:
    waiting, go_on = threading.Event(), threading.Event()
    cleaned: list[str] = []

    async def wait(context: Any) -> None:
        waiting.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.append("cleaned")

    (job,) = child.start(wait)
    assert waiting.wait(30)
    child.interrupt(kind)
    wait_until(lambda: cleaned, 30, "the end of the handler")

    async def neighbor(context: Any) -> None:
        await come_true(go_on.is_set)

    others = child.start(neighbor)
    go_on.set()
    assert [item.status for item in child.finish([job, *others])] == [status, "Completed"]


@pytest.mark.parametrize(
    ("kind", "is_left"), [(WorkerStopping, True), (AttemptLost, True), (JobCanceled, False), (JobTimedOut, False)]
)
def test_a_batch_is_left_to_the_next_attempt_where_the_worker_stops_in_its_block(
    child: Child, kind: type[BaseException], is_left: bool
) -> None:
    waiting = threading.Event()

    async def fill(context: Any) -> None:
        async with await acreate_batch(context.organization):
            waiting.set()
            await asyncio.sleep(60)

    jobs = child.start(fill)
    assert waiting.wait(30)
    child.interrupt(kind)
    child.finish(jobs)
    assert (Batch.objects.get().canceled_at is None) is is_left


def test_an_interruption_ends_statements_only_where_the_coroutine_waits_for_a_call(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it asks the database while it ends is to be answered."""
    waiting, cleaned, ended = threading.Event(), threading.Event(), threading.Event()

    def end_statement(*_: Any) -> None:
        if not cleaned.is_set():
            ended.set()

    monkeypatch.setattr(type(verbs.store()), "end_statement", end_statement)

    async def stay(context: Any) -> None:
        await sync_to_async(Job.objects.count)()
        waiting.set()
        try:
            await asyncio.sleep(60)
        finally:
            await sync_to_async(ended.wait)(0.3)
            cleaned.set()

    jobs = child.start(stay)
    assert waiting.wait(30)
    child.interrupt(JobCanceled)
    child.finish(jobs)
    assert not ended.is_set()


def test_who_swallows_the_first_interruption_gets_another(child: Child, tuning: Tuning) -> None:
    tuning.set(interruption_repeat_seconds=0.05)
    waiting = threading.Event()

    async def stay(context: Any) -> None:
        waiting.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)

    jobs = child.start(stay)
    assert waiting.wait(30)
    child.interrupt(JobCanceled)

    def ended() -> bool:
        child.relay.tick()
        return not child.state.in_hand.busy()

    wait_until(ended, 30, "the end of the handler")
    assert child.finish(jobs)[0].status == "Canceled"


def test_a_shield_puts_an_interruption_off(child: Child) -> None:
    inside, asked = threading.Event(), threading.Event()
    done: list[str] = []

    async def pay(context: Any) -> None:
        with context.shielded():
            inside.set()
            await come_true(asked.is_set)
            await asyncio.sleep(0.01)
            done.append("paid")
        done.append("not reached")

    jobs = child.start(pay)
    assert inside.wait(30)
    child.interrupt(JobCanceled)
    asked.set()
    assert (child.finish(jobs)[0].status, done) == ("Canceled", ["paid"])


def test_a_cancellation_of_the_handlers_own_is_a_failure(child: Child) -> None:
    async def give_up(context: Any) -> None:
        raise asyncio.CancelledError

    assert child.run(give_up) == ["Failed"]


def test_a_handler_that_exits_ends_neither_the_loop_nor_a_neighbor(child: Child) -> None:
    async def leave(context: Any) -> None:
        await asyncio.sleep(0)
        raise SystemExit(3)

    async def stay(context: Any) -> None:
        await asyncio.sleep(0.05)

    assert child.run(stay, leave) == ["Completed", "Failed"]
    assert child.run(stay) == ["Completed"]


def test_a_task_that_a_handler_leaves_behind_is_canceled(child: Child) -> None:
    ends: list[str] = []

    async def linger() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ends.append("canceled")
            raise

    async def leave_it(context: Any) -> None:
        task = asyncio.create_task(linger())
        await asyncio.sleep(0)
        assert not task.done()

    assert child.run(leave_it) == ["Completed"]
    assert ends == ["canceled"]


def test_a_task_that_refuses_to_end_is_told_of_and_holds_nobody_up(
    child: Child, tuning: Tuning, caplog: pytest.LogCaptureFixture
) -> None:
    tuning.set(left_behind_task_seconds=0.01)
    go_on = threading.Event()

    async def refuse() -> None:
        while not go_on.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue

    kept: list[asyncio.Task[None]] = []

    async def leave_it(context: Any) -> None:
        kept.append(asyncio.create_task(refuse()))
        await asyncio.sleep(0)

    assert child.run(leave_it) == ["Completed"]
    assert "event=tasks_left_behind" in caplog.text
    go_on.set()
    wait_until(kept[0].done, 30, "the end of the task")


# -- what it calls in a thread ---------------------------------------------------------------------------------------


def raw() -> tuple[int, Any]:
    """This thread, and the driver's connection with which it asked the database."""
    Job.objects.exists()
    return threading.get_ident(), connection.connection


def test_the_next_coroutine_in_a_slot_finds_its_thread_and_a_clean_connection(child: Child) -> None:
    seen: list[Any] = []

    def leave_open() -> None:
        transaction.atomic().__enter__()

    async def ask(context: Any) -> None:
        await Job.objects.aexists()
        seen.append(await sync_to_async(raw)())
        seen.append(await sync_to_async(lambda: connection.in_atomic_block)())

    async def leave_a_transaction(context: Any) -> None:
        await ask(context)
        await sync_to_async(leave_open)()

    assert child.run(ask) == child.run(leave_a_transaction) == child.run(ask) == ["Completed"]
    (first, _), (second, _), (third, _) = seen[0], seen[2], seen[4]
    assert first == second == third
    assert seen[0] == seen[2]
    assert seen[1::2] == [False, False, False]


def test_the_statements_of_an_interrupted_coroutine_are_known_though_its_connection_is_an_old_one(child: Child) -> None:
    seen: list[Any] = []
    waiting = threading.Event()

    async def ask(context: Any) -> None:
        seen.append((await sync_to_async(raw)())[1])

    async def wait(context: Any) -> None:
        await ask(context)
        waiting.set()
        await asyncio.sleep(60)

    child.run(ask)
    jobs = child.start(wait)
    assert waiting.wait(30)
    (interrupter,) = child.state.running.interrupters().values()
    assert seen[0] is seen[1]
    assert seen[1] in [item.connection for item in interrupter.connections]
    child.interrupt(JobCanceled)
    child.finish(jobs)
    child.run(ask)
    assert seen[2] is not seen[1]  # what may still be hit by the end of a statement is nobody else's


def test_an_interrupted_coroutine_ends_after_what_it_called_in_its_thread(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its job could begin again beside it."""
    inside, go_on, ends = threading.Event(), threading.Event(), []

    def call() -> None:
        inside.set()
        go_on.wait(60)
        ends.append("call")

    async def call_it(context: Any) -> None:
        await sync_to_async(call)()

    (job,) = child.start(call_it)
    assert inside.wait(30)
    ended = child.state.ended

    def note(outcome: Any) -> None:
        ends.append("attempt")
        ended(outcome)

    monkeypatch.setattr(child.state, "ended", note)
    child.interrupt(JobCanceled)
    (interrupter,) = child.state.running.interrupters().values()
    assert interrupter._due() is JobCanceled  # a statement can still be ended from outside
    go_on.set()
    assert (child.finish([job])[0].status, ends) == ("Canceled", ["call", "attempt"])


def test_a_slot_whose_thread_hangs_gets_another(child: Child, tuning: Tuning) -> None:
    tuning.set(hung_call_seconds=0.05)
    hangs, go_on, seen = threading.Event(), threading.Event(), []

    def hang() -> None:
        seen.append(threading.get_ident())
        hangs.set()
        go_on.wait(60)

    async def call_it(context: Any) -> None:
        await sync_to_async(hang)()

    async def ask(context: Any) -> None:
        seen.append(await sync_to_async(threading.get_ident)())

    jobs = child.start(call_it)
    assert hangs.wait(30)
    child.interrupt(JobCanceled)
    assert child.finish(jobs)[0].status == "Canceled"
    assert child.run(ask) == ["Completed"]
    assert seen[0] != seen[1]
    go_on.set()


def test_a_call_for_which_there_is_no_thread_fails_its_job_and_runs_in_no_others_name(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    really_start = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name.startswith("sync_to_async"):
            raise RuntimeError("can't start new thread")
        really_start(thread)

    def calling(name: str) -> Handler:
        async def handler(context: Any) -> None:
            await sync_to_async(calls.append)(name)

        return handler

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert child.run(calling("refused")) == ["Failed"]
    assert child.run(calling("run")) == ["Completed"]
    assert calls == ["run"]


def test_a_thread_that_nobody_needs_closes_its_connections(child: Child, interpose: Interpose, tuning: Tuning) -> None:
    tuning.set(idle_thread_seconds=0.01)
    dropped: list[int] = []
    really_drop = verbs.drop_connections

    def drop() -> None:
        dropped.append(threading.get_ident())
        really_drop()

    interpose("drop_connections", drop)
    seen: list[int] = []

    async def ask(context: Any) -> None:
        seen.append((await sync_to_async(raw)())[0])

    child.run(ask)
    wait_until(lambda: seen[0] in dropped, 30, "the end of its connections")


# -- what blocks the loop --------------------------------------------------------------------------------------------


def test_a_coroutine_that_blocks_the_loop_is_named_and_what_waits_behind_it_goes_back(
    child: Child, tuning: Tuning, caplog: pytest.LogCaptureFixture
) -> None:
    tuning.set(loop_blocked_seconds=0.05)
    blocked, go_on = threading.Event(), threading.Event()

    async def block_the_loop(context: Any) -> None:
        blocked.set()
        go_on.wait(60)

    async def nothing(context: Any) -> None:
        """It could begin at once."""

    (guilty,) = child.start(block_the_loop)
    assert blocked.wait(30)
    (innocent,) = child.start(nothing)
    duties = Housekeeper(child.state, supervisor=1)

    def is_told() -> bool:
        child.relay.tick()
        duties._requeue_waiting()
        return "event=loop_blocked" in caplog.text and not child.state.in_hand.waiting_count()

    with caplog.at_level(logging.ERROR):
        wait_until(is_told, 30, "word of the blocked loop")
    assert "block_the_loop" in caplog.text
    assert (reread(innocent).status, reread(innocent).retry_count) == ("Queued", 0)
    child.relay.tick()
    assert caplog.text.count("event=loop_blocked") == 1
    go_on.set()
    assert child.finish([guilty])[0].status == "Completed"


# -- what a handler leaves behind is over before its attempt is ------------------------------------------------------


def noting_the_end(child: Child, monkeypatch: pytest.MonkeyPatch, ends: list[str]) -> None:
    """Have the end of an attempt noted, at the moment at which it is handed over."""
    ended = child.state.ended

    def note(outcome: Any) -> None:
        ends.append("attempt")
        ended(outcome)

    monkeypatch.setattr(child.state, "ended", note)


def test_an_interrupted_coroutine_ends_after_all_its_calls_though_the_last_one_never_began(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, go_on, ends = threading.Event(), threading.Event(), []

    def call() -> None:
        inside.set()
        go_on.wait(60)
        ends.append("call")

    async def call_twice(context: Any) -> None:
        await asyncio.gather(sync_to_async(call)(), sync_to_async(call)())

    (job,) = child.start(call_twice)
    assert inside.wait(30)
    noting_the_end(child, monkeypatch, ends)
    child.interrupt(JobCanceled)
    threading.Timer(0.3, go_on.set).start()
    assert (child.finish([job])[0].status, ends) == ("Canceled", ["call", "attempt"])


def test_a_slot_whose_thread_hangs_gets_another_though_a_later_call_never_began(child: Child, tuning: Tuning) -> None:
    tuning.set(hung_call_seconds=0.05)
    hangs, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        go_on.wait(60)

    async def call_twice(context: Any) -> None:
        await asyncio.gather(sync_to_async(hang)(), sync_to_async(hang)())

    async def ask(context: Any) -> None:
        await asyncio.wait_for(sync_to_async(threading.get_ident)(), 30)

    jobs = child.start(call_twice)
    assert hangs.wait(30)
    child.interrupt(JobCanceled)
    assert child.finish(jobs)[0].status == "Canceled"
    try:
        assert child.run(ask) == ["Completed"]
    finally:
        go_on.set()


@pytest.mark.parametrize("call_in", [asyncio.to_thread, lambda call: sync_to_async(call, thread_sensitive=False)()])
def test_an_interrupted_coroutine_ends_after_what_it_called_in_any_thread(
    child: Child, monkeypatch: pytest.MonkeyPatch, call_in: Callable[[Callable[[], None]], Any]
) -> None:
    inside, go_on, ends = threading.Event(), threading.Event(), []

    def call() -> None:
        inside.set()
        go_on.wait(60)
        ends.append("call")

    async def call_it(context: Any) -> None:
        await call_in(call)

    (job,) = child.start(call_it)
    assert inside.wait(30)
    noting_the_end(child, monkeypatch, ends)
    child.interrupt(JobCanceled)
    threading.Timer(0.3, go_on.set).start()
    assert (child.finish([job])[0].status, ends) == ("Canceled", ["call", "attempt"])


def test_a_call_in_another_thread_leaves_no_transaction_to_the_next_job(child: Child, tuning: Tuning) -> None:
    tuning.set(call_threads=1)
    child.slots._loop._other_threads = OtherThreads(1)  # type: ignore[union-attr]  # it is the next one's as well
    seen: list[tuple[int, bool]] = []

    def leave_open() -> None:
        connection.ensure_connection()
        seen.append((threading.get_ident(), not connection.get_autocommit()))
        connection.set_autocommit(False)

    async def call_it(context: Any) -> None:
        await asyncio.to_thread(leave_open)

    assert child.run(call_it) == child.run(call_it) == child.run(call_it) == ["Completed"]
    assert len({thread for thread, _ in seen}) == 1
    assert [is_open for _, is_open in seen] == [False] * 3


def test_a_connection_that_broke_while_the_thread_of_its_calls_rested_is_replaced(child: Child, tuning: Tuning) -> None:
    tuning.set(rested_connection_seconds=0.0)
    seen: list[Any] = []

    async def ask(context: Any) -> None:
        seen.append((await sync_to_async(raw)())[1])

    child.run(ask)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(verbs.database_connection()), "is_usable", lambda _: False)
        child.run(ask)
    assert seen[0] is not seen[1]


def test_calls_that_hang_in_other_threads_hold_up_no_later_ones(child: Child, tuning: Tuning) -> None:
    tuning.set(hung_call_seconds=0.05, call_threads=1)
    hanging: list[int] = []
    go_on, are_over = threading.Event(), threading.Event()

    def hang() -> None:
        hanging.append(1)
        go_on.wait(60)

    async def call_it(context: Any) -> None:
        await asyncio.to_thread(hang)

    async def ask(context: Any) -> None:
        await asyncio.wait_for(asyncio.to_thread(threading.get_ident), 30)

    async def ask_later(context: Any) -> None:
        await come_true(are_over.is_set)
        await ask(context)

    jobs = child.start(*[call_it] * 3)
    wait_until(lambda: len(hanging) == 3, 30, "the calls")
    guilty = child.state.running.interrupters().values()
    (neighbor,) = child.start(ask_later)
    for interrupter in guilty:
        interrupter.request(JobCanceled)
    wait_until(lambda: len(child.state.running.interrupters()) == 1, 30, "their ends")
    are_over.set()
    assert [job.status for job in child.finish([*jobs, neighbor])] == ["Canceled"] * 3 + ["Completed"]
    try:
        assert child.run(ask) == ["Completed"]
    finally:
        go_on.set()


def test_a_call_for_which_there_is_no_other_thread_does_not_run_later(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    really_start = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name.startswith("to_thread"):
            raise RuntimeError("can't start new thread")
        really_start(thread)

    def calling(name: str) -> Handler:
        async def handler(context: Any) -> None:
            await asyncio.to_thread(calls.append, name)

        return handler

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert child.run(calling("refused")) == ["Failed"]
    assert child.run(calling("run")) == ["Completed"]
    assert calls == ["run"]


def test_an_attempt_ends_after_the_tasks_that_it_leaves_behind(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[str] = []

    async def linger() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            ends.append("task")

    kept = []

    async def leave_it(context: Any) -> None:
        kept.append(asyncio.create_task(linger()))
        await asyncio.sleep(0)

    noting_the_end(child, monkeypatch, ends)
    assert child.run(leave_it) == ["Completed"]
    assert ends == ["task", "attempt"]


def test_a_task_that_is_made_while_what_is_left_behind_ends_is_canceled_as_well(child: Child) -> None:
    ends: list[str] = []
    kept: list[asyncio.Task[None]] = []

    async def linger(name: str) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            if name == "first":
                kept.append(asyncio.create_task(linger("second")))
                await asyncio.sleep(0)
            ends.append(name)

    async def leave_it(context: Any) -> None:
        kept.append(asyncio.create_task(linger("first")))
        await asyncio.sleep(0)

    assert child.run(leave_it) == ["Completed"]
    assert ends == ["first", "second"]
    assert not child.slots._loop._tasks  # type: ignore[union-attr]


def test_what_was_taken_out_is_known_before_it_begins(child: Child) -> None:
    """Else it is requeued as forgotten, and begins here all the same."""
    known: list[bool] = []

    async def nothing(context: Any) -> None:
        """It begins once the other one has looked."""

    async def look(context: Any) -> None:
        claimed.handler = nothing
        child.state.put([claimed])
        await asyncio.sleep(0)
        known.append(
            child.state.in_hand.waiting_count() > 0 or (claimed.pk, claimed.attempt) in child.state.known_attempts()
        )

    job, claimed = running_job()
    assert child.run(look) == ["Completed"]
    assert child.finish([job])[0].status == "Completed"
    assert known == [True]


def test_the_next_coroutine_knows_the_connection_though_the_last_one_has_only_just_ended(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, waiting, go_on = threading.Event(), threading.Event(), threading.Event()
    seen: list[Any] = []
    really_restore = SyncThread._restore

    def restore(self: SyncThread, is_interrupted: bool) -> None:
        begun.wait(30)
        really_restore(self, is_interrupted)

    # no public way: the thread has to be between two coroutines while the next one begins
    monkeypatch.setattr(SyncThread, "_restore", restore)

    async def ask(context: Any) -> None:
        await sync_to_async(raw)()

    async def wait(context: Any) -> None:
        begun.set()
        seen.append(await sync_to_async(lambda: connections[connection.alias])())
        waiting.set()
        await sync_to_async(go_on.wait)(30)

    child.run(ask)
    jobs = child.start(wait)
    assert waiting.wait(30)
    (interrupter,) = child.state.running.interrupters().values()
    child.interrupt(JobCanceled)
    assert any(item is seen[0] for item in interrupter.connections)
    go_on.set()
    child.finish(jobs)


def test_the_end_of_a_statement_that_comes_late_hits_no_later_job(child: Child, interpose: Interpose) -> None:
    """The threads of its calls, and so Django's connections there, are then another one's."""
    seen: list[Interrupter] = []
    ended: list[Any] = []

    class Store:
        knows_activity = True

        def end_statement(self, connection: Any, is_wanted: Any) -> None:
            ended.append(connection)

    async def ask(context: Any) -> None:
        await asyncio.to_thread(raw)
        seen.extend(child.state.running.interrupters().values())

    child.run(ask)
    interpose("store_of", lambda _: Store())
    assert seen[0].connections
    seen[0]._end_statements(seen=True)
    assert not ended


# -- where the process is short of something, or was frozen ----------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), OSError(24, "Too many open files")])
def test_a_loop_that_cannot_start_leaves_nothing_open_and_its_jobs_go_back(
    child: Child, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    made: list[asyncio.AbstractEventLoop] = []
    really_make, really_start = asyncio.new_event_loop, threading.Thread.start

    def make() -> asyncio.AbstractEventLoop:
        if isinstance(error, OSError):
            raise error
        made.append(really_make())
        return made[-1]

    def start(thread: threading.Thread) -> None:
        if thread.name == "event loop":
            raise error
        really_start(thread)

    async def nothing(context: Any) -> None:
        """It needs a loop."""

    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "new_event_loop", make)
        patch.setattr(threading.Thread, "start", start)
        (job,) = child.start(nothing)
        assert (reread(job).status, child.state.in_hand.is_empty()) == ("Queued", True)
    assert all(loop.is_closed() for loop in made)
    assert child.run(nothing) == ["Completed"]


class Clock:
    """Stands in for the module ``time``."""

    def __init__(self) -> None:
        self.now = self.used = 100.0

    def monotonic(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.used


@pytest.mark.parametrize(("worked", "told"), [(0.0, 0), (60.0, 1)], ids=["frozen", "held by C code"])
def test_a_loop_that_was_frozen_with_its_process_is_not_told_of_but_one_that_was_held_up_is(
    tuning: Tuning, caplog: pytest.LogCaptureFixture, worked: float, told: int
) -> None:
    clock = Clock()
    tuning.set(loop_clock=clock)
    watch = LoopWatch(WORKER)
    watch.watch(threading.current_thread())
    watch.look()
    clock.now += 60
    clock.used += worked
    watch.look()
    assert caplog.text.count("event=loop_blocked") == told
    for _ in range(30):
        clock.now += 0.05
        watch.look()
    assert caplog.text.count("event=loop_blocked") == 1


@pytest.fixture
def no_repeats(tuning: Tuning) -> None:
    """An interruption comes once, however slow the machine is."""
    tuning.set(interruption_repeat_seconds=600.0)


@pytest.mark.usefixtures("no_repeats")
def test_two_who_deliver_at_once_cancel_a_coroutine_once(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second would disturb what the handler does about the first."""
    waiting, cleaning, delivered = threading.Event(), threading.Event(), threading.Event()
    cleaned: list[str] = []

    async def wait(context: Any) -> None:
        waiting.set()
        try:
            await asyncio.sleep(60)
        finally:
            cleaning.set()
            await come_true(delivered.is_set)
            await asyncio.sleep(0)
            cleaned.append("cleaned")

    jobs = child.start(wait)
    assert waiting.wait(30)
    (interrupter,) = child.state.running.interrupters().values()
    really_look, both = interrupter._was_raised_just_now, threading.Barrier(2)

    def look() -> bool:
        answer = really_look()
        with contextlib.suppress(threading.BrokenBarrierError):
            if both.wait(0.3):  # one of the two comes later
                cleaning.wait(30)
        return answer

    # no public way: both have to have looked before either goes on
    monkeypatch.setattr(interrupter, "_was_raised_just_now", look)
    interrupter.want(JobCanceled)
    threads = [threading.Thread(target=interrupter.deliver) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    delivered.set()
    assert child.finish(jobs)[0].status == "Canceled"
    assert cleaned == ["cleaned"]


def test_a_call_in_the_loops_executor_leaves_no_language_to_the_next_job(child: Child) -> None:
    seen: list[str] = []

    def speak() -> None:
        seen.append(translation.get_language())
        translation.activate("de")

    async def call_it(context: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(None, speak)

    child.run(call_it)
    child.run(call_it)
    assert len(seen) == 2
    assert seen[0] == seen[1] != "de"


def test_a_coroutine_asks_the_database_while_the_thread_that_waits_for_it_waits_for_another_one(child: Child) -> None:
    inside, asked = threading.Event(), threading.Event()

    async def wait_inside() -> None:
        inside.set()
        await come_true(asked.is_set)

    async def ask(context: Any) -> None:
        other = asyncio.create_task(sync_to_async(async_to_sync(wait_inside))())
        await come_true(inside.is_set)
        context.get_organization()
        asked.set()
        await other

    async def call_it(context: Any) -> None:
        await sync_to_async(lambda: async_to_sync(ask)(context))()

    jobs = child.start(call_it)
    wait_until(lambda: not child.state.in_hand.busy(), 30, "the end of the handler")
    assert child.finish(jobs)[0].status == "Completed"
