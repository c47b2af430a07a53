"""What a stretch of the Execution Log says of activity, summed up by minute, type and organization."""

from __future__ import annotations

from django_jobs.engine.store import database
from django_jobs.engine.store.aggregates import Place, Tally

__all__ = ["tally"]


def tally(after: int, last: int) -> dict[Place, Tally]:
    """The sums of the log rows with ids behind ``after`` up to ``last``. Those of deleted jobs are passed over."""
    if database.is_postgresql():
        from django_jobs.engine.store import postgresql_aggregates as backend
    else:
        from django_jobs.engine.store import portable_aggregates as backend  # type: ignore[no-redef]
    return backend.tally(after, last)
