"""Questions that wait for a database thread at the same moment are asked in one call, and answered one by one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence

import pytest
from asgiref.sync import async_to_sync
from django.db import OperationalError

from django_jobs.realtime.database_threads import Batcher, DatabaseThread, answer_each
from tests.support.tuning import Tuning


class Oracle:
    """Doubles numbers; refuses odd ones. Its first call lasts until it may go on."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.may_go_on = threading.Event()

    def answer(self, numbers: list[int]) -> Sequence[int | Exception]:
        self.calls.append(numbers)
        assert self.may_go_on.wait(10)
        return [ValueError(number) if number % 2 else 2 * number for number in numbers]


@pytest.fixture
def oracle() -> Oracle:
    return Oracle()


@pytest.fixture
def thread() -> Iterator[DatabaseThread]:
    thread = DatabaseThread("test")
    yield thread
    thread.close()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async_to_sync(scenario)()


async def begun(batcher: Batcher[int, int]) -> asyncio.Future[int]:
    """A first question, with which the thread is busy."""
    first = batcher.ask(0)
    await asyncio.sleep(0)  # the others are not asked along with it
    await asyncio.sleep(0)
    return first


def test_those_who_ask_meanwhile_are_answered_by_one_call(oracle: Oracle, thread: DatabaseThread) -> None:
    async def scenario() -> None:
        batcher = Batcher(thread, oracle.answer)
        asked = [await begun(batcher), *(batcher.ask(number) for number in (2, 4, 6))]
        oracle.may_go_on.set()
        assert await asyncio.gather(*asked) == [0, 4, 8, 12]

    run(scenario)
    assert oracle.calls == [[0], [2, 4, 6]]


def test_a_call_has_a_bound(oracle: Oracle, thread: DatabaseThread, tuning: Tuning) -> None:
    tuning.set(socket_questions_of_a_call=2)
    oracle.may_go_on.set()

    async def scenario() -> None:
        batcher = Batcher(thread, oracle.answer)
        await asyncio.gather(*(batcher.ask(number) for number in (2, 4, 6)))

    run(scenario)
    assert oracle.calls == [[2, 4], [6]]


def test_what_fails_fails_for_who_asked_it_alone(oracle: Oracle, thread: DatabaseThread) -> None:
    oracle.may_go_on.set()

    async def scenario() -> None:
        batcher = Batcher(thread, oracle.answer)
        good, bad = batcher.ask(2), batcher.ask(3)
        assert await good == 4
        with pytest.raises(ValueError, match="3"):
            await bad
        with pytest.raises(ValueError, match="5"):
            await batcher.ask(5)

    run(scenario)


def test_what_fails_at_a_broken_connection_is_read_once_more(thread: DatabaseThread) -> None:
    failures: list[Exception] = []

    def read(number: int) -> int:
        if failures:
            raise failures.pop()
        return number

    async def scenario() -> None:
        failures.append(OperationalError())
        assert await thread.read(read, 5) == 5
        failures.extend([OperationalError(), OperationalError()])
        with pytest.raises(OperationalError):
            await thread.read(read, 5)

    run(scenario)


def test_a_call_that_fails_fails_for_all_and_the_next_one_is_made(oracle: Oracle, thread: DatabaseThread) -> None:
    oracle.may_go_on.set()
    failures = [ZeroDivisionError()]

    def answer(numbers: list[int]) -> Sequence[int | Exception]:
        if failures:
            raise failures.pop()
        return oracle.answer(numbers)

    async def scenario() -> None:
        batcher = Batcher(thread, answer)
        found = await asyncio.gather(batcher.ask(2), batcher.ask(4), return_exceptions=True)
        assert [type(item) for item in found] == [ZeroDivisionError, ZeroDivisionError]
        assert await batcher.ask(2) == 4

    run(scenario)


def test_who_does_not_wait_any_longer_keeps_nobody_else_from_the_answer(oracle: Oracle, thread: DatabaseThread) -> None:
    async def scenario() -> None:
        batcher = Batcher(thread, oracle.answer)
        first, second, third = await begun(batcher), batcher.ask(2), batcher.ask(4)
        first.cancel()
        second.cancel()
        oracle.may_go_on.set()
        assert await third == 8

    run(scenario)


def test_an_error_that_no_future_takes_is_told_as_another(thread: DatabaseThread) -> None:
    def first_of(numbers: list[int]) -> int:
        return next(iter(numbers))

    async def scenario() -> None:
        with pytest.raises(RuntimeError):
            await asyncio.wait_for(thread.read(first_of, []), 5)
        batcher: Batcher[list[int], int] = Batcher(thread, lambda questions: answer_each(questions, first_of, id))
        found = await asyncio.wait_for(asyncio.gather(batcher.ask([]), batcher.ask([2]), return_exceptions=True), 5)
        assert [type(item) for item in found] == [RuntimeError, int]

    run(scenario)


def test_nobody_waits_for_ever_where_the_asking_is_broken_off(oracle: Oracle, thread: DatabaseThread) -> None:
    async def scenario() -> None:
        batcher = Batcher(thread, oracle.answer)
        asked = [await begun(batcher), batcher.ask(4)]
        assert batcher._task is not None
        batcher._task.cancel()
        done, _ = await asyncio.wait(asked, timeout=5)
        assert len(done) == 2
        oracle.may_go_on.set()
        assert await asyncio.wait_for(batcher.ask(6), 5) == 12

    run(scenario)


def test_answers_that_are_too_few_leave_nobody_waiting(thread: DatabaseThread) -> None:
    async def scenario() -> None:
        batcher: Batcher[int, int] = Batcher(thread, lambda numbers: numbers[:1])
        asked = [batcher.ask(2), batcher.ask(4)]
        done, _ = await asyncio.wait(asked, timeout=5)
        assert len(done) == 2

    run(scenario)


def test_equal_questions_are_answered_once() -> None:
    asked: list[int] = []

    def double(number: int) -> int:
        asked.append(number)
        return 2 * number

    assert answer_each([2, 3, 2], double, lambda number: number) == [4, 6, 4]
    assert asked == [2, 3]
