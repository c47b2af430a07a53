"""The handlers of acceptance tests as coroutines, by the same names: what ``--slots=coroutines`` runs in their place.

One that waits awaits; one that asks the database does so in its thread; any other is done without leaving the loop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from tests.support import handlers
from tests.support.handlers import ask_for_long_async as ask_for_long
from tests.support.handlers import echo_async as echo
from tests.support.handlers import gather_async as gather
from tests.support.handlers import record_and_wait_async as record_and_wait
from tests.support.handlers import take_steps_async as take_steps

if TYPE_CHECKING:
    from django_jobs import JobContext

__all__ = ["ask_for_long", "echo", "gather", "record_and_wait", "take_steps"]


async def do_nothing(context: JobContext) -> None:
    handlers.do_nothing(context)


async def fail_for_good(context: JobContext) -> None:
    handlers.fail_for_good(context)


async def fail_until_attempt(context: JobContext) -> dict[str, Any]:
    return handlers.fail_until_attempt(context)


async def fail_and_tell(context: JobContext) -> None:
    handlers.fail_and_tell(context)


async def listen_slowly(context: JobContext) -> None:
    handlers.listen_slowly(context)


async def return_what_was_asked_for(context: JobContext) -> Any:
    return handlers.return_what_was_asked_for(context)


async def wait_with_checkpoints(context: JobContext) -> None:
    while True:
        context.update_progress(50, "waiting")
        await asyncio.sleep(0.02)


async def wait_without_checkpoints(context: JobContext) -> None:
    context.update_progress(1, "waiting")
    await asyncio.sleep(60)


async def swallow_everything(context: JobContext) -> None:
    context.update_progress(1, "waiting")
    while True:
        try:
            await asyncio.sleep(60)
        except BaseException:  # noqa: BLE001
            continue


async def misbehave(context: JobContext) -> None:
    if context.parameters["how"] in {"open transaction", "broken transaction", "closed connection"}:
        await sync_to_async(handlers.misbehave)(context)
    else:
        handlers.misbehave(context)


async def die_if_asked(context: JobContext) -> None:
    handlers.die_if_asked(context)


async def hold_the_interpreter(context: JobContext) -> None:
    handlers.hold_the_interpreter(context)


async def hold_if_asked(context: JobContext) -> None:
    handlers.hold_if_asked(context)


async def crash(context: JobContext) -> None:
    handlers.crash(context)
