"""The event loop in which the coroutines of a child run, and the threads that they call."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType
from typing import Any, Final

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.db import connections, reset_queries

from django_jobs.engine import timing
from django_jobs.engine.claimed_job import Claimed, current_job
from django_jobs.engine.execution.context import JobContext
from django_jobs.engine.execution.run import (
    attempt_beside_others,
    ended_by,
    restore_connections,
)
from django_jobs.engine.store import database
from django_jobs.engine.store.values import AttemptKey
from django_jobs.worker.child_state import ChildState, begin_job, hand_over
from django_jobs.worker.interruption import Interrupter, Report

logger = logging.getLogger("django_jobs")

# What coroutines call in threads: which calls are under way, and where those run that need no certain thread.


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
        while self.under_way() and time.monotonic() < deadline:  # noqa: ASYNC110  (threads set no event of the loop)
            await asyncio.sleep(timing.HUNG_CALL_LOOK_SECONDS)


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


# The thread in which a coroutine's ``sync_to_async`` calls run, with its connections; it stays for the next one.


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
        if self._executor.last is not None and time.monotonic() - self._rested >= timing.RESTED_CONNECTION_SECONDS:
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
        """Return once no call of the handler is under way, here or elsewhere; after HUNG_CALL_SECONDS in any case."""
        deadline = time.monotonic() + timing.HUNG_CALL_SECONDS
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
        self._timer = asyncio.get_running_loop().call_later(timing.IDLE_CONNECTION_SECONDS, self._rest)
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
        if connection.connection is not None and not connection.is_usable():
            database.drop(connection)


# Stopping a coroutine that runs beside others in one event loop: its task is canceled until it ends.


class TaskInterrupter(Interrupter):
    """Guards the task of one handler. What ends with ``CancelledError`` after that ends with the interruption.

    Statements that the handler waits for in another thread are ended on the server, as for other handlers.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sync_thread: SyncThread,
        job_id: str,
        made: Iterable[asyncio.Task[Any]],
        report: Report,
    ) -> None:
        """``sync_thread`` is where its ``sync_to_async`` calls run; ``made`` has the tasks that its handler makes."""
        super().__init__(on_main_thread=False, connections=sync_thread.connections, report=report)
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
        canceled, deadline = set[asyncio.Task[Any]](), time.monotonic() + timing.LEFT_BEHIND_TASK_SECONDS
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


# Running a coroutine in a slot, in the loop that runs already.


async def run_in_loop(state: ChildState, slot: int, claimed: Claimed, interrupter: TaskInterrupter) -> None:
    """Run a coroutine in a slot, in the loop that runs already; else as ``run_in``."""
    try:
        context = JobContext(claimed, interrupter)
        begin = functools.partial(begin_job, state, slot, claimed)
        end = functools.partial(state.shared_slots.end, slot)
        outcome = await attempt_beside_others(claimed, context, interrupter, begin, end)
    except BaseException as error:
        logger.exception("event=run_failed worker=%s job_id=%s", state.name, claimed.job_id)
        outcome = ended_by(claimed, error)
    hand_over(state, slot, outcome, interrupter)


# The thread in whose event loop the coroutines of a child run, many at a time.


class EventLoop:
    """Starts coroutines in hand as soon as slots are free, each in a task and a context of its own.

    Their shared slots follow those of the threads; ``on_end`` is called at each end.
    """

    def __init__(self, state: ChildState, on_end: Callable[[], object]) -> None:
        self._state = state
        self._on_end = on_end
        threads = state.options.threads
        self._free = [SyncThread(slot) for slot in reversed(range(threads, 2 * threads))]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._other_threads = OtherThreads(state.options.threads)
        self._context = contextvars.Context()
        self._is_stopping = False
        #: The tasks that the handler of each running attempt has made.
        self._tasks: dict[AttemptKey, weakref.WeakSet[asyncio.Task[Any]]] = {}
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
        self._state.in_hand.wake_loop = self.wake

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
            self._loop.call_later(timing.LOOP_BEAT_SECONDS, self._beat)

    def _start_more(self) -> None:
        assert self._loop is not None  # noqa: S101  (this runs in it)
        while self._free and (claimed := self._state.in_hand.next(is_coroutine=True)) is not None:
            self._tidy(self._loop)
            sync_thread, tasks = self._free.pop(), weakref.WeakSet[asyncio.Task[Any]]()
            report = self._state.progress.report
            interrupter = TaskInterrupter(self._loop, sync_thread, claimed.job_id, tasks, report)
            self._tasks[claimed.key] = tasks
            # Not by the task, which begins late where a neighbor blocks the loop: what nobody knows is requeued.
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
        self._tasks.pop(claimed.key, None)
        self._state.running.remove(claimed)
        if sync_thread.hangs_elsewhere():
            self._take_other_threads(self._loop)
        self._free.append(sync_thread.restored(is_interrupted=interrupter.wanted is not None))
        self._state.in_hand.finish()
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
        tasks = None if claimed is None else self._tasks.get(claimed.key)
        if tasks is not None:
            tasks.add(task)
        return task
