"""The Python stacks of a process that is about to be killed, or that crashed; they show what it was doing.

The child's ``faulthandler`` writes them to a file that it shares with its supervisor. It does so from a signal handler
in C, so that it works also while a job's handler holds the interpreter's lock. A process that is stopped, or waits in
the kernel, writes nothing.
"""

from __future__ import annotations

import faulthandler
import itertools
import os
import re
import signal
import tempfile
import time
from collections.abc import Iterable
from typing import Final

from django_jobs.worker.shared_slots import OccupiedSlot

SIGNAL: Final = signal.SIGUSR2
#: How long the supervisor waits for a process to write its stacks.
ANSWER_SECONDS: Final = 1.0
#: A process that has written nothing for so long has finished.
QUIET_SECONDS: Final = 0.04
MAX_BYTES: Final = 512_000
MAX_TEXT: Final = 60_000
_THREAD: Final = re.compile(r"^(?:Current )?[Tt]hread 0x([0-9a-f]+)", re.MULTILINE)


def leave_stacks_in(descriptor: int) -> None:
    """Make this process write all threads' stacks there at the signal, and when the interpreter crashes."""
    faulthandler.enable(file=descriptor, all_threads=True)
    faulthandler.register(SIGNAL, file=descriptor, all_threads=True, chain=False)


class StackFile:
    """The file with a child's stacks, as its supervisor sees it."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as file:
            self.descriptor = os.dup(file.fileno())
        self._asked = 0.0
        self._size = 0
        self._grown_at = 0.0

    def ask(self) -> None:
        """Note that the process was asked for its stacks just now."""
        self._asked = self._grown_at = time.monotonic()

    def is_awaited(self) -> bool:
        """Return whether the process may still write."""
        now, size = time.monotonic(), os.fstat(self.descriptor).st_size
        if size != self._size:
            self._size, self._grown_at = size, now
        is_quiet = self._size > 0 and now - self._grown_at > QUIET_SECONDS
        return now - self._asked < ANSWER_SECONDS and not is_quiet

    def read(self) -> str:
        """Return what was written."""
        return os.pread(self.descriptor, MAX_BYTES, 0).decode(errors="replace").replace("\0", "")

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def tracebacks(raw: str, running: Iterable[OccupiedSlot], what: str, *, was_asked: bool) -> dict[tuple[int, int], str]:
    """Return the text for each job's Execution Log, by (job, attempt): ``what`` happened, then the stacks.

    The job's own thread comes first. Empty where the process was not asked, and wrote nothing.
    """
    if not raw and not was_asked:
        return {}
    if not raw:
        return {item.key: f"{what}. There are no stacks: the process did not answer." for item in running}
    return {item.key: f"{what}. The stacks of its threads at that time:\n\n{_own_first(raw, item)}" for item in running}


def _own_first(raw: str, item: OccupiedSlot) -> str:
    """Return the stacks with that of the job's thread first, and with a title."""
    starts = [found.start() for found in _THREAD.finditer(raw)]
    blocks = [raw[start:end].strip() for start, end in itertools.pairwise([*starts, len(raw)])]
    own = [block for block in blocks if _thread_of(block) == item.thread]
    others = [block for block in blocks if block not in own]
    head = raw[: starts[0]].strip() if starts else raw.strip()
    named = [f"The handler's thread:\n{block}" for block in own]
    text = "\n\n".join(part for part in (head, *named, *others) if part)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def _thread_of(block: str) -> int:
    found = _THREAD.match(block)
    return int(found[1], 16) if found else 0
