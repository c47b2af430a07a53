"""The part of a handler's context that remembers over attempts: steps and the checkpoint."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import sync_to_async

from django_jobs.engine.execution import coroutines
from django_jobs.engine.execution.checkpoint import Checkpoint
from django_jobs.engine.execution.steps import Done, Step, Steps, refuse_coroutine
from django_jobs.engine.execution.work_notes import MemoryNotes
from django_jobs.exceptions import InvalidStep
from django_jobs.texts import say

if TYPE_CHECKING:
    from django_jobs.engine.execution.runner import Runner
    from django_jobs.engine.execution.work_notes import Notes

T = TypeVar("T")


class DurableWork:
    """Steps are done once for the job; the checkpoint is a note from one attempt to the next."""

    job_id: str
    _runner: Runner

    def __init__(self, notes: Notes | None) -> None:
        """Without ``notes``, what is done is remembered as long as this object is there."""
        notes = notes or MemoryNotes()
        self._steps = Steps(notes)
        self._checkpoint = Checkpoint(notes)

    def step(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call ``function(*args, **kwargs)`` once for the job, and return its result as stored JSON (up to 64 kB).

        The result is committed before this returns; a later attempt gets it without a call. A step that raises is not
        stored. A step is known by its name, its place among equal names and its arguments as they are at the call.
        StepOrderChanged is raised where an earlier attempt had others. Raises InvalidStep for what cannot be a step,
        and JobCanceled when the job is to stop. The function may be called again where its process dies before its
        result is committed.
        """
        self._refuse_late()
        if coroutines.in_event_loop():
            text = "Step %(step)r would hold up the event loop. Call it by: await context.astep(…)."
            raise InvalidStep(say(text, code="in_event_loop", step=name))
        with self._steps.in_one_thread(name):
            with self._runner.shielded():
                step = self._steps.take(name, function, args, kwargs)
            with self._steps.under_way(step):
                refuse_coroutine(step, function)
                return self._do(step, refuse_coroutine)

    def astep(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """:meth:`step` for async handlers: ``await`` it.

        A coroutine function is awaited; any other is called in the handler's thread for synchronous code. The place of
        the step is that of this call, whatever is awaited first. In tasks of their own (``asyncio.gather``) steps come
        in any order. There they are known by name and arguments alone; InvalidStep is raised where two have the same.
        """
        self._refuse_late()
        with self._runner.shielded():
            step = self._steps.take(name, function, args, kwargs)
        step.coroutine = self._ado(step)
        return step.coroutine

    def _do(self, step: Step, check: Callable[[Step, Any], None]) -> Any:
        """Return the result that is stored, else do the step in this thread."""
        if (done := self._done(step)) is not None:
            return done.result
        with self._steps.running() as watch:
            value = step.call.function(*step.call.args, **step.call.kwargs)
        check(step, value)
        with self._runner.shielded():
            return self._steps.store(step, value, watch.seconds)

    def _done(self, step: Step) -> Done | None:
        with self._runner.shielded():
            done = self._steps.done(step)
        if done is None:
            self._runner.check()  # before the effect of the next step
        return done

    async def _ado(self, step: Step) -> Any:
        with self._steps.under_way(step):
            if inspect.iscoroutinefunction(step.call.function):
                if (done := await _in_thread(self._done)(step)) is not None:
                    return done.result
                return await self._await(step, step.call.function(*step.call.args, **step.call.kwargs))
            waiting: list[Awaitable[Any]] = []

            def check(_: Step, value: Any) -> None:
                if inspect.isawaitable(value):
                    waiting.append(value)
                    raise _MustBeAwaited

            try:
                return await _in_thread(self._do)(step, check)
            except _MustBeAwaited:
                return await self._await(step, waiting[0])

    async def _await(self, step: Step, awaitable: Awaitable[Any]) -> Any:
        with self._steps.running() as watch:
            value = await awaitable
        with self._runner.shielded():
            return await _to_its_end(_in_thread(self._steps.store)(step, value, watch.seconds))

    @property
    def checkpoint(self) -> Any:
        """Return a dict that the next attempt finds as it was last saved; at first it is empty.

        It may hold up to 64 kB of JSON. Read when first asked for; in an async handler the event loop waits for that.
        It is saved by :meth:`save_checkpoint`, and where it changed when the worker hands the job back or the handler
        raised RetryLater.
        """
        self._refuse_late()
        if not self._checkpoint.is_read:
            with self._runner.shielded():
                coroutines.outside_loop(self._checkpoint.read)
        return self._checkpoint.value

    @checkpoint.setter
    def checkpoint(self, value: dict[str, Any]) -> None:
        self._checkpoint.replace(value)

    def save_checkpoint(self) -> None:
        """Save ``checkpoint`` for the next attempt; it is committed when this returns.

        Raises InvalidStep where it is no dict of JSON any more, too large, or cannot be committed at once, and
        JobCanceled when the job is to stop.
        """
        self._refuse_late()
        if coroutines.in_event_loop():
            text = "This would hold up the event loop. Call it by: await context.asave_checkpoint()."
            raise InvalidStep(say(text, code="in_event_loop"))
        with self._runner.shielded():
            self._save_checkpoint(None)

    async def asave_checkpoint(self) -> None:
        """:meth:`save_checkpoint` for async handlers."""
        self._refuse_late()
        # As it is now: the handler may change it while another thread writes.
        text = self._checkpoint.text() if self._checkpoint.is_read else None
        with self._runner.shielded():
            await _to_its_end(_in_thread(self._save_checkpoint)(text))

    def _save_checkpoint(self, text: str | None) -> None:
        self._checkpoint.require_commits()
        if text is None:
            self._checkpoint.read()
            text = self._checkpoint.text()
        self._checkpoint.save(text)

    def unsaved_checkpoint(self) -> str | None:
        """Return JSON of the checkpoint if it changed since it was saved; for the engine."""
        return self._checkpoint.unsaved(self.job_id)

    def _refuse_late(self) -> None:
        raise NotImplementedError


class _MustBeAwaited(Exception):
    """A plain function returned something to be awaited."""


def _in_thread(function: Callable[..., T]) -> Callable[..., Coroutine[Any, Any, T]]:
    return sync_to_async(function, thread_sensitive=True)


async def _to_its_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns. Whoever cancels this waits for its end: what it stores has happened."""
    task = asyncio.ensure_future(coroutine)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # else the loop reports that nobody asked for it
        raise
