"""Whether the tables are as old as the code wants them."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Final

from django.apps import apps
from django.conf import settings
from django.db import Error

from django_jobs.engine.store import database
from django_jobs.texts import Text, say

APP: Final = "django_jobs"


def unapplied_migrations() -> list[str]:
    """Return our migrations that the database has not had, in order.

    An empty list where the tables were made without migrations, or this role may not read which of them there were.
    """
    # Here, since a child of a worker has no use for migrations.
    from django.db.migrations.recorder import MigrationRecorder

    path = settings.MIGRATION_MODULES.get(APP, f"{APP}.migrations")
    try:
        recorded = MigrationRecorder(database.connection()).applied_migrations()
    except Error:
        return []
    applied = {name for app, name in recorded if app == APP}
    if path is None or not applied:
        return []
    names = {module.name for module in pkgutil.iter_modules(import_module(path).__path__)}
    return sorted(name for name in names - applied if not name.startswith("_"))


def lacks_columns() -> bool:
    """Return whether a table, or a column of one, is not there that the models name. It asks about each table."""
    connection = database.connection()
    models = [model for model in apps.get_app_config(APP).get_models() if model._meta.managed]
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        for options in (model._meta for model in models if not model._meta.swapped):
            if options.db_table not in tables:
                return True
            found = {column.name for column in connection.introspection.get_table_description(cursor, options.db_table)}
            if not {field.column for field in options.local_concrete_fields} <= found:
                return True
    return False


def behind(migrations: list[str]) -> Text:
    """Return the sentence about a database that has not had these migrations."""
    first, *others = migrations
    return say(
        "it lacks the migration %(app)s %(migration)s%(more)s. Run `manage.py migrate`.",
        code="migration_missing",
        app=APP,
        migration=first,
        more=f" and {len(others)} more" if others else "",
    )
