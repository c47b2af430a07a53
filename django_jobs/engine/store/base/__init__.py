"""What a database does for jobs, in a way that is right on every vendor: through the ORM and plain SQL."""

from __future__ import annotations

from django_jobs.engine.store.base.backlog import BacklogCounts, Delays, Expirations, Offsets, TypeWalks
from django_jobs.engine.store.base.core import Lines, LogOrder, Tallies
from django_jobs.engine.store.base.jobs import BatchLocks, ClaimReads, Conditions, Insertion, Moves, StepWrites

__all__ = ["Store"]


class Store(
    BacklogCounts,
    BatchLocks,
    ClaimReads,
    Conditions,
    Delays,
    Expirations,
    Insertion,
    Lines,
    LogOrder,
    Moves,
    Offsets,
    StepWrites,
    Tallies,
    TypeWalks,
):
    """All that the engine asks of a database. Each need is a method, in the module beside this one that has its name.

    The store of a vendor overrides what its database does better, and what it cannot do in this way.
    """
