"""The Python stacks of a process that is about to be killed, or that crashed; they show what it was doing.

The child's ``faulthandler`` writes them to a file that it shares with its supervisor. It does so from a signal handler
in C, so that it works also while a job's handler holds the interpreter's lock. A process that is stopped, or waits in
the kernel, writes nothing.

Up to Python 3.12 the signal can come while the interpreter enters a function from C, such as another signal's handler:
for some instructions the thread's frame is then what was in memory before. Where that is nothing, the thread seems to
have no frame, and the process is asked again.
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

from django_jobs.texts import Text, say
from django_jobs.worker.shared import OccupiedSlot

SIGNAL: Final = signal.SIGUSR2
#: How long the supervisor waits for a process to write its stacks. On a busy machine it may not run for a second.
ANSWER_SECONDS: Final = 3.0
#: A process that has written the stacks of its handlers, and then nothing for so long, has finished.
QUIET_SECONDS: Final = 0.04
#: How often a process is asked at most.
MAX_QUESTIONS: Final = 3
#: What ``faulthandler`` writes of a thread without a frame.
NO_FRAME: Final = "<no Python frame>"
#: Stands before the stack of the job's own thread.
OWN_THREAD: Final = "The handler's thread:"
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
        self._questions = 0
        self._asked = 0.0
        self._size = self._size_before = 0
        self._grown_at = 0.0

    def ask(self) -> None:
        """Note that the process was asked for its stacks just now."""
        self._questions += 1
        self._asked = self._grown_at = time.monotonic()
        self._size = self._size_before = os.fstat(self.descriptor).st_size

    def is_awaited(self, running: Iterable[OccupiedSlot]) -> bool:
        """Return whether the process may still write, in which these jobs run."""
        now, size = time.monotonic(), os.fstat(self.descriptor).st_size
        if size != self._size:
            self._size, self._grown_at = size, now
        if now - self._asked >= ANSWER_SECONDS:
            return False
        is_quiet = self._size > self._size_before and now - self._grown_at > QUIET_SECONDS
        return not (is_quiet and self._has_threads_of(running))

    def _has_threads_of(self, running: Iterable[OccupiedSlot]) -> bool:
        """Return whether the process has written the threads of these jobs since it was asked."""
        _, blocks = _parted(self._text_from(self._size_before))
        return all(item.thread in blocks for item in running if item.thread)

    def is_to_be_asked_again(self, running: Iterable[OccupiedSlot]) -> bool:
        """Return whether the thread of one of these jobs seemed to have no frame, each time that it was asked."""
        if not 0 < self._questions < MAX_QUESTIONS:
            return False
        _, blocks = _parted(self.read())
        return any(NO_FRAME in blocks.get(item.thread, "") for item in running)

    def read(self) -> str:
        """Return what was written."""
        return self._text_from(0)

    def _text_from(self, start: int) -> str:
        return os.pread(self.descriptor, MAX_BYTES, start).decode(errors="replace").replace("\0", "")

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def tracebacks(raw: str, running: Iterable[OccupiedSlot], what: str, *, was_asked: bool) -> dict[tuple[int, int], Text]:
    """Return the text for each job's Execution Log, by (job, attempt): ``what`` happened, then the stacks.

    The job's own thread comes first. Empty where the process was not asked, and wrote nothing.
    """
    if not raw and not was_asked:
        return {}
    if not raw:
        text = say("%(what)s. There are no stacks: the process did not answer.", code="no_stacks", what=what)
        return {item.key: text for item in running}
    pattern = "%(what)s. The stacks of its threads at that time:\n\n%(stacks)s"
    return {item.key: say(pattern, code="stacks", what=what, stacks=_own_first(raw, item)) for item in running}


def _own_first(raw: str, item: OccupiedSlot) -> str:
    """Return the stacks with that of the job's thread first, and with a title."""
    head, blocks = _parted(raw)
    own = blocks.pop(item.thread, "")
    named = f"{OWN_THREAD}\n{own}" if own else ""
    text = "\n\n".join(part for part in (head, named, *blocks.values()) if part)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def _parted(raw: str) -> tuple[str, dict[int, str]]:
    """Return what stands before the first thread, and each thread's last stack that shows a frame, if one does."""
    starts = [found.start() for found in _THREAD.finditer(raw)] or [len(raw)]
    blocks: dict[int, str] = {}
    for start, end in itertools.pairwise([*starts, len(raw)]):
        block = raw[start:end].strip()
        found = _THREAD.match(block)
        thread = int(found[1], 16) if found else 0
        if block and (thread not in blocks or NO_FRAME not in block):
            blocks[thread] = block
    return raw[: starts[0]].strip(), blocks
