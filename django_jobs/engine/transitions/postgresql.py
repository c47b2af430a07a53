"""Moving a set in one statement: lock, update and log in a chain of CTEs.

Values that all rows share go in once; others travel as arrays, one element a row.
"""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, cast

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from django_jobs.engine import database
from django_jobs.engine.transitions.moves import INCREMENT, After, Move, Moved
from django_jobs.models import ExecutionLog, Job

_FIXED = ("to_status", "attempt", "message", "traceback")
_FIXED_TYPES = {"to_status": "text", "attempt": "integer", "message": "text", "traceback": "text"}


@functools.cache
def _column(name: str) -> tuple[str, str]:
    """(column, type) of a field of Job."""
    field = cast("models.Field[Any, Any]", Job._meta.get_field(name))
    return str(field.column), str(field.db_type(database.connection())).split("(", maxsplit=1)[0]


def _is_json(name: str) -> bool:
    return isinstance(Job._meta.get_field(name), models.JSONField)


#: An expression and the parameters that it holds itself.
_Sql = tuple[str, list[Any]]


class _Inputs:
    """Collects the parameters of one statement and how SQL names each value."""

    def __init__(self, moves: Sequence[Move]) -> None:
        self.moves = moves
        self.arrays: list[str] = ["%s::bigint[]"]
        self.names: list[str] = ["pk"]
        self.array_params: list[Any] = [[item.pk for item in moves]]

    def reference(self, values: list[Any], kind: str) -> _Sql:
        """The SQL that yields this value for a row, and the parameters that SQL itself holds."""
        first = values[0]
        if all(value is first or value == first for value in values):
            return f"%s::{kind}", [first]
        alias = f"v{len(self.names)}"
        self.arrays.append(f"%s::{kind}[]")
        self.names.append(alias)
        self.array_params.append(values)
        return f"old.{alias}", []


def _assignment(inputs: _Inputs, name: str) -> _Sql:
    """``column = expression`` for one field, with the expression's parameters."""
    column, kind = _column(name)
    values = [item.values[name] for item in inputs.moves]
    if values[0] is INCREMENT:
        return f'"{column}" = j."{column}" + 1', []
    if any(isinstance(value, After) for value in values):
        seconds = [value.seconds if isinstance(value, After) else None for value in values]
        if all(second == 0 for second in seconds):
            return f'"{column}" = statement_timestamp()', []
        sql, params = inputs.reference(seconds, "double precision")
        return f"\"{column}\" = statement_timestamp() + {sql} * interval '1 second'", params
    if _is_json(name):
        values = [None if value is None else json.dumps(value, cls=DjangoJSONEncoder) for value in values]
    sql, params = inputs.reference(values, kind)
    return f'"{column}" = {sql}', params


def _statement(inputs: _Inputs, fixed: dict[str, _Sql], assignments: list[_Sql], *, skip_locked: bool) -> str:
    """The statement: lock by id, judge, update, log."""
    sets = ", ".join([f"status = {fixed['to_status'][0]}", *(sql for sql, _ in assignments)])
    guard = fixed["attempt"][0]
    message, traceback = (fixed[name][0].replace("old.", "moved.") for name in ("message", "traceback"))
    values = "".join(f", v.{name}" for name in inputs.names[1:])
    carried = "".join(f", old.{name}" for name in inputs.names[1:])
    # Locked by primary key alone and judged afterwards: with the guards in the same WHERE the planner may choose an
    # index on status, full of dead entries while jobs stream by, or a scan of the table.
    return f"""
        WITH locked AS (
            SELECT id, status, attempt FROM "{Job._meta.db_table}" WHERE id = ANY(%s)
            ORDER BY id FOR NO KEY UPDATE {"SKIP LOCKED" if skip_locked else ""}
        ), old AS (
            SELECT locked.*{values}
            FROM locked JOIN unnest({", ".join(inputs.arrays)}) AS v({", ".join(inputs.names)}) ON locked.id = v.pk
        ), moved AS (
            UPDATE "{Job._meta.db_table}" j SET {sets}
            FROM old
            WHERE j.id = old.id AND old.status = ANY(%s) AND ({guard} IS NULL OR old.attempt = {guard})
            RETURNING j.id, old.status AS from_status, j.status, j.attempt, j.job_type_id, j.organization_name,
                j.priority, extract(year FROM j.created_at AT TIME ZONE 'UTC')::integer AS year{carried}
        ), logged AS (
            INSERT INTO "{ExecutionLog._meta.db_table}"
                (job_id, from_status, to_status, "timestamp", actor, message, attempt, worker_name, traceback)
            SELECT id, from_status, status, statement_timestamp(), %s, {message}, attempt, %s, {traceback}
            FROM moved ORDER BY id
        )
        SELECT id, from_status, status, attempt, job_type_id, organization_name, priority, year FROM moved
    """  # noqa: S608  (names come from the models)


def _apply_shape(
    moves: Sequence[Move], sources: list[str], actor: str, worker_name: str, skip_locked: bool
) -> list[Moved]:
    inputs = _Inputs(moves)
    fixed = {name: inputs.reference([getattr(item, name) for item in moves], _FIXED_TYPES[name]) for name in _FIXED}
    assignments = [_assignment(inputs, name) for name in moves[0].values]
    sql = _statement(inputs, fixed, assignments, skip_locked=skip_locked)
    params = [
        inputs.array_params[0],
        *inputs.array_params,
        *fixed["to_status"][1],
        *(value for _, own in assignments for value in own),
        sources,
        *fixed["attempt"][1],
        *fixed["attempt"][1],
        actor,
        *fixed["message"][1],
        worker_name,
        *fixed["traceback"][1],
    ]
    messages = {item.pk: item.message for item in moves}
    with database.connection().cursor() as cursor:
        cursor.execute(sql, params)
        rows = cursor.fetchall()
    return [Moved(*row, *[messages[row[0]], actor, worker_name]) for row in rows]


def apply_moves(
    moves: Sequence[Move], sources: list[str], actor: str, worker_name: str, skip_locked: bool
) -> list[Moved]:
    """Move the set; one statement for each shape, that is set of fields written."""
    shapes: dict[tuple[str, ...], list[Move]] = defaultdict(list)
    for item in moves:
        shapes[tuple(item.values)].append(item)
    if len(shapes) > 1:  # lock all of them in order before the first shape writes
        rows = Job.objects.using(database.alias()).filter(pk__in=[item.pk for item in moves])
        list(database.locked(rows, skip=skip_locked).values_list("pk"))
    return [
        moved
        for _, group in sorted(shapes.items(), key=lambda entry: entry[1][0].pk)
        for moved in _apply_shape(group, sources, actor, worker_name, skip_locked)
    ]
