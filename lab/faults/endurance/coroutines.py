"""The handlers of the long run as coroutines, by the same names: what ``--slots coroutines`` runs in their place."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from django_jobs.exceptions import PermanentError, RetryLater, TransientError
from lab.faults.endurance.handlers import STEP, _result, _steps, work_async
from tests.support.record import note, recorded

if TYPE_CHECKING:
    from django_jobs import JobContext

work = work_async


async def do_nothing(context: JobContext) -> dict[str, Any]:
    with recorded(context):
        return _result(context)


async def report(context: JobContext) -> dict[str, Any]:
    with recorded(context):
        steps = _steps(context)
        for step in range(steps):
            context.update_progress(100 * step / steps, f"step {step}")
            await _live(context, STEP)
        return _result(context)


async def save(context: JobContext) -> dict[str, Any]:
    with recorded(context):
        await _live(context)
        text = f"{context.job_id} {context.attempt}"
        reference = await sync_to_async(context.save_output)("attempt.txt", text)
        return {**_result(context), "output_reference": reference}


async def fail_at_first(context: JobContext) -> dict[str, Any]:
    with recorded(context):
        await _live(context)
        if context.attempt < context.parameters["succeeds_at"]:
            raise TransientError("not yet")
        return _result(context)


async def fail_for_good(context: JobContext) -> dict[str, Any]:
    with recorded(context):
        await _live(context)
        raise PermanentError("never")


async def come_back_later(context: JobContext) -> dict[str, Any]:
    with recorded(context):
        if context.attempt < context.parameters["succeeds_at"]:
            raise RetryLater(0.5, "later")
        return _result(context)


async def run_too_long(context: JobContext) -> dict[str, Any]:
    with recorded(context):
        while True:
            await _live(context, STEP)


async def ignore_everything(context: JobContext) -> dict[str, Any]:
    with recorded(context):
        while True:
            try:
                await _live(context, STEP)
            except BaseException:  # noqa: BLE001
                continue


async def have_children(context: JobContext) -> dict[str, Any]:
    with recorded(context):
        parameters = [{"seconds": 0.1, "child": number} for number in range(2)]
        names = [(await context.asubmit_job("work", item)).name for item in parameters]
        await _live(context)
        return {**_result(context), "children": names}


async def _live(context: JobContext, seconds: float | None = None) -> None:
    """Live for so long, by the time that passes here: a process that was frozen goes on where it was."""
    until = time.monotonic() + (float(context.parameters.get("seconds", 0)) if seconds is None else seconds)
    while time.monotonic() < until:
        await asyncio.sleep(min(STEP, max(0.0, until - time.monotonic())))
        note("alive", context)
