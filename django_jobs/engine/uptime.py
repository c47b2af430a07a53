"""The clock by which a worker judges its own leases."""

from __future__ import annotations

import time


def seconds() -> float:
    """Return the seconds since this machine started, with those for which it was suspended where its system tells.

    Leases go by the database's clock, which does not stop while a worker's machine sleeps; ``time.monotonic`` does.
    All processes of a machine have the same such clock.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
