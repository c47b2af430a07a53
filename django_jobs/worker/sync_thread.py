"""The thread in which a coroutine's ``sync_to_async`` calls run, with its connections; it stays for the next one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.db import connections, reset_queries

from django_jobs.engine.execution.handler_connections import restore_connections
from django_jobs.engine.store import database, line_watch
from django_jobs.worker.thread_calls import ThreadCalls, calls_of_handler

#: A thread that had nothing to do for so long closes its connections.
IDLE_SECONDS: Final = 5.0
#: A connection that rested for so long is asked whether it answers, before a handler gets it.
RESTED_SECONDS: Final = 0.5
#: A call that outlives its handler by so long is left behind. What it asked a database is ended within a second.
HUNG_SECONDS: Final = 3.0


class _Executor(ThreadPoolExecutor):
    """One thread, which starts with the first call; tells whether there was one, the last future and what goes on."""

    def __init__(self) -> None:
        super().__init__(max_workers=1, thread_name_prefix="sync_to_async")
        self.last: Future[Any] | None = None
        self.calls = ThreadCalls()
        #: Whether the process could have no thread for it: the call is kept, and would run in another handler's name.
        self.is_broken = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        try:
            self.last = super().submit(fn, *args, **kwargs)
        except RuntimeError:
            self.is_broken = True
            raise
        self.calls.add(self.last)
        return self.last


class SyncThread:
    """Belongs to one slot."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        #: What its calls have used so far of Django's connections.
        self.connections: Sequence[Any] = ()
        self._executor = _Executor()
        #: The last call before the handler's own ones.
        self._before: Future[Any] | None = None
        #: What the handler has called in threads of its own choice.
        self._elsewhere = ThreadCalls()
        self._sensitive = ThreadSensitiveContext()
        self._rested = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        """Have the thread-sensitive calls of the block, and of its tasks, run in this thread.

        No generator does this: a handler may close all asynchronous generators of the loop.
        """
        if self._timer is not None:
            self._timer.cancel()
        if self._executor.last is not None and time.monotonic() - self._rested >= RESTED_SECONDS:
            self._executor.submit(mend_rested)
            self._rested = time.monotonic()
        self._before = self._executor.last
        self._elsewhere = ThreadCalls()
        calls_of_handler.set(self._elsewhere)
        self._sensitive = ThreadSensitiveContext()
        await self._sensitive.__aenter__()  # type: ignore[no-untyped-call]
        SyncToAsync.context_to_thread_executor[self._sensitive] = self._executor

    async def __aexit__(self, *_: object) -> None:
        # asgiref would wait for the thread, which stays.
        SyncToAsync.context_to_thread_executor.pop(self._sensitive, None)
        await self._sensitive.__aexit__(None, None, None)  # type: ignore[no-untyped-call]

    def is_called(self) -> bool:
        """Return whether a call of the handler is under way, here or elsewhere."""
        here = self._executor.last is not self._before and self._executor.calls.under_way()
        return bool(here or self._elsewhere.under_way())

    async def calls_ended(self) -> None:
        """Return once no call of the handler is under way, here or elsewhere; after HUNG_SECONDS in any case."""
        deadline = time.monotonic() + HUNG_SECONDS
        if self._executor.last is not self._before:
            await self._executor.calls.ended(deadline)
        await self._elsewhere.ended(deadline)

    def hangs_elsewhere(self) -> bool:
        """Return whether a call of the handler hangs in a thread that other handlers use as well."""
        return bool(self._elsewhere.under_way())

    def restored(self, *, is_interrupted: bool) -> SyncThread:
        """Return what serves the next handler: this thread, or a new one where a call of the last one hangs."""
        last = self._executor.last
        if self._executor.is_broken:
            self._executor.shutdown(wait=False, cancel_futures=True)
            return SyncThread(self.slot)
        if last is None:
            return self
        was_called = last is not self._before
        if was_called and self._executor.calls.under_way():
            self.close()
            return SyncThread(self.slot)
        if was_called or is_interrupted:
            self._executor.submit(self._restore, is_interrupted)
            self._rested = time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._rest)
        return self

    def _restore(self, is_interrupted: bool) -> None:
        restore_connections(interrupted=is_interrupted)
        reset_queries()
        self.connections = connections.all(initialized_only=True)

    def _rest(self) -> None:
        """Close the connections, since nobody has used the thread for long."""
        self._executor.submit(database.drop_connections)
        self._executor.last = None

    def close(self) -> None:
        """Let the thread end, once what runs in it has ended, and close its connections."""
        if self._executor.last is not None:
            self._executor.submit(database.drop_connections)
        self._executor.shutdown(wait=False)


def mend_rested() -> None:
    """Close this thread's connections that broke, or that rested and answer no longer; their next use connects anew."""
    database.mend_connections()
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None:
            with line_watch.waiting():
                if not connection.is_usable():
                    database.drop(connection)
