"""How a supervisor starts the server that forks its children: once all is loaded that each of them needs, and no more.

What a supervisor needs for itself is imported elsewhere, since whatever is loaded here each child has too.
"""

from __future__ import annotations

import logging

from django.core.cache import caches
from django.db import connections

from django_jobs.engine import logs, ports
from django_jobs.engine.broadcaster import get_broadcaster
from django_jobs.engine.insight import events
from django_jobs.engine.store import worker_lines
from django_jobs.worker import child_entry, process_start
from django_jobs.worker.fork_server import ForkServer

logger = logging.getLogger("django_jobs")


def prepare_fork_server() -> ForkServer | None:
    """Load what every child needs, and start a fork server; None where that cannot be.

    The children share what is loaded until then, and have nothing of what their supervisor loads later for itself.
    """
    process_start.prepare(_load)
    return start_fork_server()


def _load() -> None:
    """Load what each child would otherwise load for itself, with its first job."""
    import encodings.idna  # noqa: F401  (Python does that when it first looks up a host's address)

    worker_lines.load()
    events.load()
    broadcaster = get_broadcaster()
    if broadcaster is not None:
        broadcaster.load()


def start_fork_server() -> ForkServer | None:
    """Have a server fork the children of this supervisor, which has no thread yet; None where that cannot be."""
    if not process_start.may_fork():
        return None
    # What the host has opened since, such as a log handler that writes to a table, must not be used by two.
    logs.flush()
    connections.close_all()
    caches.close_all()
    ports.get_broker().disconnect()
    try:
        return ForkServer(child_entry.start_forked)
    except OSError as error:
        logger.warning("event=fork_server_not_started error=%r", error)
        return None
