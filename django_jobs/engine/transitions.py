"""Each change of ``Job.status`` after the insertion: guarded moves of sets of rows, each with its Execution Log row.

A move happens only along an arrow of :data:`django_jobs.statuses.TRANSITIONS`, only from one of the statuses that the
caller names, and, if an attempt is given, only while that attempt owns the job. Rows are locked in ascending id before
they are written. So concurrent sets neither deadlock nor log a wrong ``from_status``.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from django.utils.crypto import salted_hmac

from django_jobs.engine.actors import Actor
from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import After, Move, Moved, Terms, Waypoint
from django_jobs.models import DependencyTask, Job
from django_jobs.models.batch import COUNTED
from django_jobs.statuses import DISPATCHABLE, TERMINAL, may_move

# Groups like errors: a fingerprint is a hash of the message without numbers, ids and quoted texts.
#
# The message may hold what only readers of the traceback may see. So the fingerprint is an HMAC with Django's
# SECRET_KEY: nobody else can try guesses on it. An unexpected exception has a second one, of the place that it came
# from. A ``KeyError`` in one function is another fault than in another.


#: Hexadecimal digits of a fingerprint that stand for the text of the error, and for its place.
KIND_DIGITS: Final = 32
PLACE_DIGITS: Final = 16
#: Characters of the message that count.
MAX_MESSAGE: Final = 2_000
#: In this order: quoted texts go first, otherwise their content would be replaced piece by piece.
_FOLDED: Final = (
    (re.compile(r"\"[^\"\n]*\"|“[^”\n]*”|«[^»\n]*»|`[^`\n]*`"), "<quoted>"),
    # An apostrophe inside a word quotes nothing.
    (re.compile(r"(?<!\w)'[^'\n]*'(?!\w)"), "<quoted>"),
    (re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s,;)>\]]+", re.IGNORECASE), "<url>"),
    (re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "<mail>"),
    (re.compile(r"(?<![\w.])(?:[A-Za-z]:)?(?:[\\/][\w.@+~-]+){2,}[\\/]?|(?<![\w.])[\\/][\w@+~-]+\.\w+"), "<path>"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<id>"),
    # Hexadecimal only with a digit in it, so that words stay.
    (re.compile(r"\b(?=[a-f]*[0-9])[0-9a-f]{8,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b[A-Z][A-Z0-9]*(?:-\d+)+\b"), "<id>"),
    (re.compile(r"[-+]?\d+(?:[.,:]\d+)*"), "<n>"),
    (re.compile(r"\s+"), " "),
)
_FRAME: Final = '  File "'


def fingerprint(message: str, traceback: str = "", place: str = "") -> str:
    """Return a hash that is equal for like errors: of the traceback's exception, or of the message if there is none.

    With a ``place`` it is equal for like errors of that place alone, and begins as it does without.
    """
    text = fold(exception_in(traceback) or message)
    return _hash(text, KIND_DIGITS) + (_hash(place, PLACE_DIGITS) if place else "")


def kind_of(error_fingerprint: str) -> str:
    """Return the part of a fingerprint that is equal for like errors wherever they came from."""
    return error_fingerprint[:KIND_DIGITS]


def _hash(text: str, digits: int) -> str:
    value = text.encode("utf-8", "replace")
    return salted_hmac("django_jobs.error_fingerprint", value, algorithm="sha256").hexdigest()[:digits]


def fold(message: str) -> str:
    """Return the message with each varying part replaced by the kind of thing it is."""
    folded = message[:MAX_MESSAGE]
    for pattern, kind in _FOLDED:
        folded = pattern.sub(kind, folded)
    return folded.strip()


def exception_in(traceback: str) -> str:
    """Return ``class: message`` of the exception at the end of a traceback; empty when there is none."""
    _, frame, rest = traceback.rpartition(_FRAME)
    lines = iter(rest.splitlines()[1:] if frame else [])
    # Source lines, marks and notes of repetition are indented; the exception is not.
    first = next((line for line in lines if line[:1].strip() and not line.startswith("[")), "")
    return "\n".join([first, *lines]).strip()


# What follows a change: the parts above this one that want to hear of it register here, in :mod:`django_jobs.apps`.


class Announcer(Protocol):
    """Tells the world what happened to jobs; all but ``progressed`` and ``refused`` wait for the commit."""

    def submitted(self, *jobs: Job, log_ids: Sequence[int] = ()) -> None:
        """Tell of new jobs; ``log_ids`` are the ids of their first Execution Log rows, in the same order."""

    def replaced(self, job: Job, actor: Actor) -> None:
        """Tell that a later submission took this job's place."""

    def changed(self, moved: Sequence[Moved], loudest: int = logging.CRITICAL) -> None:
        """Tell of changes of status. No log record is above the level ``loudest``."""

    def progressed(self, organizations: Mapping[int, Any]) -> None:
        """Tell that progress was written, of jobs by their keys; the values are their organizations' keys."""

    def batches_counted(self, organizations: Mapping[int, Any]) -> None:
        """Tell that the counts of batches, by their keys, were written; the values are their organizations' keys."""

    def refused(self, claimed: Claimed, error: BaseException) -> None:
        """Tell of an error whose attempt had been taken away before it was stored."""


class MoveHooks:
    """Who tells the world of changes, who looks at the relatives of jobs that ended or began anew, now, and who adds up
    the counts of batches, by their keys, now or soon. The last two never raise.
    """

    announcer: Announcer
    follow_up: Callable[[], object]
    count_batches: Callable[[Collection[int]], object]


hooks: Final = MoveHooks()


def follow_up() -> None:
    """Look at the relatives of jobs that left a task, now. Never raises."""
    hooks.follow_up()


# Notes that the parents and children of a job must be looked at, which :mod:`..dependencies` does after the commit.


def note_relatives(pks: Iterable[int]) -> None:
    """Have the relatives of these jobs looked at once the open transaction is committed."""
    _leave([DependencyTask(job_id=pk) for pk in sorted(pks)])


def note_relatives_of_deleted(endings: Mapping[int, str]) -> None:
    """Have the children of these jobs looked at likewise. They are deleted now; ``endings`` has the status of each."""
    _leave([DependencyTask(job_id=pk, deleted_as=endings[pk]) for pk in sorted(endings)])


def _leave(tasks: list[DependencyTask]) -> None:
    DependencyTask.primary.bulk_create(tasks, batch_size=2_000)
    if tasks:
        database.once_on_commit(follow_up)


# The values of a job that starts over: those of a new job, except that ``attempt`` goes on counting.


RESET_FIELDS: Final[dict[str, Any]] = {
    "retry_count": 0,
    "next_retry_at": None,
    "error_message": "",
    "error_type": "",
    "error_fingerprint": "",
    "result": None,
    "output_reference": "",
    "progress": 0,
    "progress_message": "",
    "queued_at": None,
    "started_at": None,
    "completed_at": None,
    "canceled_at": None,
    "cancel_requested_at": None,
    "canceled_by": "",
    "worker_name": "",
    # Whoever starts it over wants it to run, also after the moment at which it would have expired.
    "expires_at": None,
    "is_orphaned": False,
}


# Moves sets of jobs from status to status, guarded by where each job is now.


def move(moves: Sequence[Move], terms: Terms, loudest: int = logging.CRITICAL) -> list[Moved]:
    """Move jobs, and return those that moved; the others were no longer where the caller thought.

    Atomic: all of it or nothing. ``moves`` may hold a job once. ``loudest`` is the highest level at which the move is
    logged.
    """
    if not moves:
        return []
    _refuse_unknown_ways(terms, {item.to_status for item in moves})
    moved = store().move([_with_readiness(item) for item in moves], terms)
    via = terms.via
    steps = moved if via is None else [step for item in moved for step in (_passed(item, via), item)]
    hooks.announcer.changed(steps, loudest)
    if any(item.has_children and item.to_status in TERMINAL for item in moved):
        database.once_on_commit(follow_up)
    batches = {item.batch_id for item in moved if item.batch_id is not None and _counts(item)}
    if batches:
        database.on_commit(lambda: hooks.count_batches(batches))
    return moved


def _counts(item: Moved) -> bool:
    return item.to_status in COUNTED or item.from_status in COUNTED


def _passed(item: Moved, via: Waypoint) -> Moved:
    """Return what happened to a job before it came where it is. An attempt begins only behind the waypoint."""
    way: dict[str, Any] = {"from_status": item.via_from, "to_status": via.status, "attempt": item.attempt - 1}
    return replace(item, **way, actor=via.actor, worker_name="", log_id=item.via_log_id)


def _refuse_unknown_ways(terms: Terms, targets: Iterable[str]) -> None:
    ways = [*itertools.product(terms.sources, targets)]
    if terms.via is not None:
        ways = [(source, terms.via.status) for source in terms.sources]
        ways += [(terms.via.status, target) for target in targets]
    for source, target in ways:
        if not may_move(source, target):
            raise ValueError(f"There is no way from {source} to {target}.")


def _with_readiness(item: Move) -> Move:
    """Say whether a job that will wait for dispatch waits for a moment to come, and that any other is not ready.

    That is said even where its row says so already: PostgreSQL checks constraints on the row as the statement's
    snapshot has it, before it notices that a concurrent move, which the lock waited for, has emptied ``ready_at``.
    """
    if "ready_at" in item.values:
        ready_at = item.values["ready_at"]
        if ready_at is None or "is_delayed" in item.values:
            return item
        return replace(item, values={**item.values, "is_delayed": isinstance(ready_at, After) and ready_at.seconds > 0})
    if item.to_status in DISPATCHABLE:
        return item
    return replace(item, values={**item.values, "ready_at": None})
