"""How async handlers are interrupted: by signals, at an await, at a checkpoint."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from django_jobs import JobCanceled
from django_jobs.exceptions import Interruption, JobTimedOut, WorkerStopping
from tests.support.attempts import Stage
from tests.support.tuning import Tuning
from tests.support.verbs import Interrupter, MainThreadSignals, outcomes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

ENDS = [(JobCanceled, outcomes.Canceled), (JobTimedOut, outcomes.TimedOut), (WorkerStopping, outcomes.Interrupted)]


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def signals(stage: Stage) -> Iterator[None]:
    """The process routes its signals to the stage's handler, as a worker does."""
    before = signal.getsignal(signal.SIGUSR1)
    MainThreadSignals().current = stage.interrupter
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def impatient(tuning: Tuning) -> None:
    """The watch looks all the time."""
    tuning.set(coroutine_watch_seconds=0.0, coroutine_repeat_seconds=0.0, interruption_repeat_seconds=0.0)


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    return await sync_to_async(function)(*args)


@pytest.mark.parametrize(("kind", "expected"), ENDS)
@pytest.mark.usefixtures("signals")
def test_a_signal_interrupts_a_handler_that_waits(stage: Stage, kind: type[Interruption], expected: type) -> None:
    steps: list[str] = []

    async def handler(context: Any) -> None:
        try:
            threading.Thread(target=stage.interrupter.request, args=[kind]).start()
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    assert isinstance(stage.run(handler), expected)
    assert steps == ["cleaned up"]


@pytest.mark.usefixtures("signals")
def test_a_signal_interrupts_a_handler_that_computes(stage: Stage) -> None:
    async def handler(context: Any) -> None:
        threading.Thread(target=stage.interrupter.request, args=[JobTimedOut]).start()
        while True:
            pass

    assert isinstance(stage.run(handler), outcomes.TimedOut)


@pytest.mark.usefixtures("signals")
def test_the_watch_lets_a_handler_clean_up_that_a_signal_has_interrupted(stage: Stage, tuning: Tuning) -> None:
    steps: list[str] = []
    tuning.set(coroutine_watch_seconds=0.0)

    async def handler(context: Any) -> None:
        try:
            threading.Thread(target=stage.interrupter.request, args=[JobCanceled]).start()
            while True:
                pass
        except JobCanceled:
            await asyncio.sleep(0.1)
            steps.append("cleaned up")
            raise

    assert isinstance(stage.run(handler), outcomes.Canceled)
    assert steps == ["cleaned up"]


@pytest.mark.parametrize(("kind", "expected"), ENDS)
@pytest.mark.usefixtures("impatient")
def test_without_a_signal_it_is_canceled_at_its_next_await(
    stage: Stage, kind: type[Interruption], expected: type
) -> None:
    async def handler(context: Any) -> None:
        stage.interrupter.want(kind)
        await asyncio.sleep(60)

    assert isinstance(stage.run(handler), expected)


@pytest.mark.usefixtures("impatient")
def test_a_handler_that_ignores_it_is_canceled_again(stage: Stage) -> None:
    seen: list[int] = []

    async def handler(context: Any) -> None:
        stage.interrupter.want(JobCanceled)
        for number in range(2):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                seen.append(number)
        await asyncio.sleep(60)

    assert isinstance(stage.run(handler), outcomes.Canceled)
    assert seen == [0, 1]


@pytest.mark.usefixtures("impatient")
def test_a_handler_that_ends_in_its_own_way_is_completed(stage: Stage) -> None:
    async def handler(context: Any) -> dict[str, bool]:
        stage.interrupter.want(JobCanceled)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return {"canceled": context.is_canceled()}
        return {}

    assert stage.run(handler).result == {"canceled": True}


def test_in_a_workers_thread_it_is_interrupted_too(stage: Stage) -> None:
    stage.interrupter = Interrupter(on_main_thread=False)
    began, ends = threading.Event(), []

    async def handler(context: Any) -> None:
        began.set()
        await asyncio.sleep(60)

    def slot() -> None:
        ends.append(stage.run(handler))
        connections.close_all()

    thread = threading.Thread(target=slot)
    thread.start()
    began.wait()
    stage.interrupter.request(JobCanceled)
    thread.join(10)
    assert [type(outcome) for outcome in ends] == [outcomes.Canceled]


@pytest.mark.parametrize(("kind", "expected"), ENDS)
def test_an_interruption_in_a_group_of_tasks_is_one(stage: Stage, kind: type[Interruption], expected: type) -> None:
    async def part(context: Any) -> None:
        stage.interrupter.want(kind)
        context.update_progress(50)

    async def handler(context: Any) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(part(context))
            group.create_task(asyncio.sleep(60))

    assert isinstance(stage.run(handler), expected)


def test_a_checkpoint_in_a_thread_stops_the_handler(stage: Stage) -> None:
    async def handler(context: Any) -> None:
        stage.interrupter.want(JobCanceled)
        await in_thread(context.update_progress, 50)

    assert isinstance(stage.run(handler), outcomes.Canceled)


@pytest.mark.usefixtures("impatient")
def test_a_shield_holds_across_awaits_and_threads(stage: Stage) -> None:
    steps: list[str] = []

    async def handler(context: Any) -> None:
        with context.shielded():
            stage.interrupter.want(JobCanceled)
            await in_thread(steps.append, "in a thread")
            await asyncio.sleep(0.01)
            steps.append("after it")
        steps.append("after the shield")

    assert isinstance(stage.run(handler), outcomes.Canceled)
    assert steps == ["in a thread", "after it"]
