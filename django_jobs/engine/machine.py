"""Processes of this machine: which are gone, and the clock by which a worker judges its own leases."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

# Which processes of this machine are gone, told by what the kernel says of them. Without Linux's /proc: nobody knows.
#
# A process is told from a later one with the same number by the time at which it started; a machine from its clone, and
# from itself before its last boot, by the boot's random id. Who sees other process numbers (in another container), or
# counts the time since the boot from another moment, is asked nothing.


_PROC: Final = Path("/proc")
#: The fields of /proc/PID/stat behind the command's name: state, number of threads, start in ticks since the boot.
_STATE, _THREADS, _STARTED = 0, 17, 19
_ENDED: Final = frozenset({"Z", "X"})


def place() -> str:
    """Return by what to know whether two processes can judge each other; empty where none can."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        spaces = [str((_PROC / "self/ns" / name).readlink()) for name in ("pid", "time") if _has(name)]
    except OSError:
        return ""
    return " ".join([boot, *spaces]) if spaces and spaces[0].startswith("pid:") else ""


def _has(name: str) -> bool:
    return os.path.lexists(_PROC / "self/ns" / name)


def describe(*pids: int) -> str:
    """Return these processes as text for :func:`are_gone`; empty where one is not to be seen."""
    found = {pid: _facts(pid) for pid in pids}
    if None in found.values():
        return ""
    return " ".join(f"{pid}@{facts[_STARTED]}" for pid, facts in found.items() if facts)


def are_gone(described: str) -> bool:
    """Return whether it is certain that none of these processes lives any more."""
    return bool(described) and all(_is_gone(*item.split("@")) for item in described.split())


def _is_gone(pid: str, started: str) -> bool:
    try:
        os.kill(int(pid), 0)  # asked of the kernel, since /proc may hide the processes of other users
    except ProcessLookupError:
        return True
    except OSError:  # it is somebody else's
        pass
    facts = _facts(int(pid))
    if facts is None:
        return False
    # One that nobody has buried yet is dead, unless threads of it go on.
    return facts[_STARTED] != started or (facts[_STATE] in _ENDED and int(facts[_THREADS]) <= 1)


def _facts(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # the command's name, in parentheses, may hold anything


# The clock by which a worker judges its own leases.


def uptime_seconds() -> float:
    """Return the seconds since this machine started, with those for which it was suspended where its system tells.

    Leases go by the database's clock, which does not stop while a worker's machine sleeps; ``time.monotonic`` does.
    All processes of a machine have the same such clock.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
