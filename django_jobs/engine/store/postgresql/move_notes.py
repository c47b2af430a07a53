"""What a move leaves beside its log rows, in the same statement: tasks for relatives, and changes of batches.

Each is a step behind ``moved``, which has the jobs that moved with ``was``, the status that they had.
"""

from __future__ import annotations

from django_jobs.engine.store.postgresql.columns import insert
from django_jobs.models import BatchChange, DependencyTask
from django_jobs.models.batch import COUNTED
from django_jobs.statuses import TERMINAL, Status


def counted(statuses: set[str]) -> tuple[str, ...]:
    """Return those of these statuses whose jobs a batch counts."""
    return tuple(str(status) for status in COUNTED if status in statuses)


def batch_changes(joined: tuple[str, ...], left: tuple[str, ...]) -> str:
    """Return the step that notes by how much the counts of batches change.

    Jobs may come into the statuses ``joined``, and out of ``left``.
    """
    counts = {name: f"count(*) FILTER (WHERE status = '{name}')" for name in joined}
    counts |= {name: f"{counts.get(name, 0)} - count(*) FILTER (WHERE was = '{name}')" for name in left}
    values = {"batch_id": "batch_id", "changed_at": "statement_timestamp()", "started_at": "min(started_at)"}
    values |= {COUNTED[Status(name)]: sql for name, sql in counts.items()}
    touched = [f"status = '{name}'" for name in joined] + [f"was = '{name}'" for name in left]
    source = f"FROM moved WHERE batch_id IS NOT NULL AND ({' OR '.join(touched)}) GROUP BY batch_id"
    return f"batch_changes AS ({insert(BatchChange, values, source)})"


def tasks() -> str:
    """Return the step that notes the ends of jobs for which others wait."""
    ended = ", ".join(f"'{status}'" for status in sorted(TERMINAL))
    source = f"FROM moved WHERE has_children AND status IN ({ended})"
    return f"tasks AS ({insert(DependencyTask, {'job_id': 'id'}, source)})"
