"""What the commands that run for long share: they wait for the database, and answer probes at ``--health-port``."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError

from django_jobs.engine.dispatch.tickets import installation_id
from django_jobs.engine.store import database
from django_jobs.health.notes import HealthNotes
from django_jobs.management.shell import Unavailable, told_plainly, unusable
from django_jobs.texts import said, say

if TYPE_CHECKING:
    from django_jobs.management.health_port import HealthPort

MAX_PORT: Final = 65_535
PAUSE_SECONDS: Final = 1.0


class LongRunningCommand(BaseCommand):
    """A command that waits for its database, except in a burst, and answers probes from its start on."""

    is_burst = False
    #: What answers at ``--health-port``. What it needs is loaded only where that is given.
    health: HealthPort | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.notes = HealthNotes()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--health-port", type=int, metavar="N", help="Answer /live, /ready and /metrics over HTTP at this port."
        )
        parser.add_argument(
            "--health-host", default="", metavar="HOST", help="At this address of the machine only (all)."
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        # The first process of a container gets no signal that it does not handle.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        self.is_burst = bool(options.get("burst"))
        database.prepare_lines()
        self.health = self._listen(options.get("health_host") or "", options.get("health_port"))
        try:
            return super().execute(*args, **options)
        finally:
            if self.health is not None:
                self.health.close()

    def check(self, *args: Any, **kwargs: Any) -> None:
        self.with_database(partial(super().check, *args, **kwargs))

    def await_database(self) -> None:
        """Wait for the database. Raise CommandError where tables, or columns of this release, are missing."""
        self.with_database(_look_at_tables)

    def with_database(self, call: Callable[[], object]) -> None:
        """Call once the database takes connections, and again when it leaves meanwhile; a burst does not wait for it.

        Raise CommandError where it is there, and cannot be used: that of workers, whose exit code is 1 then.
        """
        try:
            with told_plainly():
                self._call_once_connected(call)
        except Unavailable as error:
            raise CommandError(said(error)) from error
        except KeyboardInterrupt:
            raise CommandError(say("Stopped while it waited for the database.", code="interrupted")) from None

    def _call_once_connected(self, call: Callable[[], object]) -> None:
        has_complained = False
        while True:
            try:
                database.connection().ensure_connection()
                call()
            except (InterfaceError, OperationalError) as error:
                if self.is_burst or not _has_left():
                    raise
                if not has_complained:
                    self.stderr.write(f"{unusable(error)}; waiting for it.")
                has_complained = True
            else:
                return
            # A pooler may take connections while the server behind it is away.
            database.connection().close()
            time.sleep(PAUSE_SECONDS)

    def _listen(self, host: str, port: int | None) -> HealthPort | None:
        if port is None:
            if host:
                raise CommandError(say("--health-host says where; give --health-port too.", code="needs_port"))
            return None
        if not 1 <= port <= MAX_PORT:
            text = say("--health-port must be between 1 and %(most)s.", code="out_of_range", most=f"{MAX_PORT:,}")
            raise CommandError(text)
        from django_jobs.management.health_port import HealthPort

        try:
            return HealthPort(host, port, self.notes)
        except (OSError, UnicodeError) as error:
            is_about_port = isinstance(error, OSError) and not isinstance(error, socket.gaierror)
            text = say(
                "--health-port: nothing can listen at %(where)s (%(reason)s). Choose a port that is free, one for each "
                "worker or scheduler of a machine.",
                code="cannot_listen",
                where=f"port {port}{f' of {host}' if host else ''}",
                reason=os.strerror(getattr(error, "errno", 0)) if is_about_port else str(error),
            )
            raise CommandError(text) from error


def _look_at_tables() -> None:
    installation_id()
    late = database.unapplied_migrations()
    if late and database.lacks_columns():
        reason = database.behind(late)
        raise CommandError(say("The database cannot be used: %(reason)s", code=reason.code, reason=reason))


def _has_left() -> bool:
    """Whether the connection is lost. If not, the error was about what was asked."""
    connection = database.connection()
    return connection.connection is None or not connection.is_usable()
