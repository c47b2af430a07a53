"""Moving a set of jobs in one statement."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias, cast

from django.core.serializers.json import DjangoJSONEncoder

from django_jobs.engine.store.postgresql_core import (
    LOGGED,
    Slot,
    array,
    columns_of,
    insert,
    keys,
    next_key,
    slot,
)
from django_jobs.engine.store.postgresql_inserts import PostgreSQLInserts
from django_jobs.engine.store.values import (
    INCREMENT,
    After,
    Attempt,
    Move,
    Moved,
    NewStep,
    StoredStep,
    Terms,
)
from django_jobs.models import BatchChange, DependencyTask, ExecutionLog, Job, JobCheckpoint, JobStep
from django_jobs.models.batch import COUNTED
from django_jobs.statuses import TERMINAL, Status

#: What a move says of itself, beside the fields that it writes.
SAID: Final = {"to_status": "text", "attempt": "integer", "message": "text", "reason": "text", "traceback": "text"}
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
#: What the statement returns of a job.
ReadRow: TypeAlias = tuple[Any, ...]
#: The lock makes the statement wait for a rescue that is under way; the conditions are asked again after that.
_OWNED: Final = f"""FROM (
        SELECT id FROM "{Job._meta.db_table}"
        WHERE id = %(pk)s AND attempt = %(attempt)s AND worker_name = %(worker_name)s
            AND status = '{Status.RUNNING}' AND lease_expires_at > statement_timestamp()
        FOR NO KEY UPDATE
    ) AS owned"""


class PostgreSQLStore(PostgreSQLInserts):
    """PostgreSQL 14 or later."""

    # Moving a set of jobs in one statement. Values that all rows share go in once; others travel as arrays, one element
    # a row.

    passes_waypoints: ClassVar[bool] = True

    def move(self, moves: Sequence[Move], terms: Terms) -> list[Moved]:
        """One statement for each shape, that is set of fields written; a single one is atomic by itself."""
        first = moves[0].values.keys()
        if all(item.values.keys() == first for item in moves):
            return self._move_shape(moves, terms)
        return self.in_transaction(lambda: self._move_shapes(moves, terms))

    def _move_shapes(self, moves: Sequence[Move], terms: Terms) -> list[Moved]:
        shapes: dict[frozenset[str], list[Move]] = defaultdict(list)
        for item in moves:
            shapes[frozenset(item.values)].append(item)
        # Lock all of them in order before the first shape writes.
        rows = Job.primary.filter(pk__in=[item.pk for item in moves])
        list(self.locked(rows, skip=terms.skip_locked).values_list("pk"))
        groups = sorted(shapes.values(), key=lambda group: group[0].pk)
        return [moved for group in groups for moved in self._move_shape(group, terms)]

    def _move_shape(self, moves: Sequence[Move], terms: Terms) -> list[Moved]:
        pks = [item.pk for item in moves]
        params: dict[str, Any] = {"pks": array(pks), "sources": array(sorted(terms.sources))}
        params |= dict.fromkeys(("owner", "worker_name"), terms.worker_name)
        params |= {"actor": terms.actor.name, "actor_kind": terms.actor.kind}
        if terms.via is not None:
            params |= {"via": terms.via.status, "via_actor": terms.via.actor.name, "via_kind": terms.via.actor.kind}
        for number, value in enumerate(terms.only_if.params):
            params[f"if_{number}"] = array(value) if type(value) is list else value
        said = [slot(f"said_{name}", SAID[name], [getattr(item, name) for item in moves], params) for name in SAID]
        written = [self._written(name, [item.values[name] for item in moves], params) for name in moves[0].values]
        sql = sql_moves(
            self.alias,
            tuple(said),
            tuple(written),
            keys=keys("%(pks)s", len(pks)),
            skip_locked=terms.skip_locked,
            may_end=any(item.to_status in TERMINAL for item in moves),
            joined_counts=counted({item.to_status for item in moves}),
            left_counts=counted(set(terms.sources)),
            only_due=terms.only_due,
            only_own=terms.only_own,
            only_if=terms.only_if.sql,
            has_via=terms.via is not None,
        )
        wanted = {item.pk: item for item in moves}
        found = self.fetch(sql, params, rows=len(pks), newest=max(pks))
        return [moved_from(row, wanted[row[0]], terms) for row in found]

    def _written(self, name: str, values: list[Any], params: dict[str, Any]) -> Written:
        column, sql_type, is_json = columns_of(Job, self.alias)[_attribute(name)]
        if values[0] is INCREMENT:
            return Written(column, "increment")
        if any(isinstance(value, After) for value in values):
            values = [float(value.seconds) if isinstance(value, After) else None for value in values]
            if all(seconds == 0 for seconds in values):
                return Written(column, "now", is_place=name == "ready_at")
            moments = slot(f"v_{name}", "double precision", values, params)
            return Written(column, "after", moments, is_place=name == "ready_at")
        if is_json:
            values = [None if value is None else json.dumps(value, cls=DjangoJSONEncoder) for value in values]
        return Written(column, "plain", slot(f"v_{name}", sql_type, values, params))

    # Storing a step or a checkpoint in one statement, which locks the job's row and asks who owns it.

    def insert_step(self, attempt: Attempt, step: NewStep) -> StoredStep | None:
        params = _params(attempt) | step._asdict()
        rows = self.retried(lambda: self.fetch(_step_sql(), params, newest=attempt.pk))
        # The database writes some JSON in its own way: 1e22 as a whole number, the keys of an object in its order.
        return StoredStep(step.position, rows[0][0], json.loads(rows[0][1]), rows[0][2]) if rows else None

    def save_checkpoint(self, attempt: Attempt, data: str) -> bool:
        params = _params(attempt) | {"data": data}
        return bool(self.retried(lambda: self.fetch(_checkpoint_sql(), params, newest=attempt.pk)))


# What a move leaves beside its log rows, in the same statement: tasks for relatives, and changes of batches.
#
# Each is a step behind ``moved``, which has the jobs that moved with ``was``, the status that they had.


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


# The statement that moves a set of jobs: lock, update and log in a chain of CTEs.
#
# Its text depends only on which fields are written and how each value travels, and is made once for each such shape.


class Written(NamedTuple):
    """A column that is written. ``how`` is increment or now, for which nothing is sent; after, or plain.

    Of a column that ``is_place``, a moment that is not to come is earlier by the row's head start.
    """

    column: str
    how: str
    slot: Slot | None = None
    is_place: bool = False

    def __str__(self) -> str:
        match self.how:
            case "increment":
                return f"{self.column} = j.{self.column} + 1"
            case "now":
                return f"{self.column} = statement_timestamp(){self._ahead('j.head_start')}"
            case "after":
                ahead = self._ahead(f"CASE WHEN {self.slot} > 0 THEN 0 ELSE j.head_start END")
                return f"{self.column} = statement_timestamp() + {self.slot} * interval '1 second'{ahead}"
        return f"{self.column} = {self.slot}"

    def _ahead(self, hours: str) -> str:
        return f" - {hours} * interval '1 hour'" if self.is_place else ""


@functools.cache
def sql_moves(  # noqa: PLR0913  (all that the text depends on)
    alias: str,
    said: tuple[Slot, ...],
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
) -> str:
    """The statement: lock by id, judge, update, log, and note the ends of jobs that others wait for."""
    named = dict(zip(SAID, said, strict=True))
    arrays = [item for item in (*said, *(item.slot for item in written)) if item is not None and not item.is_shared]
    given = "".join(f", %({item.name})s::{item.sql_type}[]" for item in arrays)
    slots = "".join(f", {item.name}" for item in arrays)
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
        SELECT {", ".join(f"n.{name}" for name in TOLD.values())} FROM numbered n
    """


def _moved(
    said: Mapping[str, Slot], written: tuple[Written, ...], slots: str, *, only_due: bool, only_own: bool
) -> str:
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


def _logged(said: Mapping[str, Slot]) -> str:
    """A log row for each that moved."""
    values = {
        "id": "log_id",
        "from_status": "from_status",
        "to_status": "status",
        "actor": "%(actor)s",
        "actor_kind": "%(actor_kind)s",
        "message": str(said["message"]),
        "reason": str(said["reason"]),
        "attempt": "attempt",
        "worker_name": "%(worker_name)s",
        "traceback": str(said["traceback"]),
    }
    return f"logged AS ({insert(ExecutionLog, LOGGED | values, 'FROM numbered')})"


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
    return f"logged_waypoint AS ({insert(ExecutionLog, LOGGED | values, 'FROM numbered')})"


def moved_from(row: ReadRow, item: Move, terms: Terms) -> Moved:
    """Return what happened to a job, of what the statement returns. The key comes first."""
    return Moved(
        **dict(zip(TOLD, row, strict=False)),
        message=item.message,
        actor=terms.actor,
        worker_name=terms.worker_name,
        error=item.error,
    )


@functools.cache
def _attribute(name: str) -> str:
    return str(cast("Any", Job._meta.get_field(name)).attname)


def _params(attempt: Attempt) -> dict[str, Any]:
    return {"pk": attempt.pk, "attempt": attempt.number, "worker_name": attempt.worker_name}


@functools.cache
def _step_sql() -> str:
    given = {
        "job_id": "owned.id",
        "position": "%(position)s::integer",
        "name": "%(name)s::text",
        "result": "%(result)s::jsonb",
        "attempt": "%(attempt)s::integer",
        "done_at": "statement_timestamp()",
        "seconds": "%(seconds)s::double precision",
        "digest": "%(digest)s::text",
    }
    # There is a row only where this attempt has stored the step before, and the answer was lost.
    return f"""{insert(JobStep, given, _OWNED)}
        ON CONFLICT (job_id, position) DO UPDATE SET attempt = EXCLUDED.attempt
        RETURNING name, result::text, digest"""


@functools.cache
def _checkpoint_sql() -> str:
    given = {
        "job_id": "owned.id",
        "data": "%(data)s::jsonb",
        "attempt": "%(attempt)s::integer",
        "saved_at": "statement_timestamp()",
    }
    return f"""{insert(JobCheckpoint, given, _OWNED)}
        ON CONFLICT (job_id) DO UPDATE
            SET data = EXCLUDED.data, attempt = EXCLUDED.attempt, saved_at = EXCLUDED.saved_at
        RETURNING job_id"""
