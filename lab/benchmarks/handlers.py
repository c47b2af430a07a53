"""What benchmark jobs do."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from lab.benchmarks.peers import work

if TYPE_CHECKING:
    from django_jobs import JobContext


def nothing(context: JobContext) -> None:
    """The job whose whole cost is ours."""


def clock(context: JobContext) -> dict[str, float]:
    """Says when it began."""
    return {"began": time.time()}


def wait(context: JobContext) -> None:
    """A job that waits for something, as most jobs wait on a network."""
    time.sleep(0.01)


async def wait_async(context: JobContext) -> None:
    """The same as a coroutine."""
    await asyncio.sleep(0.01)


def tell(context: JobContext) -> None:
    """Send how late it began to whoever measures it beside other task queues."""
    work.tell(context.parameters["submitted"], context.parameters["port"])
