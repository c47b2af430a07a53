"""Operations of migrations: partial indexes come and go while jobs run.

MariaDB has no partial indexes; there a migration makes what takes their place by statements of its own.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations


class AddIndexConcurrently(migrations.AddIndex):
    """AddIndex that keeps nobody from writing on PostgreSQL, and can be repeated there after a failure.

    Its migration must not be atomic. Partial indexes are left out on databases that have none.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if not _is_here(schema_editor, self.index):
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        elif self.allow_migrate_model(schema_editor.connection.alias, model):
            # An attempt that failed leaves an invalid index of this name.
            name = schema_editor.quote_name(self.index.name)
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            schema_editor.add_index(model, self.index, concurrently=True)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if _is_here(schema_editor, self.index):
            super().database_backwards(app_label, schema_editor, from_state, to_state)


class RemovePartialIndex(migrations.RemoveIndex):
    """RemoveIndex of a partial index, which does nothing on databases that have none.

    In a migration that is not atomic, PostgreSQL lets everybody go on meanwhile.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        connection = schema_editor.connection
        if not connection.features.supports_partial_indexes:
            return
        if connection.vendor != "postgresql" or connection.in_atomic_block:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        elif self.allow_migrate_model(connection.alias, to_state.apps.get_model(app_label, self.model_name)):
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(self.name)}")

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.features.supports_partial_indexes:
            super().database_backwards(app_label, schema_editor, from_state, to_state)


def _is_here(schema_editor: Any, index: Any) -> bool:
    """Return whether this database has such an index."""
    return index.condition is None or schema_editor.connection.features.supports_partial_indexes
