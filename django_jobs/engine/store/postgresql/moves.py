"""Moving a set of jobs in one statement: lock, update and log in a chain of CTEs.

Values that all rows share go in once; others travel as arrays, one element a row. The text of a statement depends only
on which fields are written and how each value travels, and is made once for each such shape.
"""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias, cast

from django.core.serializers.json import DjangoJSONEncoder

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.postgresql.columns import OLDEST_OPEN, OWN_TRANSACTION, columns_of, insert, next_key
from django_jobs.engine.store.postgresql.move_notes import batch_changes, counted, tasks
from django_jobs.engine.store.postgresql.rows import array
from django_jobs.engine.store.postgresql.statements import keys
from django_jobs.engine.store.transition_values import INCREMENT, After, Move, Moved, Terms
from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import TERMINAL

#: What a move says of itself, beside the fields that it writes.
_SAID: Final = {"to_status": "text", "attempt": "integer", "message": "text", "traceback": "text"}
#: Fields of :class:`Moved` that the statement tells, and where it has them from.
_TOLD: Final = {
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
Row: TypeAlias = tuple[Any, ...]


class Way(NamedTuple):
    """How values get into the statement: in one slot, which is a parameter for all rows or a column of each."""

    slot: str
    kind: str
    is_shared: bool

    def __str__(self) -> str:
        return f"%({self.slot})s::{self.kind}" if self.is_shared else self.slot


class Written(NamedTuple):
    """A column that is written. ``how`` is increment or now, for which nothing is sent; after, or plain."""

    column: str
    how: str
    way: Way | None = None

    def __str__(self) -> str:
        match self.how:
            case "increment":
                return f"{self.column} = j.{self.column} + 1"
            case "now":
                return f"{self.column} = statement_timestamp()"
            case "after":
                return f"{self.column} = statement_timestamp() + {self.way} * interval '1 second'"
        return f"{self.column} = {self.way}"


class Moves(Store):
    """Guarded changes of status."""

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
        wanted = {item.pk: item for item in moves}
        return [moved_from(row, wanted[row[0]], terms) for row in self._fetch_moved(moves, terms)]

    def _fetch_moved(self, moves: Sequence[Move], terms: Terms, told: str = "", joined: str = "") -> list[Row]:
        """Return of each job that moved what :class:`Moved` tells, and behind it what is ``told`` of a row ``joined``.

        Rows that are joined are as they were before.
        """
        pks = [item.pk for item in moves]
        params: dict[str, Any] = {"pks": pks, "sources": terms.sources, "worker_name": terms.worker_name}
        params |= {"actor": terms.actor.name, "actor_kind": terms.actor.kind, "owner": terms.worker_name}
        if terms.via is not None:
            params |= {"via": terms.via.status, "via_actor": terms.via.actor.name, "via_kind": terms.via.actor.kind}
        params |= {f"if_{number}": value for number, value in enumerate(terms.only_if.params)}
        said = [_way(f"said_{name}", _SAID[name], [getattr(item, name) for item in moves], params) for name in _SAID]
        written = [self._written(name, [item.values[name] for item in moves], params) for name in moves[0].values]
        sql = _sql(
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
            told=told,
            joined=joined,
        )
        params = {name: array(value) if type(value) is list else value for name, value in params.items()}
        return self.fetch(sql, params, rows=len(pks), newest=max(pks))

    def _written(self, name: str, values: list[Any], params: dict[str, Any]) -> Written:
        column, kind, is_json = columns_of(Job, self.alias)[_attribute(name)]
        if values[0] is INCREMENT:
            return Written(column, "increment")
        if any(isinstance(value, After) for value in values):
            values = [float(value.seconds) if isinstance(value, After) else None for value in values]
            if all(seconds == 0 for seconds in values):
                return Written(column, "now")
            return Written(column, "after", _way(f"v_{name}", "double precision", values, params))
        if is_json:
            values = [None if value is None else json.dumps(value, cls=DjangoJSONEncoder) for value in values]
        return Written(column, "plain", _way(f"v_{name}", kind, values, params))


def moved_from(row: Row, item: Move, terms: Terms) -> Moved:
    """Return what happened to a job, of what the statement returns. The key comes first."""
    return Moved(
        **dict(zip(_TOLD, row, strict=False)),
        message=item.message,
        actor=terms.actor,
        worker_name=terms.worker_name,
        error=item.error,
    )


@functools.cache
def _attribute(name: str) -> str:
    return str(cast("Any", Job._meta.get_field(name)).attname)


def _way(slot: str, kind: str, values: list[Any], params: dict[str, Any]) -> Way:
    """Return how these values travel, and put into ``params`` what is to be sent."""
    first = values[0]
    is_shared = all(value is first or value == first for value in values)
    params[slot] = first if is_shared else values
    return Way(slot, kind, is_shared)


@functools.cache
def _sql(  # noqa: PLR0913  (all that the text depends on)
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
    named = dict(zip(_SAID, said, strict=True))
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
        SELECT {", ".join(f"n.{name}" for name in _TOLD.values())} {told} FROM numbered n {joined}
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
