"""The statement that moves a set of jobs: lock, update and log in a chain of CTEs.

Its text depends only on which fields are written and how each value travels, and is made once for each such shape.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final, NamedTuple

from django_jobs.engine.store.postgresql.columns import OLDEST_OPEN, OWN_TRANSACTION, insert, next_key
from django_jobs.engine.store.postgresql.move_notes import batch_changes, tasks
from django_jobs.models import ExecutionLog, Job

#: What a move says of itself, beside the fields that it writes.
SAID: Final = {"to_status": "text", "attempt": "integer", "message": "text", "traceback": "text"}
#: Fields of :class:`Moved` that the statement tells, and where it has them from.
TOLD: Final = {
    "pk": "id",
    "from_status": "from_status",
    "to_status": "status",
    "attempt": "attempt",
    "job_type": "job_type_id",
    "organization_name": "organization_name",
    "priority": "priority",
    "year": "year",
    "has_children": "has_children",
    "log_id": "log_id",
    "via_log_id": "via_log_id",
    "via_from": "via_from",
    "organization_id": "organization_id",
    "lane_key": "lane_key",
    "queued_at": "queued_at",
    "batch_id": "batch_id",
}


class Way(NamedTuple):
    """How values get into the statement: in one slot, which is a parameter for all rows or a column of each."""

    slot: str
    kind: str
    is_shared: bool

    def __str__(self) -> str:
        return f"%({self.slot})s::{self.kind}" if self.is_shared else self.slot


class Written(NamedTuple):
    """A column that is written. ``how`` is increment or now, for which nothing is sent; after, or plain.

    Of a column that ``is_place``, a moment that is not to come is earlier by the row's head start.
    """

    column: str
    how: str
    way: Way | None = None
    is_place: bool = False

    def __str__(self) -> str:
        match self.how:
            case "increment":
                return f"{self.column} = j.{self.column} + 1"
            case "now":
                return f"{self.column} = statement_timestamp(){self._ahead('j.head_start')}"
            case "after":
                ahead = self._ahead(f"CASE WHEN {self.way} > 0 THEN 0 ELSE j.head_start END")
                return f"{self.column} = statement_timestamp() + {self.way} * interval '1 second'{ahead}"
        return f"{self.column} = {self.way}"

    def _ahead(self, hours: str) -> str:
        return f" - {hours} * interval '1 hour'" if self.is_place else ""


@functools.cache
def sql_moves(  # noqa: PLR0913  (all that the text depends on)
    alias: str,
    said: tuple[Way, ...],
    written: tuple[Written, ...],
    *,
    keys: str,
    skip_locked: bool,
    may_end: bool,
    joined_counts: tuple[str, ...],
    left_counts: tuple[str, ...],
    only_due: bool,
    only_own: bool,
    only_if: str,
    has_via: bool,
    told: str,
    joined: str,
) -> str:
    """The statement: lock by id, judge, update, log, and note the ends of jobs that others wait for."""
    named = dict(zip(SAID, said, strict=True))
    arrays = [way for way in (*said, *(item.way for item in written)) if way is not None and not way.is_shared]
    given = "".join(f", %({way.slot})s::{way.kind}[]" for way in arrays)
    slots = "".join(f", {way.slot}" for way in arrays)
    steps = [_moved(named, written, slots, only_due=only_due, only_own=only_own)]
    steps += [_numbered(alias, has_via=has_via), _logged(named), *([_logged_waypoint()] if has_via else ())]
    steps += [tasks()] if may_end else []
    steps += [batch_changes(joined_counts, left_counts)] if joined_counts or left_counts else []
    for number in range(only_if.count("%s")):
        only_if = only_if.replace("%s", f"%(if_{number})s", 1)
    # Locked by primary key alone and judged afterwards: with the guards in the same WHERE the planner may choose an
    # index on status, full of dead entries while jobs stream by, or a scan of the table.
    return f"""
        WITH locked AS (
            SELECT id, status, attempt, ready_at, worker_name FROM "{Job._meta.db_table}"
            WHERE id = ANY({keys}) {only_if and f"AND {only_if}"}
            ORDER BY id FOR NO KEY UPDATE {"SKIP LOCKED" if skip_locked else ""}
        ), old AS (
            SELECT locked.*{slots}
            FROM locked JOIN unnest({keys}{given}) AS v(pk{slots}) ON locked.id = v.pk
        ), {", ".join(steps)}
        SELECT {", ".join(f"n.{name}" for name in TOLD.values())} {told} FROM numbered n {joined}
    """


def _moved(said: Mapping[str, Way], written: tuple[Written, ...], slots: str, *, only_due: bool, only_own: bool) -> str:
    """The rows that are where the caller thinks, written."""
    guard = said["attempt"]
    sets = ", ".join([f"status = {said['to_status']}", *map(str, written)])
    return f"""moved AS (
            UPDATE "{Job._meta.db_table}" j SET {sets}
            FROM old
            WHERE j.id = old.id AND old.status = ANY(%(sources)s) AND ({guard} IS NULL OR old.attempt = {guard})
                {"AND old.ready_at <= statement_timestamp()" if only_due else ""}
                {"AND old.worker_name = %(owner)s::text" if only_own else ""}
            RETURNING j.id, old.status AS was, old.attempt AS attempt_before, j.status, j.attempt,
                j.job_type_id, j.organization_name, j.priority, j.has_children, j.organization_id, j.lane_key,
                j.queued_at, j.batch_id, j.started_at,
                extract(year FROM j.created_at AT TIME ZONE 'UTC')::integer AS year{slots}
        )"""


def _numbered(alias: str, *, has_via: bool) -> str:
    """The rows that moved, each with the key of its log row, and before it that of the waypoint's.

    A join with what the insertion of the log rows returns would compare every row with every other: a planner knows
    nothing of how many rows a step gives, and takes them for one.
    """
    key = next_key(ExecutionLog, alias)
    return f"""numbered AS (
            SELECT {key if has_via else 0} AS via_log_id, {key} AS log_id,
                {"%(via)s" if has_via else "was"} AS from_status, {"was" if has_via else "''"} AS via_from, m.*
            FROM (SELECT * FROM moved ORDER BY id) m
        )"""


#: What every log row of a move has.
_LOG: Final = {
    "job_id": "id",
    "timestamp": "statement_timestamp()",
    "organization_id": "organization_id",
    "transaction_id": OWN_TRANSACTION,
    "oldest_open_id": OLDEST_OPEN,
}


def _logged(said: Mapping[str, Way]) -> str:
    """A log row for each that moved."""
    values = {
        "id": "log_id",
        "from_status": "from_status",
        "to_status": "status",
        "actor": "%(actor)s",
        "actor_kind": "%(actor_kind)s",
        "message": str(said["message"]),
        "attempt": "attempt",
        "worker_name": "%(worker_name)s",
        "traceback": str(said["traceback"]),
    }
    return f"logged AS ({insert(ExecutionLog, _LOG | values, 'FROM numbered')})"


def _logged_waypoint() -> str:
    """A log row for the waypoint of each, with the attempt that it had before."""
    values = {
        "id": "via_log_id",
        "from_status": "via_from",
        "to_status": "%(via)s",
        "actor": "%(via_actor)s",
        "actor_kind": "%(via_kind)s",
        "attempt": "attempt_before",
    }
    return f"logged_waypoint AS ({insert(ExecutionLog, _LOG | values, 'FROM numbered')})"
