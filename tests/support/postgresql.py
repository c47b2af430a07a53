"""PostgreSQL servers of a test's own, to be stopped, killed, copied and promoted. Needs the server's programs."""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.support.addresses import HOST, free_port
from tests.support.directories import open_directory

#: The server refuses to run as root.
USER: Final = "postgres"
#: What makes a server of a test fast, and lets others copy it.
_CONFIG: Final = {
    "wal_level": "replica",
    "max_wal_senders": "10",
    "hot_standby": "on",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
    "wal_receiver_timeout": "5s",
    "wal_sender_timeout": "5s",
}

#: With these Django follows the server that takes writes.
OPTIONS: Final = {"target_session_attrs": "read-write", "connect_timeout": 3, "prepare_threshold": 5}


@functools.cache
def _programs() -> Path:
    """Return the directory of the server's programs, of the newest version that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if found:
        return found[-1]
    program = shutil.which("pg_ctl")
    if program is None:
        raise FileNotFoundError("PostgreSQL's programs (initdb, pg_ctl) are not installed.")
    return Path(program).parent


def _run(
    *command: str | Path, check: bool = True, prefix: tuple[str, ...] = (), environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs, as its own user where this process is root's."""
    name, *arguments = map(str, command)
    as_user = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups") if os.geteuid() == 0 else ()
    # Set for the program alone: as root, what it preloads would leave things behind that the other user must not touch.
    variables = [f"{name}={value}" for name, value in (environ or {}).items()]
    # Into a file: a server that stays holds what it inherits, and reading a pipe of it would never end.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            [*prefix, *as_user, "env", *variables, str(_programs() / name), *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd="/",
            timeout=120,
            check=False,
        )
        output.seek(0)
        text = output.read()
    if check and done.returncode:
        raise RuntimeError(f"{name} ended with {done.returncode}:\n{text}")
    return subprocess.CompletedProcess(done.args, done.returncode, text, "")


class PostgresCluster:
    """One server with its data.

    ``prefix`` is a command before the server's, such as one that enters a namespace; ``environ`` is added to the
    environment of the server.
    """

    def __init__(
        self,
        *,
        host: str = HOST,
        port: int | None = None,
        config: Mapping[str, str] | None = None,
        prefix: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.host, self.port = host, port or free_port()
        self._prefix = prefix
        self._environ = environ
        self._config = {**_CONFIG, **(config or {})}
        self.directory = open_directory("django-jobs-postgresql-")
        if os.geteuid() == 0:
            account = pwd.getpwnam(USER)
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        self.data = self.directory / "data"
        self.log_path = self.directory / "log"

    @property
    def url(self) -> str:
        """The ``DATABASE_URL`` of the database ``postgres``."""
        return f"postgres://{USER}@{self.host}:{self.port}/postgres"

    def database(self, *others: PostgresCluster) -> dict[str, Any]:
        """Return Django's settings of its database, or of that of whichever of several servers takes writes."""
        servers = [self, *others]
        return {
            "NAME": "postgres",
            "USER": USER,
            "HOST": ",".join(item.host for item in servers),
            "PORT": ",".join(str(item.port) for item in servers),
            "OPTIONS": dict(OPTIONS),
        }

    def make(self) -> None:
        """Make the data of a new server."""
        _run(
            "initdb",
            "--pgdata",
            self.data,
            "--auth=trust",
            f"--username={USER}",
            "--no-sync",
            "--no-locale",
            "-E",
            "UTF8",
        )
        self._write_config(self._config | {"fsync": "off"})
        with (self.data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all trust\nhost replication all all trust\n")

    def make_like(self, other: PostgresCluster) -> None:
        """Make the data of a new server, the same as that of another one, which is stopped."""
        subprocess.run(["cp", "--archive", other.data, self.data], check=True, timeout=120)
        self._write_config({})

    def _write_config(self, values: Mapping[str, str], name: str = "postgresql.conf") -> None:
        own = {"port": str(self.port), "listen_addresses": self.host, "unix_socket_directories": str(self.directory)}
        with (self.data / name).open("a") as file:
            file.writelines(f"{key} = '{value}'\n" for key, value in {**values, **own}.items())

    def configure(self, **values: str) -> None:
        """Change settings of a server that runs, and have it read them."""
        self._write_config(values, "postgresql.auto.conf")  # which counts more than the other one
        _run("pg_ctl", "reload", "--pgdata", self.data)

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        command = ("pg_ctl", "start", "--pgdata", self.data, "--log", self.log_path, "--wait")
        _run(*command, prefix=self._prefix, environ=self._environ)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: ``fast`` in order, ``immediate`` as if it had lost its power."""
        _run("pg_ctl", "stop", "--pgdata", self.data, "--mode", mode, "--wait", check=False)

    def standby(self, name: str = "standby") -> PostgresCluster:
        """Return a copy that follows this server, started."""
        copy = PostgresCluster(host=self.host, config=self._config, prefix=self._prefix)
        _run(
            "pg_basebackup",
            *("--pgdata", copy.data, "--host", self.host, "--port", str(self.port), "--username", USER),
            *("--wal-method=stream", "--checkpoint=fast", "--no-sync", "--write-recovery-conf"),
            prefix=self._prefix,
        )
        with (copy.data / "postgresql.auto.conf").open("a") as file:
            address = f"host={self.host} port={self.port} user={USER} application_name={name}"
            file.write(f"primary_conninfo = '{address}'\n")
        copy._write_config({})
        copy.start()
        return copy

    def promote(self) -> None:
        """Make a standby take writes, and wait until it does."""
        _run("pg_ctl", "promote", "--pgdata", self.data, "--wait")

    def ask(self, sql: str) -> list[list[str]]:
        """Return the rows that a statement gives, as text."""
        done = _run(
            "psql",
            *("--host", self.host, "--port", str(self.port), "--username", USER, "--dbname", "postgres"),
            *("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--field-separator", "\t", "--command", sql),
            prefix=self._prefix,
        )
        return [line.split("\t") for line in done.stdout.splitlines() if line]

    def close(self) -> None:
        """Stop the server and delete its data."""
        self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)
