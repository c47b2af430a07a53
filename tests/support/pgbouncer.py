"""A PgBouncer of a test's own that pools transactions, and can be led to another server while it runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, Final, Protocol

from tests.support.addresses import HOST, free_port, is_free
from tests.support.directories import open_directory
from tests.support.postgresql import USER
from tests.support.waiting import wait_until

#: The file that the docs give to others.
FILE: Final = Path(__file__).resolve().parents[2] / "docs" / "deploying" / "pgbouncer.ini"
#: What it says of the server, and what comes in its place.
THEIRS: Final = "shop = host=db.internal port=5432 dbname=shop"
OURS: Final = "* = host={server.host} port={server.port} user={user}"
#: Behind it: the last word counts.
_OWN: Final = """
listen_addr = {host}
listen_port = {port}
auth_type = any
admin_users = {user}
unix_socket_dir =
pidfile =
"""


class Server(Protocol):
    """The address of a PostgreSQL server."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class PgBouncer:
    """One process on a port of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self._directory = open_directory("django-jobs-pgbouncer-")
        self._popen: subprocess.Popen[bytes] | None = None

    def database(self) -> dict[str, Any]:
        """Return Django's settings of a database behind it: nothing may be prepared there."""
        return {
            "NAME": "postgres",
            "USER": USER,
            "HOST": HOST,
            "PORT": str(self.port),
            "OPTIONS": {"connect_timeout": 3},
            "DISABLE_SERVER_SIDE_CURSORS": True,
        }

    def _configure(self, server: Server) -> Path:
        path = self._directory / "pgbouncer.ini"
        text = FILE.read_text().replace(THEIRS, OURS) + _OWN
        path.write_text(text.format(server=server, user=USER, host=HOST, port=self.port))
        return path

    def start(self, server: Server) -> None:
        """Start it in front of a server."""
        program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise FileNotFoundError("PgBouncer is not installed.")
        as_user = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups") if os.geteuid() == 0 else ()
        config = self._configure(server)
        with (self._directory / "log").open("wb") as log:
            self._popen = subprocess.Popen(
                [*as_user, program, str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Who interrupts the tests must not end it before they have dropped their database.
                start_new_session=True,
            )
        wait_until(lambda: not is_free(self.port), 60, "PgBouncer to listen")

    def lead_to(self, server: Server) -> None:
        """Lead who connects to another server from now on."""
        self._configure(server)
        self._order("RELOAD")

    def let_go(self, database: str) -> None:
        """Close all connections to a database, which can be dropped then."""
        self._order(f'KILL "{database}"')

    def _order(self, command: str) -> None:
        import psycopg  # not every run has the driver

        with psycopg.connect(f"postgresql://{USER}@{HOST}:{self.port}/pgbouncer", autocommit=True) as admin:
            admin.execute(command.encode())

    def close(self) -> None:
        """End the process and delete what it left."""
        if self._popen is not None:
            self._popen.send_signal(signal.SIGTERM)
            self._popen.wait()
        shutil.rmtree(self._directory, ignore_errors=True)
