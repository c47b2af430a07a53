"""Counts what a process sends to PostgreSQL and Redis, and does it harm at one chosen place.

A boundary is one request: a statement, BEGIN and COMMIT included, or one command of Redis. All connections of the
process are counted together, so that its whole work is one sequence.
"""

from __future__ import annotations

import enum
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace


class Harm(enum.Enum):
    """What happens at the chosen boundary."""

    #: Nothing; the sequence is only recorded.
    NONE = "none"
    #: The process is killed when its request has been carried out, which is the same as before its next one: nothing is
    #: stored in between.
    KILLED = "killed"
    #: The request is carried out, then the line breaks at both ends and the answer is lost.
    ANSWER_LOST = "answer lost"
    #: The request is carried out and the answer never comes; the server believes that the line is still there.
    HALF_OPEN = "half open"


@dataclass(frozen=True, slots=True)
class Boundary:
    """One request: ``line`` is postgresql or redis.

    ``is_open`` tells whether a transaction was open after it, ``changes`` whether anything is stored since it that a
    process which starts anew would find.
    """

    line: str
    text: str
    is_open: bool = False
    changes: bool = False

    def shows_more(self, harm: Harm) -> bool:
        """Return whether this harm shows something here that no other harm, and no other boundary, shows."""
        match harm:
            case Harm.KILLED:
                return self.changes
            case Harm.ANSWER_LOST:
                # Within a transaction, a half open line is the same for the process, and holds its locks beside.
                return not self.is_open
            case Harm.HALF_OPEN:
                # The server holds locks, or the client waits. What opens a transaction locks nothing yet.
                return self.line == "redis" or (self.is_open and not self.text.startswith(("BEGIN", "SET ")))
        return True


@dataclass(slots=True)
class Boundaries:
    """The sequence of one process, and the harm at its boundary number ``at``, counted from 1."""

    at: int = 0
    harm: Harm = Harm.NONE
    pid: int = 0
    seen: list[Boundary] = field(default_factory=list)
    is_hit: bool = False
    #: What is stored now; asked after each request where the sequence is recorded.
    look: Callable[[], str] | None = None
    _stored: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def arm(self, at: int, harm: Harm, look: Callable[[], str] | None) -> None:
        """Begin a new sequence."""
        with self._lock:
            self.at, self.harm, self.pid, self.is_hit, self.look = at, harm, 0, False, look
            self.seen = []
            self._stored = look() if look else ""

    def before(self, boundary: Boundary) -> int:
        """Count a request that is about to be sent, and return its number."""
        with self._lock:
            self.seen.append(boundary)
            return len(self.seen)

    def after(self, number: int, *, is_open: bool) -> bool:
        """Return whether the answer to this request may be given; kill the process where that is the harm."""
        with self._lock:
            self.seen[number - 1] = replace(self.seen[number - 1], is_open=is_open, changes=self._has_changed())
            if number != self.at or self.harm == Harm.NONE:
                return True
            self.is_hit = True
            if self.harm == Harm.KILLED:
                os.kill(self.pid, signal.SIGKILL)
            return False

    def _has_changed(self) -> bool:
        if self.look is None:
            return False
        before, self._stored = self._stored, self.look()
        return before != self._stored
