"""The thread in whose event loop the coroutines of a child run, many at a time."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final

from django_jobs.engine.claimed_job import Claimed, current_job
from django_jobs.worker.child_state import ChildState
from django_jobs.worker.slot_run import run_in_loop
from django_jobs.worker.sync_thread import SyncThread
from django_jobs.worker.task_interruption import TaskInterrupter
from django_jobs.worker.thread_calls import OtherThreads

logger = logging.getLogger("django_jobs")

#: How often the loop shows that it moves.
BEAT_SECONDS: Final = 0.1


class EventLoop:
    """Starts coroutines of the batch as soon as slots are free, each in a task and a context of its own.

    ``first_slot`` is the first of as many shared slots as may run at a time; ``on_end`` is called at each end.
    """

    def __init__(self, state: ChildState, first_slot: int, on_end: Callable[[], object]) -> None:
        self._state = state
        self._on_end = on_end
        self._free = [SyncThread(first_slot + number) for number in reversed(range(state.options.threads))]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._other_threads = OtherThreads(state.options.threads)
        self._context = contextvars.Context()
        self._is_stopping = False
        #: The tasks that the handler of each running attempt has made.
        self._tasks: dict[tuple[int, int], weakref.WeakSet[asyncio.Task[Any]]] = {}
        self._runs: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start the thread, unless it runs. Raises RuntimeError or OSError where the process may have no more threads,
        or no more open files.
        """
        if self._thread is not None:
            return
        loop = asyncio.new_event_loop()
        try:
            self._tidy(loop)
            thread = threading.Thread(target=self._run, args=[loop], name="event loop", daemon=True)
            self._loop = loop
            thread.start()
        except RuntimeError:
            self._loop = None
            loop.close()
            raise
        self._thread = thread
        self._state.loop_watch.watch(thread)
        self._state.batch.wake_loop = self.wake

    def wake(self) -> None:
        """Have the loop start what may start; return at once."""
        if self._loop is not None:
            # In an empty context: that of whoever calls may be a handler's.
            self._loop.call_soon_threadsafe(self._start_more, context=self._context)

    def stop(self) -> None:
        """End the loop, in which nothing runs any more; wait for its thread for at most ten seconds."""
        self._is_stopping = True
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=10)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.call_soon(self._beat)
        while not self._is_stopping:
            # asyncio lets a handler's SystemExit end the loop, beside the task in which it was raised.
            with contextlib.suppress(SystemExit, KeyboardInterrupt):
                loop.run_forever()
        for sync_thread in self._free:
            sync_thread.close()
        loop.close()

    def _beat(self) -> None:
        self._state.loop_watch.beat()
        if self._loop is not None:
            self._loop.call_later(BEAT_SECONDS, self._beat)

    def _start_more(self) -> None:
        assert self._loop is not None  # noqa: S101  (this runs in it)
        while self._free and (claimed := self._state.batch.next_coroutine()) is not None:
            self._tidy(self._loop)
            sync_thread, tasks = self._free.pop(), weakref.WeakSet[asyncio.Task[Any]]()
            interrupter = TaskInterrupter(self._loop, sync_thread, claimed.job_id, tasks)
            self._tasks[claimed.pk, claimed.attempt] = tasks
            # Not by the task, which begins late where a neighbor blocks the loop: what nobody knows is handed back.
            self._state.running.add(claimed, interrupter)
            run = self._run_one(claimed, sync_thread, interrupter)
            task = self._loop.create_task(run, context=self._context.copy())
            self._runs.add(task)
            # Not at the end of the run: a neighbor that cancels all tasks may keep it from beginning.
            task.add_done_callback(functools.partial(self._end_one, claimed, sync_thread, interrupter))

    async def _run_one(self, claimed: Claimed, sync_thread: SyncThread, interrupter: TaskInterrupter) -> None:
        try:
            async with sync_thread:
                await run_in_loop(self._state, sync_thread.slot, claimed, interrupter)
        except BaseException:
            logger.exception("event=slot_failed worker=%s", self._state.name)

    def _end_one(
        self, claimed: Claimed, sync_thread: SyncThread, interrupter: TaskInterrupter, task: asyncio.Task[None]
    ) -> None:
        """Free the slot. A run that did not begin has no outcome; the housekeeper finds that nobody knows its job."""
        assert self._loop is not None  # noqa: S101  (this runs in it)
        self._runs.discard(task)
        self._tasks.pop((claimed.pk, claimed.attempt), None)
        self._state.running.remove(claimed)
        if sync_thread.hangs_elsewhere():
            self._take_other_threads(self._loop)
        self._free.append(sync_thread.restored(is_interrupted=interrupter.wanted is not None))
        self._state.batch.finish()
        self._on_end()

    def _take_other_threads(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the next calls run in new threads: the old ones end once what runs in them has ended."""
        self._other_threads.shutdown(wait=False)
        self._other_threads = OtherThreads(self._state.options.threads)
        loop.set_default_executor(self._other_threads)

    def _tidy(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set in the loop what belongs to all its jobs: one of them may have changed it."""
        loop.set_task_factory(self._make_task)
        loop.set_default_executor(self._other_threads)
        loop.set_exception_handler(None)

    def _make_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **keywords: Any) -> asyncio.Task[Any]:
        """Make a task, and note it where a handler makes it; a task factory."""
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **keywords)
        claimed = current_job.get()
        tasks = None if claimed is None else self._tasks.get((claimed.pk, claimed.attempt))
        if tasks is not None:
            tasks.add(task)
        return task
