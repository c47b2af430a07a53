"""The answer to a scrape, or what to install for it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from django_jobs.contrib.prometheus.exposed import Exposed
from django_jobs.health.notes import Reply

LIBRARY: Final = "prometheus_client"
MISSING: Final = (
    "There are no metrics here: install the extra with `pip install 'django-durable-jobs[prometheus]'`, "
    "and restart this process.\n"
)
#: A server that cannot do what it is asked for says so by this code.
NOT_IMPLEMENTED: Final = 501


def scrape(exposed: Exposed, accept: str = "") -> Reply:
    """Return the metrics in a format that the header ``accept`` asks for. Waits for nothing.

    The library is imported by the first scrape: a process that nobody scrapes does without its memory.
    """
    if find_spec(LIBRARY) is None:
        return Reply(NOT_IMPLEMENTED, "text/plain; charset=utf-8", MISSING.encode())
    from django_jobs.contrib.prometheus.exposition import expose

    return Reply(200, *expose(exposed, accept))
