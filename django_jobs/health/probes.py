"""What probes are answered: a status code of HTTP, and an object for JSON."""

from __future__ import annotations

from typing import Any

from django_jobs.health.notes import HealthNotes
from django_jobs.texts import say

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
