"""Moving a set of jobs in one statement, whose text :mod:`.move_statement` makes.

Values that all rows share go in once; others travel as arrays, one element a row.
"""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias, cast

from django.core.serializers.json import DjangoJSONEncoder

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.postgresql.columns import columns_of
from django_jobs.engine.store.postgresql.move_notes import counted
from django_jobs.engine.store.postgresql.move_statement import SAID, TOLD, Way, Written, sql_moves
from django_jobs.engine.store.postgresql.rows import array
from django_jobs.engine.store.postgresql.statements import keys
from django_jobs.engine.store.transition_values import INCREMENT, After, Move, Moved, Terms
from django_jobs.models import Job
from django_jobs.statuses import TERMINAL

#: What the statement returns of a job.
Row: TypeAlias = tuple[Any, ...]


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
        said = [_way(f"said_{name}", SAID[name], [getattr(item, name) for item in moves], params) for name in SAID]
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
                return Written(column, "now", is_place=name == "ready_at")
            way = _way(f"v_{name}", "double precision", values, params)
            return Written(column, "after", way, is_place=name == "ready_at")
        if is_json:
            values = [None if value is None else json.dumps(value, cls=DjangoJSONEncoder) for value in values]
        return Written(column, "plain", _way(f"v_{name}", kind, values, params))


def moved_from(row: Row, item: Move, terms: Terms) -> Moved:
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


def _way(slot: str, kind: str, values: list[Any], params: dict[str, Any]) -> Way:
    """Return how these values travel, and put into ``params`` what is to be sent."""
    first = values[0]
    is_shared = all(value is first or value == first for value in values)
    params[slot] = first if is_shared else values
    return Way(slot, kind, is_shared)
