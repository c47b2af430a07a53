"""Waiting for other processes. The only place in the tests that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.01
#: Of the time that was waited already, before the next look: who waits for long asks seldom.
PART = 0.03
MAX_POLL_SECONDS = 0.1
#: Between two looks that start a process each.
RARE_SECONDS = 0.25


def wait_until(predicate: Callable[[], T], timeout: float, what: str, *, pause: float = POLL_SECONDS) -> T:
    """The first true value of ``predicate``; after ``timeout`` seconds the test fails and names ``what``."""
    began = time.monotonic()
    while not (value := predicate()):
        waited = time.monotonic() - began
        if waited > timeout:
            raise AssertionError(f"Waited {timeout:g} s for {what}; the last look gave {value!r}.")
        time.sleep(max(pause, min(waited * PART, MAX_POLL_SECONDS)))
    return value
