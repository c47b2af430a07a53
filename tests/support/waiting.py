"""Waiting for other processes. The only place in the tests that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.01
#: Between two looks that start a process each.
RARE_SECONDS = 0.25


def wait_until(predicate: Callable[[], T], timeout: float, what: str, *, pause: float = POLL_SECONDS) -> T:
    """The first true value of ``predicate``; after ``timeout`` seconds the test fails and names ``what``."""
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {timeout:g} s for {what}; the last look gave {value!r}.")
        time.sleep(pause)
    return value
