"""How much memory a process has, for ``jobs_worker --max-memory``, and giving back what it has freed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys
from pathlib import Path
from typing import Final

MEGABYTE: Final = 1_048_576
_STATM: Final = Path("/proc/self/statm")


def megabytes() -> float:
    """Return the megabytes that this process holds now; on macOS, which does not tell, the most it ever held."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:
        return _peak()
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


def give_back() -> None:
    """Give the memory that was freed back to the system, where the C library can: malloc_trim(3), which glibc has.

    A process that compiled all that it imported, because there were no ``.pyc`` files, has freed 10 MB and more.
    """
    with contextlib.suppress(AttributeError, TypeError, OSError):  # another C library, or none that Python can ask
        ctypes.CDLL(None).malloc_trim(0)


def _peak() -> float:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / MEGABYTE if sys.platform == "darwin" else most / 1024  # kilobytes elsewhere
