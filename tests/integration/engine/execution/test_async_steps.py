"""Steps and checkpoints of coroutines: nothing of them holds up the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from django_jobs import RetryLater
from django_jobs.exceptions import InvalidStep, TransientError
from django_jobs.models import JobStep
from tests.support import verbs
from tests.support.durable import DurableJob, Effects
from tests.support.verbs import outcomes

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def run_next(both_ways: str) -> Callable[..., Any]:
    """Runs the next attempt of a job: on the test's own connection, or as a worker does."""
    how = verbs.run if both_ways == "committed" else verbs.attempt
    return lambda durable, handler: durable.run(handler, how=how)


def test_coroutine_functions_are_awaited_and_plain_ones_run_in_the_handlers_thread(
    run_next: Callable[..., Any],
) -> None:
    durable, effects, threads = DurableJob(), Effects(), []

    def note_the_thread() -> str:
        threads.append(threading.current_thread())
        return "noted"

    async def handler(context: Any) -> None:
        assert await context.astep("charge", effects.ado, "card") == {"receipt": "card"}
        assert await context.astep("book", note_the_thread) == "noted"
        assert await context.astep("mail", lambda: effects.ado("letter")) == {"receipt": "letter"}
        threads.append(threading.current_thread())
        if context.attempt == 1:
            raise TransientError("again")

    run_next(durable, handler)
    assert isinstance(run_next(durable, handler), outcomes.Returned)
    assert effects.done == ["card", "letter"]
    assert [row[:2] for row in durable.stored()] == [(1, "charge"), (2, "book"), (3, "mail")]
    assert threads[0] is not threads[1]


def test_steps_that_are_gathered_stand_in_the_order_of_their_calls(run_next: Callable[..., Any]) -> None:
    durable, effects = DurableJob(), Effects()

    async def handler(context: Any) -> None:
        turns = [asyncio.Event() for _ in range(4)]
        turns[-1].set()

        async def last_first(number: int) -> int:
            await turns[number].wait()
            effects.do(number)
            turns[number - 1].set()
            return number

        steps = [context.astep("part", last_first, number) for number in range(4)]
        assert await asyncio.gather(*steps) == [0, 1, 2, 3]
        if context.attempt == 1:
            raise TransientError("again")

    run_next(durable, handler)
    assert isinstance(run_next(durable, handler), outcomes.Returned)
    assert effects.done == [3, 2, 1, 0]
    assert [row[1:3] for row in durable.stored()] == [("part", 0), ("part #2", 1), ("part #3", 2), ("part #4", 3)]


def test_a_step_for_which_the_handler_waits_only_so_long_is_done_once(run_next: Callable[..., Any]) -> None:
    """The function goes on in its thread, and what it did is stored: the next try gets that."""
    durable, effects, may_charge, found = DurableJob(), Effects(), threading.Event(), []

    def charge(what: str) -> Any:
        assert may_charge.wait(30)
        return effects.do(what)

    async def handler(context: Any) -> None:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(context.astep("charge", charge, "card"), 0.01)
        may_charge.set()
        found.append(await context.astep("charge", charge, "card"))
        if context.attempt == 1:
            raise TransientError("again")

    run_next(durable, handler)
    assert (effects.done, found) == (["card"], [{"receipt": "card"}])
    assert [row[:2] for row in durable.stored()] == [(1, "charge")]


def test_a_canceled_step_is_the_same_one_when_it_is_called_again(run_next: Callable[..., Any]) -> None:
    """Whether it was canceled before it began, in its function, or while its result was stored."""
    durable, effects = DurableJob(), Effects()

    async def charge(what: str, began: asyncio.Event | None) -> Any:
        if began is not None and not began.is_set():
            began.set()
            await asyncio.Event().wait()
        return effects.do(what)

    async def handler(context: Any) -> None:
        began = asyncio.Event()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(context.astep("charge", charge, "card", began), 0)
        trial = asyncio.create_task(context.astep("charge", charge, "card", began))
        if context.attempt == 1:
            await began.wait()
            trial.cancel()
            with pytest.raises(asyncio.CancelledError):
                await trial
            trial = asyncio.create_task(context.astep("charge", charge, "card", began))
        await trial
        await context.astep("charge", effects.ado, "another")
        if context.attempt == 1:
            raise TransientError("again")

    run_next(durable, handler)
    assert isinstance(run_next(durable, handler), outcomes.Returned)
    assert effects.done == ["card", "another"]
    assert [row[1] for row in durable.stored()] == ["charge", "charge #2"]


def test_gathered_steps_that_are_tried_again_get_results_of_their_own(run_next: Callable[..., Any]) -> None:
    durable, effects, failed, got = DurableJob(), Effects(), [], []

    async def send(to: str) -> str:
        if to not in failed and to != "C":
            failed.append(to)
            raise ConnectionError(to)
        effects.do(to)
        return to

    async def insist(context: Any, to: str) -> Any:
        while True:
            with contextlib.suppress(ConnectionError):
                return await context.astep("send", send, to)

    async def handler(context: Any) -> None:
        got.append(await asyncio.gather(*[insist(context, to) for to in "ABC"]))
        if context.attempt == 1:
            raise TransientError("again")

    run_next(durable, handler)
    assert isinstance(run_next(durable, handler), outcomes.Returned)
    assert got == [["A", "B", "C"]] * 2
    assert sorted(effects.done) == ["A", "B", "C"]


def test_in_tasks_of_their_own_steps_come_in_any_order(run_next: Callable[..., Any]) -> None:
    """Those of equal names too, and those that are new between those that are stored."""
    durable, effects = DurableJob(), Effects()

    async def send(context: Any, to: str, before: asyncio.Event | None, behind: asyncio.Event) -> Any:
        if before is not None:
            await before.wait()
        try:
            if (context.attempt, to) == (1, "B"):
                return None
            return await context.astep("send", effects.ado, to)
        finally:
            behind.set()

    async def handler(context: Any) -> None:
        order = "ABC" if context.attempt == 1 else "CBA"
        ends = {to: asyncio.Event() for to in order}
        befores = dict(zip(order, [None, *ends.values()], strict=False))
        got = await asyncio.gather(*[send(context, to, befores[to], ends[to]) for to in "ABC"])
        await context.astep("send", effects.ado, "report")
        if context.attempt == 1:
            raise TransientError("again")
        assert [receipt["receipt"] for receipt in got] == ["A", "B", "C"]

    run_next(durable, handler)
    assert isinstance(run_next(durable, handler), outcomes.Returned), durable.error
    assert effects.done == ["A", "C", "report", "B"]


async def both_at_once(context: Any, do: Any) -> None:
    with contextlib.closing(context.astep("send", do, "A")) as step:
        await asyncio.gather(step, context.astep("send", do, "A"))


async def both_in_tasks(context: Any, do: Any) -> None:
    async def send() -> None:
        await context.astep("send", do, "A")

    await asyncio.gather(send(), send())


async def one_task_after_the_other(context: Any, do: Any) -> None:
    """They may run beside each other the next time."""

    async def send() -> None:
        await context.astep("send", do, "A")

    await asyncio.create_task(send())
    await asyncio.create_task(send())


@pytest.mark.parametrize("send_twice", [both_at_once, both_in_tasks, one_task_after_the_other])
def test_steps_beside_each_other_that_nobody_can_tell_apart_are_refused(send_twice: Any) -> None:
    durable, effects = DurableJob(), Effects()
    durable.run(lambda context: send_twice(context, effects.ado))
    assert isinstance(durable.error, InvalidStep)
    assert "'send'" in str(durable.error)
    assert durable.job.status == "Dead Letter"
    assert len(effects.done) < 2


def test_a_step_whose_arguments_are_changed_before_it_begins_is_refused(run_next: Callable[..., Any]) -> None:
    durable, effects, got = DurableJob(), Effects(), []

    async def handler(context: Any) -> None:
        letter: dict[str, str] = {}
        steps = []
        for letter["to"] in "AB":
            steps.append(context.astep("mail", effects.ado, letter))
        got.extend(await asyncio.gather(*steps, return_exceptions=True))

    run_next(durable, handler)
    assert isinstance(got[0], InvalidStep)
    assert got[1:] == [{"receipt": {"to": "B"}}]
    assert effects.done == [{"to": "B"}]


def test_of_gathered_steps_those_that_were_done_are_not_done_again(run_next: Callable[..., Any]) -> None:
    durable, effects = DurableJob(), Effects()

    async def handler(context: Any) -> None:
        async def fail_once() -> None:
            if context.attempt == 1:
                raise TransientError("again")
            effects.do("second")

        first = context.astep("first", fail_once)
        await context.astep("other", effects.ado, "other")
        await first

    run_next(durable, handler)
    assert [row[:2] for row in durable.stored()] == [(2, "other")]
    run_next(durable, handler)
    assert effects.done == ["other", "second"]
    assert [row[:2] for row in durable.stored()] == [(1, "first"), (2, "other")]


def test_a_step_inside_a_steps_coroutine_is_refused() -> None:
    durable, effects = DurableJob(), Effects()

    async def handler(context: Any) -> None:
        async def outer() -> None:
            await context.astep("inner", effects.ado, 1)

        await context.astep("outer", outer)

    durable.run(handler)
    assert isinstance(durable.error, InvalidStep)
    assert (durable.error.code, durable.error.facts["step"]) == ("inside_step", "inner")
    assert effects.done == []


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (lambda context: context.step("charge", dict), "context.astep"),
        (lambda context: context.save_checkpoint(), "context.asave_checkpoint"),
    ],
    ids=["step", "checkpoint"],
)
def test_what_would_hold_up_the_loop_is_refused_with_the_name_of_what_does_not(call: Any, instead: str) -> None:
    durable = DurableJob()

    async def handler(context: Any) -> None:
        call(context)

    durable.run(handler)
    assert isinstance(durable.error, InvalidStep)
    assert (durable.error.code, instead in durable.job.error_message) == ("in_event_loop", True)


def test_the_checkpoint_is_saved_and_read(run_next: Callable[..., Any]) -> None:
    durable, found = DurableJob(), []

    async def handler(context: Any) -> None:
        found.append(dict(context.checkpoint))
        context.checkpoint["attempt"] = context.attempt
        if context.attempt == 1:
            await context.asave_checkpoint()
            raise TransientError("again")
        if context.attempt == 2:
            raise RetryLater(0)

    for _ in range(3):
        run_next(durable, handler)
    assert found == [{}, {"attempt": 1}, {"attempt": 2}]


@pytest.mark.django_db(transaction=True)
def test_what_happened_is_stored_though_the_handler_gives_up_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    durable, effects = DurableJob(), Effects()
    insert = type(verbs.store()).insert_step
    storing, may_store, found = threading.Event(), threading.Event(), []

    def insert_late(self: Any, *args: Any) -> Any:
        storing.set()
        assert may_store.wait(30)
        return insert(self, *args)

    monkeypatch.setattr(type(verbs.store()), "insert_step", insert_late)

    async def handler(context: Any) -> None:
        step = asyncio.create_task(context.astep("charge", effects.ado, 1))
        await asyncio.to_thread(storing.wait, 30)
        step.cancel()
        may_store.set()
        with pytest.raises(asyncio.CancelledError):
            await step
        found.append(await sync_to_async(JobStep.objects.count)())

    assert isinstance(durable.run(handler, how=verbs.run), outcomes.Returned)
    assert found == [1]
