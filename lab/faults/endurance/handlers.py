"""What the jobs of the long run do. Each handler writes down outside the database when it began, lived and ended."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from django_jobs.exceptions import PermanentError, RetryLater, TransientError
from tests.support.record import note, recorded

if TYPE_CHECKING:
    from django_jobs import JobContext

#: Seconds between two signs of life.
STEP: Final = 0.1


def do_nothing(context: JobContext) -> dict[str, Any]:
    """End at once."""
    with recorded(context):
        return _result(context)


def work(context: JobContext) -> dict[str, Any]:
    """Take the time that the parameters say, without ever calling the context."""
    with recorded(context):
        _live(context)
        return _result(context)


def report(context: JobContext) -> dict[str, Any]:
    """The same, saying how far it is."""
    with recorded(context):
        steps = _steps(context)
        for step in range(steps):
            context.update_progress(100 * step / steps, f"step {step}")
            _live(context, STEP)
        return _result(context)


async def work_async(context: JobContext) -> dict[str, Any]:
    """The same in a coroutine."""
    with recorded(context):
        for _ in range(_steps(context)):
            await asyncio.sleep(STEP)
            note("alive", context)
        return _result(context)


def save(context: JobContext) -> dict[str, Any]:
    """Save a file that says which attempt made it."""
    with recorded(context):
        _live(context)
        reference = context.save_output("attempt.txt", f"{context.job_id} {context.attempt}")
        return {**_result(context), "output_reference": reference}


def fail_at_first(context: JobContext) -> dict[str, Any]:
    """Fail until the attempt that the parameters say."""
    with recorded(context):
        _live(context)
        if context.attempt < context.parameters["succeeds_at"]:
            raise TransientError("not yet")
        return _result(context)


def fail_for_good(context: JobContext) -> dict[str, Any]:
    """Fail in a way that no retry mends."""
    with recorded(context):
        _live(context)
        raise PermanentError("never")


def come_back_later(context: JobContext) -> dict[str, Any]:
    """Ask for another run until the attempt that the parameters say."""
    with recorded(context):
        if context.attempt < context.parameters["succeeds_at"]:
            raise RetryLater(0.5, "later")
        return _result(context)


def run_too_long(context: JobContext) -> dict[str, Any]:
    """Never end by itself."""
    with recorded(context):
        while True:
            _live(context, STEP)


def ignore_everything(context: JobContext) -> dict[str, Any]:
    """Never end, whatever is raised to stop it: only its process's death helps."""
    with recorded(context):
        while True:
            try:
                _live(context, STEP)
            except BaseException:  # noqa: BLE001
                continue


def have_children(context: JobContext) -> dict[str, Any]:
    """Submit two jobs, which a later attempt must not submit again, and stay for a while."""
    with recorded(context):
        names = [context.submit_job("work", {"seconds": 0.1, "child": number}).name for number in range(2)]
        _live(context)
        return {**_result(context), "children": names}


def _result(context: JobContext) -> dict[str, Any]:
    return {"attempt": context.attempt}


def _steps(context: JobContext) -> int:
    return max(1, round(float(context.parameters.get("seconds", 0)) / STEP))


def _live(context: JobContext, seconds: float | None = None) -> None:
    """Live for so long, by the time that passes here: a process that was frozen goes on where it was."""
    left = float(context.parameters.get("seconds", 0)) if seconds is None else seconds
    until = time.monotonic() + left
    pause = threading.Event()
    while time.monotonic() < until:
        pause.wait(min(STEP, max(0.0, until - time.monotonic())))
        note("alive", context)
