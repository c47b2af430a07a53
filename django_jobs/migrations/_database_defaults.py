"""An operation of migrations: columns get defaults in the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.migrations.operations.base import Operation


class SetDatabaseDefaults(Operation):
    """Give columns of one model the named defaults in the database.

    No row is written. Only SQLite rebuilds the table, once for all columns; with one AlterField for each it would do so
    as often.
    """

    def __init__(self, model_name: str, values: Mapping[str, Any]) -> None:
        self.model_name = model_name
        self.values = dict(values)

    def deconstruct(self) -> Any:
        return self.__class__.__qualname__, [self.model_name, self.values], {}

    def describe(self) -> str:
        return f"Set defaults in the database for {len(self.values)} columns of {self.model_name}"

    def references_model(self, name: str, app_label: str) -> bool:
        return name.lower() == self.model_name

    def state_forwards(self, app_label: str, state: Any) -> None:
        for name, value in self.values.items():
            field = state.models[app_label, self.model_name].fields[name]
            _, _, arguments, options = field.deconstruct()
            if value == "":
                options.setdefault("default", "")
            changed = type(field)(*arguments, **{**options, "db_default": value})
            state.alter_field(app_label, self.model_name, name, changed, preserve_default=True)

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        old, new = (state.apps.get_model(app_label, self.model_name) for state in (from_state, to_state))
        if not self.allow_migrate_model(schema_editor.connection.alias, new):
            return
        pairs = [(old._meta.get_field(name), new._meta.get_field(name)) for name in self.values]
        if schema_editor.connection.vendor == "sqlite":
            schema_editor._remake_table(old, alter_fields=pairs)  # noqa: SLF001  (what its alter_field does for one)
            return
        for before, after in pairs:
            schema_editor.alter_field(old, before, after)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self.database_forwards(app_label, schema_editor, from_state, to_state)
