"""How an attempt can end, as values, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.log_lines import KeptLines
from django_jobs.engine.observers import Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Base: which attempt ended and how long its handler ran, in seconds."""

    claimed: Claimed
    seconds: float = 0.0
    #: ``time.monotonic()`` at the handler's start.
    started: float = 0.0
    #: The handler's last report, percent and message, where that was not written yet.
    unwritten: tuple[int, str | None] | None = None
    #: Whether the handler ended without having saved a file; False also where that is not known.
    saved_nothing: bool = False
    #: JSON of the handler's checkpoint, to be saved with the end; None where there is nothing new.
    checkpoint: str | None = None
    #: The exception that ended it, kept until the end is stored; None where there was none.
    error: BaseException | None = field(default=None, compare=False, repr=False)

    #: What the handler wrote to the log; None where that is not kept, or nothing.
    log: KeptLines | None = field(default=None, compare=False, repr=False)

    @property
    def fileless_attempts(self) -> int:
        """Return how many first attempts of the job, this one included, are known to have saved no file.

        An attempt that ends in any other way than this one, as with its process, is not known to have saved none, and
        so no later one counts either.
        """
        claimed = self.claimed
        counts = self.saved_nothing and claimed.fileless_attempts == claimed.attempt - 1
        return claimed.attempt if counts else claimed.fileless_attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned(Outcome):
    """The handler returned; ``result`` is storable JSON or None."""

    result: Any = None
    output_reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised(Outcome):
    """The handler failed. ``kind`` is Transient or Permanent; ``retry_after`` overrules the back-off."""

    kind: str
    text: str
    traceback: str = ""
    retry_after: float | None = None
    #: Of an unexpected error: where in the host's code it was raised (``error_places``).
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOut(Outcome):
    """The handler was stopped because it ran too long."""

    traceback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canceled(Outcome):
    """The handler stopped because it was told to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed(Outcome):
    """The handler asked for another run after ``delay`` seconds."""

    delay: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted(Outcome):
    """A shutdown, or the kill of another job's process, ended the attempt; its job goes back to the queue."""

    text: str


class NotBegun(Interrupted):
    """The handler did not begin. No handler ran for no time: that would count as a quick one."""


def ending_of(ended: Outcome) -> Ending:
    """Return what observers are told of this end."""
    match ended:
        case Returned():
            return Ending("completed")
        case Raised():
            return Ending("failed", ended.text, ended.error)
        case TimedOut():
            return Ending("timed_out", "It ran too long", ended.error)
        case Canceled():
            return Ending("canceled")
        case Postponed():
            return Ending("postponed", ended.text)
        case Interrupted():
            return Ending("interrupted", ended.text)
    return Ending("unknown")
