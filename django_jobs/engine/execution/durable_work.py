"""The part of a handler's context that remembers over attempts: steps and the checkpoint."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import sync_to_async

from django_jobs.engine.execution import coroutines
from django_jobs.engine.execution.checkpoint import Checkpoint
from django_jobs.engine.execution.steps import Done, Place, Steps, refuse_coroutine
from django_jobs.engine.execution.work_notes import MemoryNotes
from django_jobs.exceptions import InvalidStep

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
        stored. Steps are known by their place: the n-th call of an attempt must have the name that it had before, else
        StepOrderChanged is raised. Raises InvalidStep for what cannot be a step, and JobCanceled when the job is to
        stop. The function may be called again where its process dies before its result is committed.
        """
        self._refuse_late()
        if coroutines.in_event_loop():
            raise InvalidStep(f"Step {name!r} would hold up the event loop. Call it by: await context.astep(…).")
        with self._steps.in_one_thread(name):
            with self._runner.shielded():
                place = self._steps.take(name, function, args, kwargs)
                refuse_coroutine(place, function)
            return self._do(place, function, args, kwargs, refuse_coroutine)

    def astep(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """:meth:`step` for async handlers: ``await`` it.

        A coroutine function is awaited; any other is called in the handler's thread for synchronous code. The place of
        the step is that of this call, whatever is awaited first.
        """
        self._refuse_late()
        with self._runner.shielded():
            place = self._steps.take(name, function, args, kwargs)
        return self._ado(place, function, args, kwargs)

    def _do(
        self, place: Place, function: Callable[..., Any], args: Any, kwargs: Any, check: Callable[[Place, Any], None]
    ) -> Any:
        """Return the result that is stored, else do the step in this thread."""
        if (done := self._done(place)) is not None:
            return done.result
        with self._steps.running(place) as watch:
            value = function(*args, **kwargs)
        check(place, value)
        with self._runner.shielded():
            return self._steps.store(place, value, watch.seconds)

    def _done(self, place: Place) -> Done | None:
        with self._runner.shielded():
            done = self._steps.done(place)
        if done is None:
            self._runner.check()  # before the effect of the next step
        return done

    async def _ado(self, place: Place, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if not inspect.iscoroutinefunction(function):
            waiting: list[Awaitable[Any]] = []

            def check(_: Place, value: Any) -> None:
                if inspect.isawaitable(value):
                    waiting.append(value)
                    raise _MustBeAwaited

            try:
                return await _in_thread(self._do)(place, function, args, kwargs, check)
            except _MustBeAwaited:
                return await self._await(place, waiting[0])
        if (done := await _in_thread(self._done)(place)) is not None:
            return done.result
        return await self._await(place, function(*args, **kwargs))

    async def _await(self, place: Place, awaitable: Awaitable[Any]) -> Any:
        with self._steps.running(place) as watch:
            value = await awaitable
        with self._runner.shielded():
            return await _to_its_end(_in_thread(self._steps.store)(place, value, watch.seconds))

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
            raise InvalidStep("This would hold up the event loop. Call it by: await context.asave_checkpoint().")
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
