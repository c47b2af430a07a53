"""What a database does for jobs, in a way that is right on every vendor: through the ORM and plain SQL."""

from __future__ import annotations

from django_jobs.engine.store.base.backlog_counts import BacklogCounts
from django_jobs.engine.store.base.batches import Batches
from django_jobs.engine.store.base.claims import Claims
from django_jobs.engine.store.base.conditions import Conditions
from django_jobs.engine.store.base.delays import Delays
from django_jobs.engine.store.base.expirations import Expirations
from django_jobs.engine.store.base.insertion import Insertion
from django_jobs.engine.store.base.lines import Lines
from django_jobs.engine.store.base.log_order import LogOrder
from django_jobs.engine.store.base.moves import Moves
from django_jobs.engine.store.base.offsets import Offsets
from django_jobs.engine.store.base.sockets import Sockets
from django_jobs.engine.store.base.steps import Steps
from django_jobs.engine.store.base.tally import Tallies
from django_jobs.engine.store.base.type_walks import TypeWalks

__all__ = ["Store"]


class Store(
    BacklogCounts,
    Batches,
    Claims,
    Conditions,
    Delays,
    Expirations,
    Insertion,
    Lines,
    LogOrder,
    Moves,
    Offsets,
    Sockets,
    Steps,
    Tallies,
    TypeWalks,
):
    """All that the engine asks of a database. Each need is a method, in the module beside this one that has its name.

    The store of a vendor overrides what its database does better, and what it cannot do in this way.
    """
