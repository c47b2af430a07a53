"""``--health-port`` of the commands that run for long: probes and metrics, also while they wait for the database."""

from __future__ import annotations

import os
from typing import Any, Final

from django.core.management.base import CommandError, CommandParser

from django_jobs.conf import jobs_settings
from django_jobs.contrib.prometheus.exposed import Exposed
from django_jobs.contrib.prometheus.page import scrape
from django_jobs.engine import process_counts
from django_jobs.engine.process_counts import ProcessCounts
from django_jobs.health import probes
from django_jobs.health.lookouts import Lookouts
from django_jobs.health.notes import HealthNotes
from django_jobs.health.server import ProbeServer, Reply, json_reply, listen
from django_jobs.management.base import WaitingCommand

MAX_PORT: Final = 65_535


class HealthPort:
    """What listens at the port, and what it tells."""

    def __init__(self, host: str, port: int, notes: HealthNotes) -> None:
        """Listen. Raises OSError where that cannot be."""
        self._notes = notes
        self._counts = ProcessCounts(organizations=int(jobs_settings.METRICS_ORGANIZATIONS))
        self._lookouts = Lookouts(notes, lambda: notes.leads is not None and notes.leads())
        routes = {
            "/live": lambda _: json_reply(*probes.live(notes)),
            "/ready": lambda _: json_reply(*probes.ready(notes)),
            "/metrics": self._scrape,
        }
        self._server = ProbeServer(listen(host, port), routes)
        self._server.start()

    def pause(self) -> None:
        """End all threads, so that this process can be forked; who asks meanwhile waits for :meth:`work`."""
        self._server.pause()

    def work(self) -> None:
        """Answer, and look out for database and broker, from now on."""
        self._server.start()
        self._lookouts.start()

    def count(self) -> None:
        """Count what this process does, from now on."""
        process_counts.start(self._counts)

    def close(self) -> None:
        """Free the port."""
        process_counts.stop()
        self._lookouts.stop()
        self._server.close()

    def _scrape(self, accept: str) -> Reply:
        return Reply(*scrape(Exposed(self._notes, self._lookouts.gauges.latest, self._counts), accept))


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
                raise CommandError("--health-host says where; give --health-port too.")
            return None
        if not 1 <= port <= MAX_PORT:
            raise CommandError(f"--health-port must be between 1 and {MAX_PORT:,}.")
        try:
            return HealthPort(host, port, self.notes)
        except OSError as error:
            where = f"port {port}{f' of {host}' if host else ''}"
            raise CommandError(
                f"--health-port: nothing can listen at {where} ({os.strerror(error.errno) if error.errno else error}). "
                "Choose a port that is free, one for each worker or scheduler of a machine."
            ) from error
