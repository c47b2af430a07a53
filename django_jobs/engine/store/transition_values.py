"""The values that say how a set of jobs is to move."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django_jobs.engine.actors import Actor


@dataclass(frozen=True, slots=True)
class After:
    """A moment, in seconds after the database's now; negative: before it.

    As ``ready_at``, one that is not to come is a place in the lane: the job's head start is taken off.
    """

    seconds: float = 0.0


class _Increment:
    """The column's value plus one."""


NOW: Final = After(0.0)
INCREMENT: Final = _Increment()


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One job on its way to a status.

    ``attempt`` guards: the job moves only while that attempt owns it. ``values`` are further fields of the row;
    :data:`NOW`, :class:`After` and :data:`INCREMENT` are computed by the database. ``error`` is what the
    handler raised, if that is why: it is not stored, but told.
    """

    pk: int
    to_status: str
    attempt: int | None = None
    message: str = ""
    traceback: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be true when a set moves, else none of it does: a term of SQL, and its parameters. No SQL: always."""

    sql: str
    params: tuple[Any, ...] = ()


ALWAYS: Final = Condition("")


def all_of(*conditions: Condition) -> Condition:
    """Return the condition that each of these holds."""
    return _joined(" AND ", conditions)


def any_of(*conditions: Condition) -> Condition:
    """Return the condition that at least one of these holds."""
    return _joined(" OR ", conditions)


def _joined(word: str, conditions: Sequence[Condition]) -> Condition:
    params = tuple(itertools.chain.from_iterable([condition.params for condition in conditions]))
    return Condition(f"({word.join([condition.sql for condition in conditions])})", params)


@dataclass(frozen=True, slots=True)
class Waypoint:
    """A status that jobs pass in the same statement, and who moves them there; it is logged like any other."""

    status: str
    actor: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On which terms a set of jobs moves, and by whom it is moved.

    ``sources`` are the statuses that the jobs may come from. ``skip_locked`` leaves out rows that another transaction
    holds, ``only_due`` those whose ``ready_at`` has not come, ``only_own`` those that do not run in ``worker_name``.
    ``via`` is what all of them pass, where the store ``passes_waypoints``.
    """

    sources: list[str]
    actor: Actor
    worker_name: str = ""
    skip_locked: bool = False
    only_due: bool = False
    only_own: bool = False
    only_if: Condition = ALWAYS
    via: Waypoint | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What happened to one job."""

    pk: int
    from_status: str
    to_status: str
    attempt: int
    job_type: str
    organization_name: str
    priority: int
    year: int
    message: str
    actor: Actor
    worker_name: str
    has_children: bool = False
    log_id: int = 0
    #: Of a move by way of a waypoint, where ``from_status`` is that one: its log row, and the status before it.
    via_log_id: int = 0
    via_from: str = ""
    organization_id: Any = None
    lane_key: int = 0
    queued_at: dt.datetime | None = None
    #: The key of the batch that it counts for.
    batch_id: int | None = None
    error: BaseException | None = None

    @property
    def job_id(self) -> str:
        from django_jobs.models.job import format_job_id

        return format_job_id(self.pk, self.year)
