"""Async handlers: what they may call, what becomes of what they raise, and that they leave nothing behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.files.storage import default_storage
from django.db import connection, connections, transaction

from django_jobs import PermanentError, RetryLater, TransientError
from django_jobs.models import Organization
from tests.support import verbs
from tests.support.attempts import Stage
from tests.support.factories import make_organization
from tests.support.verbs import outcomes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    return await sync_to_async(function)(*args)


def test_what_an_async_handler_returns_is_the_result(stage: Stage) -> None:
    async def handler(context: Any) -> dict[str, int]:
        await asyncio.sleep(0)
        return {"attempt": context.attempt}

    assert stage.run(handler).result == {"attempt": 1}


def test_a_function_that_returns_an_awaitable_is_an_async_handler(stage: Stage) -> None:
    async def later() -> dict[str, int]:
        return {"a": 1}

    def handler(context: Any) -> Awaitable[dict[str, int]]:
        return later()

    assert stage.run(handler).result == {"a": 1}


def test_an_async_generator_is_no_handler(stage: Stage) -> None:
    async def handler(context: Any) -> AsyncIterator[int]:
        yield 1

    outcome = stage.run(handler)
    assert (outcome.kind, outcome.error.code) == ("Permanent", "not_a_dict")
    assert "async_generator" in outcome.text


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (TransientError("later"), "Transient", "later"),
        (PermanentError("never"), "Permanent", "never"),
        (ValueError("secret"), "Transient", "ValueError"),
        (asyncio.CancelledError(), "Transient", "CancelledError"),
    ],
    ids=repr,
)
def test_what_an_async_handler_raises_is_classified(stage: Stage, error: BaseException, kind: str, text: str) -> None:
    async def handler(context: Any) -> None:
        raise error

    outcome = stage.run(handler)
    assert (outcome.kind, outcome.text) == (kind, text)


def test_the_job_is_known_in_tasks_and_threads(stage: Stage) -> None:
    seen: list[Any] = []

    async def look() -> None:
        seen.append(verbs.current_job.get())

    async def handler(context: Any) -> None:
        await asyncio.create_task(look())
        await in_thread(lambda: seen.append(verbs.current_job.get()))

    outcome = stage.run(handler)
    assert seen == [outcome.claimed, outcome.claimed]


def test_the_database_is_not_asked_from_the_loop(stage: Stage) -> None:
    async def handler(context: Any) -> None:
        Organization.objects.count()

    assert stage.run(handler).text == "SynchronousOnlyOperation"


def test_the_database_is_asked_in_sync_to_async_and_by_the_orms_own_async_methods(stage: Stage) -> None:
    async def handler(context: Any) -> dict[str, Any]:
        await in_thread(make_organization)
        return {"found": await Organization.objects.acount()}

    assert stage.run(handler).result == {"found": 2}


def test_the_connection_of_its_thread_is_closed_and_the_thread_ended(stage: Stage) -> None:
    seen: list[Any] = []

    def look() -> None:
        Organization.objects.count()
        seen.extend([threading.current_thread(), connections["default"]])

    async def handler(context: Any) -> None:
        await in_thread(look)

    stage.run(handler)
    thread, its_connection = seen
    assert not thread.is_alive()
    assert its_connection.connection is None
    assert its_connection is not connections["default"]


def test_a_transaction_that_it_left_open_is_undone(stage: Stage) -> None:
    def leave_open() -> None:
        transaction.atomic().__enter__()
        make_organization(name="never")

    async def handler(context: Any) -> None:
        await in_thread(leave_open)

    assert isinstance(stage.run(handler), outcomes.Returned)
    assert not Organization.objects.filter(name="never").exists()
    make_organization()


def test_tasks_that_it_left_running_are_canceled(stage: Stage) -> None:
    ends: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("canceled")

    async def handler(context: Any) -> None:
        left = asyncio.create_task(forever())
        await asyncio.sleep(0)
        assert not left.done()

    assert isinstance(stage.run(handler), outcomes.Returned)
    assert ends == ["canceled"]


@pytest.mark.parametrize("nested", [False, True])
def test_a_group_with_one_error_is_that_error(stage: Stage, nested: bool) -> None:
    errors: list[Exception] = [PermanentError("never")]

    async def handler(context: Any) -> None:
        raise ExceptionGroup("outer", [ExceptionGroup("inner", errors)] if nested else errors)

    outcome = stage.run(handler)
    assert (outcome.kind, outcome.text) == ("Permanent", "never")
    assert "ExceptionGroup" in outcome.traceback


def test_a_group_that_asks_to_run_later_runs_later(stage: Stage) -> None:
    async def part() -> None:
        raise RetryLater(30)

    async def handler(context: Any) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(part())

    assert stage.run(handler).delay == 30


def test_a_group_with_several_errors_is_unexpected(stage: Stage) -> None:
    async def handler(context: Any) -> None:
        raise ExceptionGroup("both", [PermanentError("never"), ValueError("secret")])

    outcome = stage.run(handler)
    assert (outcome.kind, outcome.text) == ("Transient", "ExceptionGroup")


def test_progress_is_reported_from_the_loop_and_from_threads(stage: Stage) -> None:
    async def handler(context: Any) -> None:
        context.update_progress(10, "loop")
        await in_thread(context.update_progress, 50, "sync_to_async")
        await asyncio.to_thread(context.update_progress, 90, "to_thread")

    stage.run(handler)
    assert stage.progress.reports == [(10, "loop", True), (50, "sync_to_async", False), (90, "to_thread", False)]


def test_files_are_saved_from_the_loop_and_from_threads(stage: Stage) -> None:
    async def handler(context: Any) -> dict[str, str]:
        return {
            "loop": context.save_output("a.txt", "from the loop"),
            "thread": await in_thread(context.save_output, "b.txt", "from a thread"),
        }

    result = stage.run(handler).result
    with default_storage.open(result["loop"]) as one, default_storage.open(result["thread"]) as other:
        assert (one.read(), other.read()) == (b"from the loop", b"from a thread")


@pytest.mark.django_db(transaction=False)
def test_in_a_tests_transaction_it_sees_what_the_test_sees(stage: Stage) -> None:
    make_organization(name="of the test")

    async def handler(context: Any) -> dict[str, Any]:
        return {"found": await Organization.objects.filter(name="of the test").acount()}

    assert connection.in_atomic_block
    assert stage.run(handler, verbs.attempt).result == {"found": 1}
