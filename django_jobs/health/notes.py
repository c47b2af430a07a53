"""What a process noted last of its own work, and of the database and the broker; and what probes are told of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from django_jobs.texts import say

#: A main loop that waits for no network, and has not got on for so many seconds, hangs.
LOOP_SECONDS: Final = 30.0
#: A scheduler's loop waits for the database, which is given up sooner, and for the host's code.
SCHEDULER_SECONDS: Final = 180.0
#: Older news of the database and the broker count for nothing. A round gives up what does not answer sooner.
STALE_SECONDS: Final = 30.0


class Outside:
    """Something outside this process, and whether it answered when it was asked last."""

    def __init__(self, name: str) -> None:
        self.name = name
        #: When it answered last, or else when this process started.
        self._since = time.monotonic()
        self._has_answered = False
        self._error = ""

    def answered(self) -> None:
        """Note that it answered now."""
        self._since, self._has_answered, self._error = time.monotonic(), True, ""

    def failed(self, error: Exception) -> None:
        """Note that it failed now. What the error says is for the log, not for whoever reads this."""
        self._error = type(error).__name__

    @property
    def is_up(self) -> bool:
        """Return whether it answered when it was asked last, and that not too long ago."""
        return self._has_answered and not self._error and time.monotonic() - self._since < STALE_SECONDS

    @property
    def problem(self) -> str:
        """Return what is wrong, as a sentence with its code; empty where nothing is."""
        if self.is_up:
            return ""
        return say(
            "The %(what)s has not answered for %(seconds).0f s%(why)s.",
            code=f"{self.name}_unavailable" if self._has_answered or self._error else f"{self.name}_not_yet",
            what=self.name,
            seconds=time.monotonic() - self._since,
            why=f" ({self._error})" if self._error else "",
            error=self._error,
        )


class HealthNotes:
    """What the rounds of a worker or a scheduler write down. Reading it waits for nothing."""

    def __init__(self) -> None:
        self.database = Outside("database")
        self.broker = Outside("broker")
        #: How many children a worker should have, and how many live; None where there are to be none.
        self.children: tuple[int, int] | None = None
        self.has_begun = False
        self.is_leaving = False
        #: Whether the scheduler of this process leads; None without one.
        self.leads: Callable[[], bool] | None = None
        self._beat = time.monotonic()
        #: Each loop that is followed: when it got on last, and for how long it may stand still.
        self._loops: dict[str, tuple[Callable[[], float], float]] = {}

    def beat(self) -> None:
        """Note that the main loop has got on."""
        self._beat, self.has_begun = time.monotonic(), True
        self._loops["main"] = lambda: self._beat, LOOP_SECONDS

    def follow(self, got_on: Callable[[], float]) -> None:
        """Follow the scheduler from now on, which says when it got on, on time.monotonic's clock."""
        self._loops["scheduler"] = got_on, SCHEDULER_SECONDS
        self.has_begun = True

    @property
    def hanging_for(self) -> float:
        """Return for how many seconds a loop has hung; 0 while all do their rounds.

        One that has not begun waits for the database or the broker, and one that leaves for its last jobs.
        """
        if self.is_leaving:
            return 0.0
        still = [(time.monotonic() - got_on(), patience) for got_on, patience in list(self._loops.values())]
        return max([seconds for seconds, patience in still if seconds > patience], default=0.0)


# What probes are answered: a status code of HTTP, and an object for JSON.


Answer = tuple[int, dict[str, Any]]
OK = 200
UNAVAILABLE = 503


def live(notes: HealthNotes) -> Answer:
    """Say whether this process does its rounds. Nothing outside of it can make this fail."""
    if seconds := notes.hanging_for:
        return UNAVAILABLE, {"status": "hanging", "reasons": [_hanging(seconds)]}
    return OK, {"status": "live"}


def ready(notes: HealthNotes) -> Answer:
    """Say whether this process can do its work, and if not, why."""
    reasons = [reason for reason in (_own_problem(notes), notes.database.problem, notes.broker.problem) if reason]
    if reasons:
        return UNAVAILABLE, {"status": "not ready", "reasons": reasons}
    return OK, {"status": "ready"}


def _own_problem(notes: HealthNotes) -> str:
    if notes.is_leaving:
        return say("It was told to stop.", code="leaving")
    if not notes.has_begun:
        return say("It has not begun: it waits for the database or the broker.", code="not_begun")
    if seconds := notes.hanging_for:
        return _hanging(seconds)
    if notes.children is not None and notes.children[1] < notes.children[0]:
        wanted, living = notes.children
        return say("%(up)d of %(wanted)d child processes are up.", code="child_missing", up=living, wanted=wanted)
    return ""


def _hanging(seconds: float) -> str:
    text = "The main loop, or a duty of the scheduler, has not got on for %(seconds).0f s."
    return say(text, code="hanging", seconds=seconds)


class Reply(NamedTuple):
    """An answer over HTTP."""

    code: int
    content_type: str
    body: bytes


def json_reply(code: int, value: Any) -> Reply:
    """Return a reply with a value as JSON."""
    return Reply(code, "application/json", json.dumps(value).encode() + b"\n")
