"""Moving a set in one statement: lock, update and log in a chain of CTEs.

Values that all rows share go in once; others travel as arrays, one element a row. The text of a statement depends only
on which fields are written and how each value travels, and is made once for each such shape.
"""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from django_jobs.engine.actors import Actor
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.transition_values import ALWAYS, INCREMENT, After, Condition, Move, Moved
from django_jobs.models import DependencyTask, ExecutionLog, Job
from django_jobs.statuses import TERMINAL

#: What a log row says of its transaction and of those that were open beside it.
TRANSACTION_IDS = "pg_current_xact_id()::text::bigint, pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_FIXED = ("to_status", "attempt", "message", "traceback")
_FIXED_TYPES = {"to_status": "text", "attempt": "integer", "message": "text", "traceback": "text"}


class _Way(NamedTuple):
    """How a field's value gets into the statement: ``how`` is increment, now, after or plain."""

    name: str
    how: str
    is_shared: bool


@functools.cache
def _column(name: str) -> tuple[str, str]:
    """(column, type) of a field of Job."""
    field = cast("models.Field[Any, Any]", Job._meta.get_field(name))
    return str(field.column), str(field.db_type(database.connection())).split("(", maxsplit=1)[0]


@functools.cache
def _is_json(name: str) -> bool:
    return isinstance(Job._meta.get_field(name), models.JSONField)


def _travel(name: str, values: list[Any]) -> tuple[_Way, list[Any]]:
    """The way of one field's values, and what is to be sent: nothing, one value, or one a row."""
    first = values[0]
    how = "plain"
    if first is INCREMENT:
        return _Way(name, "increment", is_shared=True), []
    if any(isinstance(value, After) for value in values):
        values = [float(value.seconds) if isinstance(value, After) else None for value in values]
        if all(seconds == 0 for seconds in values):
            return _Way(name, "now", is_shared=True), []
        how = "after"
    elif name not in _FIXED_TYPES and _is_json(name):
        values = [None if value is None else json.dumps(value, cls=DjangoJSONEncoder) for value in values]
    first = values[0]
    is_shared = all(value is first or value == first for value in values)
    return _Way(name, how, is_shared), [first] if is_shared else [values]


@functools.cache
def _sql(
    fixed: tuple[_Way, ...],
    written: tuple[_Way, ...],
    *,
    skip_locked: bool,
    may_end: bool,
    only_due: bool,
    only_if: str,
) -> str:
    """The statement: lock by id, judge, update, log, and note the ends of jobs that others wait for.

    Its parameters: the ids, those of ``only_if``, the ids, the arrays, the shared values of ``to_status`` and of
    ``written``, the sources, the shared attempt twice, the actor's name and kind, the shared message, the
    worker's name, the shared traceback.
    """
    arrays = [way for way in (*fixed, *written) if not way.is_shared]
    status, attempt, message, traceback = fixed
    given = "".join(f", %s::{_kind(way)}[]" for way in arrays)
    names = "".join(f", v_{way.name}" for way in arrays)
    sets = ", ".join([f"status = {_reference(status)}", *map(_assignment, written)])
    steps = [_moved(sets, _reference(attempt), names, only_due=only_due), _logged(message, traceback)]
    steps += [_tasks()] if may_end else []
    # Locked by primary key alone and judged afterwards: with the guards in the same WHERE the planner may choose an
    # index on status, full of dead entries while jobs stream by, or a scan of the table.
    return f"""
        WITH locked AS (
            SELECT id, status, attempt, ready_at FROM "{Job._meta.db_table}" WHERE id = ANY(%s) AND {only_if}
            ORDER BY id FOR NO KEY UPDATE {"SKIP LOCKED" if skip_locked else ""}
        ), old AS (
            SELECT locked.*{names}
            FROM locked JOIN unnest(%s::bigint[]{given}) AS v(pk{names}) ON locked.id = v.pk
        ), {", ".join(steps)}
        SELECT moved.id, from_status, status, attempt, job_type_id, organization_name, priority, year, has_children,
            logged.id, organization_id, queued_at
        FROM moved JOIN logged ON logged.job_id = moved.id
    """  # noqa: S608  (names come from the models)


def _moved(sets: str, guard: str, names: str, *, only_due: bool) -> str:
    """The rows that are where the caller thinks, written."""
    return f"""moved AS (
            UPDATE "{Job._meta.db_table}" j SET {sets}
            FROM old
            WHERE j.id = old.id AND old.status = ANY(%s) AND ({guard} IS NULL OR old.attempt = {guard})
                {"AND old.ready_at <= statement_timestamp()" if only_due else ""}
            RETURNING j.id, old.status AS from_status, j.status, j.attempt, j.job_type_id, j.organization_name,
                j.priority, extract(year FROM j.created_at AT TIME ZONE 'UTC')::integer AS year, j.has_children,
                j.organization_id, j.queued_at{names}
        )"""  # noqa: S608


def _logged(message: _Way, traceback: _Way) -> str:
    """A log row for each that moved."""
    return f"""logged AS (
            INSERT INTO "{ExecutionLog._meta.db_table}"
                (job_id, from_status, to_status, "timestamp", actor, actor_kind, message, attempt, worker_name,
                traceback, organization_id, transaction_id, oldest_open_id)
            SELECT id, from_status, status, statement_timestamp(), %s, %s, {_reference(message, "moved")}, attempt, %s,
                {_reference(traceback, "moved")}, organization_id, {TRANSACTION_IDS}
            FROM moved ORDER BY id
            RETURNING id, job_id
        )"""  # noqa: S608


def _tasks() -> str:
    ended = ", ".join(f"'{status}'" for status in sorted(TERMINAL))
    return f"""tasks AS (
            INSERT INTO "{DependencyTask._meta.db_table}" (job_id)
            SELECT id FROM moved WHERE has_children AND status IN ({ended})
        )"""  # noqa: S608


def _kind(way: _Way) -> str:
    if way.name in _FIXED_TYPES:
        return _FIXED_TYPES[way.name]
    return "double precision" if way.how == "after" else _column(way.name)[1]


def _reference(way: _Way, row: str = "old") -> str:
    """How SQL names the value: a parameter for all rows, or a column of each."""
    return f"%s::{_kind(way)}" if way.is_shared else f"{row}.v_{way.name}"


def _assignment(way: _Way) -> str:
    column, value = _column(way.name)[0], _reference(way)
    match way.how:
        case "increment":
            return f'"{column}" = j."{column}" + 1'
        case "now":
            return f'"{column}" = statement_timestamp()'
        case "after":
            return f"\"{column}\" = statement_timestamp() + {value} * interval '1 second'"
    return f'"{column}" = {value}'


def _apply_shape(
    moves: Sequence[Move],
    sources: list[str],
    actor: Actor,
    worker_name: str,
    skip_locked: bool,
    only_if: Condition = ALWAYS,
    *,
    only_due: bool = False,
) -> list[Moved]:
    fixed = [_travel(name, [getattr(item, name) for item in moves]) for name in _FIXED]
    written = [_travel(name, [item.values[name] for item in moves]) for name in moves[0].values]
    sql = _sql(
        tuple(way for way, _ in fixed),
        tuple(way for way, _ in written),
        skip_locked=skip_locked,
        may_end=any(item.to_status in TERMINAL for item in moves),
        only_due=only_due,
        only_if=only_if.sql,
    )
    pks = [item.pk for item in moves]
    status, attempt, message, traceback = ([] if not way.is_shared else sent for way, sent in fixed)
    arrays = [value for way, sent in (*fixed, *written) if not way.is_shared for value in sent]
    shared = [value for way, sent in written if way.is_shared for value in sent]
    params = [pks, *only_if.params, pks, *arrays, *status, *shared, sources, *attempt, *attempt, *actor]
    params += [*message, worker_name, *traceback]
    told = {item.pk: item for item in moves}
    rows = store().fetch(sql, params, rows=len(pks), newest=max(pks))
    return [
        Moved(*row[:8], told[row[0]].message, actor, worker_name, *row[8:], told[row[0]].error)  # type: ignore[call-arg]
        for row in rows
    ]


def apply_moves(
    moves: Sequence[Move],
    sources: list[str],
    actor: Actor,
    worker_name: str,
    skip_locked: bool,
    only_if: Condition = ALWAYS,
    *,
    only_due: bool = False,
) -> list[Moved]:
    """Move the set; one statement for each shape, that is set of fields written."""
    shapes: dict[tuple[str, ...], list[Move]] = defaultdict(list)
    for item in moves:
        shapes[tuple(item.values)].append(item)
    if len(shapes) > 1:  # lock all of them in order before the first shape writes
        rows = Job.primary.filter(pk__in=[item.pk for item in moves])
        list(database.locked(rows, skip=skip_locked).values_list("pk"))
    return [
        moved
        for _, group in sorted(shapes.items(), key=lambda entry: entry[1][0].pk)
        for moved in _apply_shape(group, sources, actor, worker_name, skip_locked, only_if, only_due=only_due)
    ]
