"""Stopping a coroutine that runs beside others in one event loop: its task is canceled until it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, Final

from django_jobs.worker.interruption import Interrupter
from django_jobs.worker.sync_thread import SyncThread

logger = logging.getLogger("django_jobs")

#: How long the tasks that a handler left behind may take to end, once they are canceled.
LEFT_BEHIND_SECONDS: Final = 1.0


class TaskInterrupter(Interrupter):
    """Guards the task of one handler. What ends with ``CancelledError`` after that ends with the interruption.

    Statements that the handler waits for in another thread are ended on the server, as for other handlers.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sync_thread: SyncThread, job_id: str, made: Iterable[asyncio.Task[Any]]
    ) -> None:
        """``sync_thread`` is where its ``sync_to_async`` calls run; ``made`` has the tasks that its handler makes."""
        super().__init__(on_main_thread=False, connections=sync_thread.connections)
        self._sync_thread = sync_thread
        self._loop = loop
        self._job_id = job_id
        self._made = made
        self._task: asyncio.Task[object] | None = None
        self._is_canceled = False
        self._delivering = threading.Lock()

    def guard(self, task: asyncio.Task[object]) -> None:
        """Have this task canceled by what is asked for; also by what was asked for before."""
        self._task = task
        self.deliver()

    def leaves_nothing(self) -> bool:
        """Return whether no other task of the handler, and no call in a thread, goes on."""
        others = any(not task.done() for task in self._made if task is not asyncio.current_task())
        return not others and not self._sync_thread.is_called()

    async def all_ended(self) -> None:
        """Cancel the tasks that the handler left behind; return once they and its calls in threads have ended.

        After a moment in any case.
        """
        await self._end_tasks()
        await self._sync_thread.calls_ended()

    async def _end_tasks(self) -> None:
        canceled, deadline = set[asyncio.Task[Any]](), time.monotonic() + LEFT_BEHIND_SECONDS
        while left := {task for task in self._made if not task.done()}:
            for task in left - canceled:
                task.cancel()
            canceled |= left  # some may make others, while they end
            seconds = deadline - time.monotonic()
            if seconds <= 0:
                logger.error("event=tasks_left_behind job_id=%s tasks=%d", self._job_id, len(left))
                return
            await asyncio.wait(left, timeout=seconds)

    def deliver(self) -> None:
        """Cancel the task for what was asked for, unless that was done less than two seconds ago; from any thread."""
        with self._delivering:
            if self._due() is None or self._task is None or self._was_raised_just_now():
                return
            self._raised_at = time.monotonic()
        is_waiting = self._sync_thread.is_called()  # not later: what the handler asks while it ends is to be answered
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._cancel)
        if is_waiting:
            self._end_in_background()

    def _cancel(self) -> None:
        if self._due() is not None and self._task is not None:
            self._is_canceled = True
            self._task.cancel()

    def _end_in_background(self) -> None:
        # Asked for now: how the last handler left them may have become known only after this one began.
        known = list(self.connections)
        self.connections += [item for item in self._sync_thread.connections if all(item is not one for one in known)]
        super()._end_in_background()

    def _is_wanted(self, connection: Any) -> bool:
        """Return whether to end what a connection waits for: after the handler any of them may be another one's."""
        return self._open

    def on_signal(self, frame: FrameType | None = None) -> None:
        """Raise that for which the task was canceled, in its place."""
        if self._is_canceled and self._wanted is not None:
            raise self._wanted

    def close(self) -> None:
        """Cancel nothing any more, since the handler has ended.

        Does not wait for whoever ends its statements: the loop must go on, and the connections of a handler that was to
        stop are closed before another one gets them.
        """
        self._open = False

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Allow interruptions of the guarded task inside the block."""
        self._open = True
        try:
            yield
        finally:
            self.close()
