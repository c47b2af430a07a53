"""``--health-port`` of the commands that run for long. What it needs is loaded only where it is given."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import CommandError, CommandParser

from django_jobs.health.notes import HealthNotes
from django_jobs.management.shell import WaitingCommand, quoted
from django_jobs.texts import say

if TYPE_CHECKING:
    from django_jobs.management.health_port import HealthPort

MAX_PORT: Final = 65_535


class ProbedCommand(WaitingCommand):
    """A command with ``--health-port``, which answers also while its system checks wait for the database."""

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
        self.health = self._listen(options.get("health_host") or "", options.get("health_port"))
        try:
            return super().execute(*args, **options)
        finally:
            if self.health is not None:
                self.health.close()

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
        except (socket.gaierror, UnicodeError) as error:
            text = say(
                "--health-host: there is no address %(host)s of this machine.", code="unknown_host", host=quoted(host)
            )
            raise CommandError(text) from error
        except OSError as error:
            text = say(
                "--health-port: nothing can listen at %(where)s (%(reason)s). Choose a port that is free, one for each "
                "worker or scheduler of a machine.",
                code="cannot_listen",
                where=f"port {port}{f' of {host}' if host else ''}",
                port=port,
                host=host,
                reason=os.strerror(error.errno) if error.errno else str(error),
            )
            raise CommandError(text) from error
