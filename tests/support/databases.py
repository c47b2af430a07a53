"""The test database as another process must be told of it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from django.db import OperationalError, connection

SCHEMES = {
    "django.db.backends.sqlite3": "sqlite",
    "django.db.backends.postgresql": "postgres",
    "django.db.backends.mysql": "mysql",
}


def database_url(config: Mapping[str, Any]) -> str:
    """The ``DATABASE_URL`` of ``connection.settings_dict``."""
    scheme = SCHEMES[config["ENGINE"]]
    if scheme == "sqlite":
        return f"sqlite:///{config['NAME']}"
    user, password, host = (quote(str(config[key]), safe="") for key in ("USER", "PASSWORD", "HOST"))
    credentials = f"{user}:{password}" if password else user
    port = f":{config['PORT']}" if config["PORT"] else ""
    return f"{scheme}://{credentials}@{host}{port}/{quote(str(config['NAME']), safe='')}"


def cut_connections() -> int:
    """End every connection to the test's database but this one, as a restart does; how many. SQLite has none to cut."""
    vendor = connection.vendor
    if vendor == "sqlite":
        return 0
    with connection.cursor() as cursor:
        if vendor == "postgresql":
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return len(cursor.fetchall())
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
        found = [row[0] for row in cursor.fetchall()]
        for number in found:
            with contextlib.suppress(OperationalError):  # it has ended by itself
                cursor.execute(f"KILL {number:d}")
        return len(found)
