"""Taking the places of open websockets."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db.models.constants import OnConflict

from django_jobs.engine.store.base.transactions import Transactions
from django_jobs.models import OpenSocket


class Sockets(Transactions):
    """Rows of which each is there once, however many want it at the same moment."""

    def insert_sockets(self, users: Mapping[uuid.UUID, Any], process: uuid.UUID) -> set[uuid.UUID]:
        """Insert those of the rows whose keys are not there yet, in one statement; return their keys.

        ``users`` has the user of each key. With the ORM it would be a transaction, which is two more round trips, and
        then a statement to find out which rows were inserted.
        """
        if not users:
            return set()
        fields: dict[str, Any] = {name: OpenSocket._meta.get_field(name) for name in ("id", "user", "process")}
        clock, moment = self.clock(OpenSocket._meta.get_field("seen_at"))
        params: list[Any] = []
        for key in sorted(users):  # in order: two who insert the same rows wait for each other and do not deadlock
            values = {"id": key, "user": users[key], "process": process}
            params += [field.get_db_prep_save(values[name], self.connection) for name, field in fields.items()]
            params += moment
        sql = self._insertion([*fields, "seen_at"], f"(%s, %s, %s, {clock})", len(users))
        returns = self.connection.features.can_return_columns_from_insert

        def insert() -> list[Any]:
            with self.connection.cursor() as cursor:
                cursor.execute(sql, params)
                return [key for (key,) in cursor.fetchall()] if returns else []

        inserted = self.retried(insert)
        if not returns:
            mine = OpenSocket.primary.filter(pk__in=list(users), process=process)
            return set(mine.values_list("pk", flat=True))
        to_python = OpenSocket._meta.pk.to_python
        return {to_python(key) for key in inserted}

    def _insertion(self, names: list[str], row: str, count: int) -> str:
        """Return the statement that inserts so many rows, and passes over those that are there."""
        ops = self.connection.ops
        fields: list[Any] = [OpenSocket._meta.get_field(name) for name in names]
        columns = ", ".join(ops.quote_name(field.column) for field in fields)
        start = ops.insert_statement(on_conflict=OnConflict.IGNORE)
        end = ops.on_conflict_suffix_sql([], OnConflict.IGNORE, [], [])
        if self.connection.features.can_return_columns_from_insert:
            end += f" RETURNING {ops.quote_name(OpenSocket._meta.pk.column)}"
        table = ops.quote_name(OpenSocket._meta.db_table)
        return f"{start} {table} ({columns}) VALUES {', '.join([row] * count)} {end}"
