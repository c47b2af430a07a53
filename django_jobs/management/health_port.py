"""What answers at ``--health-port``: probes and metrics, also while the command waits for its database."""

from __future__ import annotations

from django_jobs.conf import jobs_settings
from django_jobs.contrib.prometheus import scrape
from django_jobs.engine.insight import rollups
from django_jobs.engine.insight.rollups import ProcessCounts
from django_jobs.health.lookouts import Lookouts
from django_jobs.health.notes import HealthNotes, Reply, json_reply, live, ready
from django_jobs.health.server import ProbeServer


class HealthPort:
    """What listens at the port, and what it tells."""

    def __init__(self, host: str, port: int, notes: HealthNotes) -> None:
        """Listen. Raises OSError where that cannot be."""
        self._notes = notes
        self._counts: ProcessCounts | None = None
        self._lookouts = Lookouts(notes, lambda: notes.leads is not None and notes.leads())
        routes = {
            "/live": lambda _: json_reply(*live(notes)),
            "/ready": lambda _: json_reply(*ready(notes)),
            "/metrics": self._scrape,
        }
        self._server = ProbeServer(host, port, routes)

    def work(self) -> None:
        """Look out for database and broker, and count what this process does, from now on."""
        self._counts = ProcessCounts(organizations=jobs_settings.METRICS_ORGANIZATIONS)
        rollups.start_counting(self._counts)
        self._lookouts.start()

    def close(self) -> None:
        """Free the port."""
        rollups.stop_counting()
        self._lookouts.stop()
        self._server.close()

    def _scrape(self, accept: str) -> Reply:
        return scrape(accept, self._notes, self._lookouts.gauges, self._counts)
