"""How the database is emptied between two tests: fast, and back to what the migrations put into it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from django.apps import apps
from django.core.management.commands import flush
from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.db.models.sql import InsertQuery

#: PostgreSQL truncates tables with more rows after all, so that no test finds tables full of dead ones.
FEW_ROWS = 1_000


class MigratedTable:
    """The rows of a table as they were when all migrations had run."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.name: str = model._meta.db_table
        self._fields = [field for field in model._meta.local_concrete_fields if not field.generated]
        self.refers_to = {field.related_model._meta.db_table for field in self._fields if field.is_relation}
        self._reading = self._statement_that_reads()
        self._inserting = self._statements_that_insert()
        self._rows = self._read()

    def is_as_migrated(self) -> bool:
        """Return whether no test has changed anything of it."""
        return self._read() == self._rows

    def fill(self) -> None:
        """Insert all of its rows, with the keys that they had."""
        with connection.cursor() as cursor:
            for sql, values in self._inserting:
                cursor.execute(sql, values)

    def _statement_that_reads(self) -> str:
        columns = ", ".join(connection.ops.quote_name(field.column) for field in self._fields)
        name, key = map(connection.ops.quote_name, (self.name, self._fields[0].column))
        return f"SELECT {columns} FROM {name} ORDER BY {key}"

    def _statements_that_insert(self) -> list[tuple[str, Any]]:
        query = InsertQuery(self._model)
        query.insert_values(self._fields, list(self._model._base_manager.all()), raw=True)
        return list(query.get_compiler(connection=connection).as_sql())

    def _read(self) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(self._reading)
            return list(cursor.fetchall())


class Emptying:
    """Empties the tables of the default database, and leaves or puts back what the migrations have put there.

    Django empties all and then sends ``post_migrate``, whose receivers make content types, permissions and declared job
    types anew, row by row: that takes longer than many a test.
    """

    def __init__(self) -> None:
        models = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]
        self._names = connection.introspection.django_table_names(only_existing=True, include_views=False)
        self._tables = [MigratedTable(model) for model in models if model._base_manager.exists()]
        self._missing: list[MigratedTable] = []

    def sql_flush(self, style: Any, _connection: Any, **options: Any) -> list[str]:
        """Return the statements that empty the tables in which a test may have left something."""
        changed = self._changed()
        self._missing = [table for table in self._tables if table.name in changed]
        kept = {table.name for table in self._tables} - changed
        left = [name for name in self._names if name not in kept]
        if connection.vendor != "postgresql":
            return list(connection.ops.sql_flush(style, left, **options))
        counts = _counts_up_to(FEW_ROWS + 1, left)
        if max(counts.values()) > FEW_ROWS:
            self._missing = self._tables  # no table is truncated to which another one refers
            return list(connection.ops.sql_flush(style, self._names, **options))
        # In any order: foreign keys are looked at by the commit. TRUNCATE would make two hundred new files.
        return [f"DELETE FROM {connection.ops.quote_name(name)}" for name, count in counts.items() if count]

    def _changed(self) -> set[str]:
        changed = {table.name for table in self._tables if not table.is_as_migrated()}
        for _ in self._tables:  # no row is left that refers to one that goes
            changed |= {table.name for table in self._tables if table.refers_to & changed}
        return changed

    def put_back(self, verbosity: int, interactive: bool, db: str, **kwargs: Any) -> None:
        """Fill the tables that were emptied; in the place of ``post_migrate``."""
        assert db == DEFAULT_DB_ALIAS
        with connection.constraint_checks_disabled(), transaction.atomic():
            for table in self._missing:
                table.fill()

    @contextmanager
    def instead_of_djangos(self) -> Iterator[None]:
        """Let Django's ``flush`` do this, and nothing else, until the context ends."""
        with pytest.MonkeyPatch.context() as patch:
            # Not those of a connection: where an event loop runs, as in a test with a browser, another one empties.
            patch.setattr(flush, "sql_flush", self.sql_flush)
            patch.setattr(flush, "emit_post_migrate_signal", self.put_back)
            yield


def _counts_up_to(most: int, tables: Sequence[str]) -> dict[str, int]:
    """The number of each table's rows, not counted further than this."""
    each = [
        f"(SELECT count(*) FROM (SELECT 1 FROM {connection.ops.quote_name(name)} LIMIT {most:d}) AS counted)"
        for name in tables
    ]
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(each))
        return dict(zip(tables, cursor.fetchone(), strict=True))
