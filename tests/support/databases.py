"""The test database as another process must be told of it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from django.db import OperationalError, connection, connections, transaction

from tests.support.networks import BreakableLine

SCHEMES = {
    "django.db.backends.sqlite3": "sqlite",
    "django.db.backends.postgresql": "postgres",
    "django.db.backends.mysql": "mysql",
}
DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306}


def database_url(config: Mapping[str, Any]) -> str:
    """The ``DATABASE_URL`` of ``connection.settings_dict``."""
    scheme = SCHEMES[config["ENGINE"]]
    if scheme == "sqlite":
        return f"sqlite:///{config['NAME']}"
    user, password, host = (quote(str(config[key]), safe="") for key in ("USER", "PASSWORD", "HOST"))
    credentials = f"{user}:{password}" if password else user
    port = f":{config['PORT']}" if config["PORT"] else ""
    return f"{scheme}://{credentials}@{host}{port}/{quote(str(config['NAME']), safe='')}"


class DistantDatabase:
    """The test's database over a line that can be cut or fall silent. SQLite has none, and lets nobody write then."""

    def __init__(self) -> None:
        config = connection.settings_dict
        self._line: BreakableLine | None = None
        self._is_back = threading.Event()
        self._holder: threading.Thread | None = None
        if connection.vendor != "sqlite":
            self._line = BreakableLine(config["HOST"], int(config["PORT"] or DEFAULT_PORTS[connection.vendor]))
            config = {**config, "HOST": "127.0.0.1", "PORT": str(self._line.port)}
        self.url = database_url(config)

    def cut(self) -> None:
        if self._line is not None:
            self._line.cut()
        else:
            self._let_nobody_write()

    def silence(self) -> None:
        if self._line is not None:
            self._line.silence()
        else:
            self._let_nobody_write()

    def _let_nobody_write(self) -> None:
        has_gone = threading.Event()
        self._is_back.clear()
        self._holder = threading.Thread(target=self._hold, args=[has_gone], daemon=True)
        self._holder.start()
        assert has_gone.wait(30)

    def _hold(self, has_gone: threading.Event) -> None:
        with transaction.atomic():
            has_gone.set()
            self._is_back.wait()
        connections.close_all()

    def mend(self) -> None:
        self._is_back.set()
        if self._line is not None:
            self._line.mend()
        if self._holder is not None:
            self._holder.join()

    def close(self) -> None:
        self.mend()
        if self._line is not None:
            self._line.close()


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
