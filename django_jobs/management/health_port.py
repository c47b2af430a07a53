"""What answers at ``--health-port``: probes and metrics, also while the command waits for its database."""

from __future__ import annotations

from django_jobs.conf import jobs_settings
from django_jobs.contrib.prometheus.exposed import Exposed
from django_jobs.contrib.prometheus.page import scrape
from django_jobs.engine.insight import rollups
from django_jobs.engine.insight.rollups import ProcessCounts
from django_jobs.health import server
from django_jobs.health.lookouts import Lookouts
from django_jobs.health.notes import HealthNotes
from django_jobs.health.server import ProbeServer, Reply, json_reply, listen


class HealthPort:
    """What listens at the port, and what it tells."""

    def __init__(self, host: str, port: int, notes: HealthNotes) -> None:
        """Listen. Raises OSError where that cannot be."""
        self._notes = notes
        self._counts = ProcessCounts(organizations=organizations_told_apart())
        self._lookouts = Lookouts(notes, lambda: notes.leads is not None and notes.leads())
        routes = {
            "/live": lambda _: json_reply(*server.live(notes)),
            "/ready": lambda _: json_reply(*server.ready(notes)),
            "/metrics": self._scrape,
        }
        self._server = ProbeServer(listen(host, port), routes)
        self._server.start()

    def work(self) -> None:
        """Look out for database and broker from now on."""
        self._lookouts.start()

    def count(self) -> None:
        """Count what this process does, from now on."""
        rollups.start_counting(self._counts)

    def close(self) -> None:
        """Free the port."""
        rollups.stop_counting()
        self._lookouts.stop()
        self._server.close()

    def _scrape(self, accept: str) -> Reply:
        return Reply(*scrape(Exposed(self._notes, self._lookouts.gauges.latest, self._counts), accept))


def organizations_told_apart() -> int:
    """Return how many organizations metrics tell apart: none where METRICS_ORGANIZATIONS is no such number.

    The port listens before the system checks say what is wrong with a setting, and where they are skipped.
    """
    most = jobs_settings.METRICS_ORGANIZATIONS
    return max(0, most) if isinstance(most, int) and not isinstance(most, bool) else 0
