"""What the jobs of all peers do."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Final

WAIT_SECONDS: Final = 0.01


def nothing() -> None:
    """The job whose whole cost is the queue's."""


async def nothing_async() -> None:
    """The same as a coroutine."""


def wait() -> None:
    """Wait for something, as most jobs wait on a network."""
    time.sleep(WAIT_SECONDS)


async def wait_async() -> None:
    """The same as a coroutine."""
    await asyncio.sleep(WAIT_SECONDS)


def tell(submitted: float, port: int) -> None:
    """Send to a UDP port how many seconds after its submission the job began."""
    began = time.time()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.sendto(str(began - submitted).encode(), ("127.0.0.1", port))


async def tell_async(submitted: float, port: int) -> None:
    """The same as a coroutine."""
    tell(submitted, port)
