"""What coroutines call in threads: which calls are under way, and where those run that need no certain thread."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from django.db import reset_queries

from django_jobs.engine.execution.handler_connections import restore_connections
from django_jobs.engine.store import database

#: So many calls may wait in threads at once, or as many as jobs run at a time; Python's own limit may be five.
MOST_THREADS: Final = 32


class ThreadCalls:
    """The calls that are under way."""

    def __init__(self) -> None:
        self._futures: set[Future[Any]] = set()

    def add(self, future: Future[Any]) -> None:
        """Note a call that begins."""
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)

    def under_way(self) -> list[Future[Any]]:
        """Return those that have not ended. One that was canceled before it began has."""
        return [future for future in self._futures.copy() if not future.done()]

    async def ended(self, deadline: float) -> None:
        """Return once none is under way; at the deadline, on the clock of ``time.monotonic``, in any case."""
        while (left := self.under_way()) and (seconds := deadline - time.monotonic()) > 0:
            await _ended(left[0], seconds)


async def _ended(future: Future[Any], seconds: float) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(ended.set)

    future.add_done_callback(tell)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), seconds)


#: The calls in other threads of the handler that runs in this context.
calls_of_handler: contextvars.ContextVar[ThreadCalls] = contextvars.ContextVar("django_jobs_thread_calls")


class OtherThreads(ThreadPoolExecutor):
    """A loop's threads for ``asyncio.to_thread`` and the like, which all its jobs share.

    No call leaves a connection to the next one, which may be another job's.
    """

    def __init__(self, jobs: int) -> None:
        """``jobs`` run at a time."""
        super().__init__(max_workers=max(MOST_THREADS, jobs), thread_name_prefix="to_thread")

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        refused = threading.Event()
        try:
            future = super().submit(_call, refused, fn, *args, **kwargs)
        except RuntimeError:  # the process may have no more threads; the call is kept, but must not run later
            refused.set()
            raise
        calls = calls_of_handler.get(None)
        if calls is not None:
            calls.add(future)
        return future


def _call(refused: threading.Event, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    if refused.is_set():
        return None
    try:
        # In a context of its own, so that a language or time zone that it activates is not the next call's.
        return contextvars.Context().run(function, *args, **kwargs)
    finally:
        restore_connections(interrupted=False)
        database.drop_connections()
        reset_queries()
