"""The only writer of ``Job.status``: guarded moves of sets of rows, each with its Execution Log row.

A move happens only along an arrow of :data:`django_jobs.statuses.TRANSITIONS`, only from one of the statuses that the
caller names, and, where an attempt is given, only while that attempt owns the job. Rows are locked in ascending id
before they are written, so that concurrent sets neither deadlock nor log a wrong ``from_status``.
"""

from __future__ import annotations

from django_jobs.engine.store.transition_values import ALWAYS, INCREMENT, NOW, After, Condition, Move, Moved, Waypoint
from django_jobs.engine.transitions.guarded_move import claim_known, move

__all__ = ["ALWAYS", "INCREMENT", "NOW", "After", "Condition", "Move", "Moved", "Waypoint", "claim_known", "move"]
