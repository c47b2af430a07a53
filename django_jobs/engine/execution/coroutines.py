"""Running an async handler in this thread; the synchronous code that it calls runs in another one."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from asgiref.sync import AsyncToSync, SyncToAsync, ThreadSensitiveContext, async_to_sync, sync_to_async
from django.db import connections

from django_jobs.engine import timing
from django_jobs.engine.store import database
from django_jobs.exceptions import Interruption

T = TypeVar("T")

#: The task in which an async handler itself runs; tasks that it makes inherit the value.
_own_task: contextvars.ContextVar[asyncio.Task[Any] | None] = contextvars.ContextVar("django_jobs_task", default=None)


def run(awaitable: Awaitable[Any], remind: Callable[[], None]) -> Any:
    """Return the awaitable's result. ``remind`` raises the interruption that is due, if any, unless a signal has
    just raised it.

    A signal interrupts the loop at any point. Where no signal comes (in a worker's threads, under a plain rqworker) a
    watching task finds the interruption and cancels the handler at its next ``await``.
    """
    if any(connection.in_atomic_block for connection in connections.all(initialized_only=True)):
        # Only in tests: their transaction is seen by this thread's connection alone.
        return async_to_sync(_wait_for)(awaitable)
    return asyncio.run(_run(awaitable, remind))


async def _wait_for(awaitable: Awaitable[Any]) -> Any:
    _own_task.set(asyncio.current_task())
    return await awaitable


async def _run(awaitable: Awaitable[Any], remind: Callable[[], None]) -> Any:
    async with ThreadSensitiveContext() as its_thread:
        try:
            async with _watched(remind):
                return await _wait_for(awaitable)
        finally:
            # The thread of its sync_to_async calls ends with the handler, so its connections must be closed.
            if its_thread in SyncToAsync.context_to_thread_executor:
                await sync_to_async(database.drop_connections)()


@contextlib.asynccontextmanager
async def _watched(remind: Callable[[], None]) -> AsyncIterator[None]:
    """Cancel the current task when an interruption is due, again every two seconds; it ends with that interruption."""
    due: list[Interruption] = []
    watch = asyncio.create_task(_watch(remind, due, asyncio.current_task()))
    try:
        yield
    except asyncio.CancelledError:
        if due:
            raise due[-1] from None
        raise
    finally:
        watch.cancel()


async def _watch(remind: Callable[[], None], due: list[Interruption], task: asyncio.Task[Any] | None) -> None:
    pause = timing.COROUTINE_WATCH_SECONDS
    while task is not None:
        await asyncio.sleep(pause)
        try:
            remind()
            pause = timing.COROUTINE_WATCH_SECONDS
        except Interruption as error:
            due.append(error)
            task.cancel()
            pause = timing.COROUTINE_CANCEL_REPEAT_SECONDS


class Neighborhood(Protocol):
    """What a coroutine needs that runs beside others in one loop."""

    def guard(self, task: asyncio.Task[Any]) -> None:
        """Take the task in which it runs, to cancel it when it is to stop."""

    def leaves_nothing(self) -> bool:
        """Return whether nothing that it began goes on, beside the task that asks."""

    async def all_ended(self) -> None:
        """Cancel its other tasks; return once they and what it called in threads have ended, or after a moment."""


async def beside_others(
    coroutine: Coroutine[Any, Any, T], neighborhood: Neighborhood, remind: Callable[[], None]
) -> T | None:
    """Return the coroutine's result, which runs in a task of the loop that runs already.

    ``remind`` raises the interruption for which its task was canceled. What it called in a thread goes on
    then; a statement in it is ended from outside, and the coroutine ends after it. It also ends after its other tasks:
    else its job could begin again beside them.
    """
    closing: list[GeneratorExit] = []

    async def caught() -> T | None:
        try:
            return await _wait_for(coroutine)  # type: ignore[no-any-return]
        except GeneratorExit as error:  # whoever awaits a task that ends with it is closed, and can await nothing more
            closing.append(error)
            return None

    task = asyncio.create_task(caught())
    neighborhood.guard(task)
    try:
        value = await task
        if closing:
            raise closing[0]
        return value
    except asyncio.CancelledError:
        remind()
        raise
    finally:
        await neighborhood.all_ended()


def outside_loop(function: Callable[[], T]) -> T:
    """Return what the function returns, called where it may ask the database.

    Django refuses that in a thread that runs an event loop. There another thread calls the function, on a connection of
    its own, and the loop waits for it. Any other thread calls it directly.
    """
    if not in_event_loop():
        return function()
    # A loop that was made while a thread waits for it: a test's, whose connection alone sees its rows. Beside others,
    # the thread that waits for a coroutine may itself wait for the loop, which must not wait for it.
    if asyncio.get_running_loop() in AsyncToSync.loop_thread_executors:
        waiting = getattr(AsyncToSync.executors, "current", None)
        if waiting is not None:
            return waiting.submit(function).result()  # type: ignore[no-any-return]
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(contextvars.copy_context().run, _with_own_connections, function).result()


def _with_own_connections(function: Callable[[], T]) -> T:
    try:
        return function()
    finally:
        database.drop_connections()


def in_handler_itself(thread: int) -> bool:
    """Return whether an async handler calls this in its own task, or any other in its own thread."""
    task = asyncio.current_task() if in_event_loop() else None
    return task is _own_task.get() and (task is not None or threading.get_ident() == thread)


def in_event_loop() -> bool:
    """Return whether this thread runs an event loop at this moment."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
