"""The connections that a handler leaves behind: fit for the next job, or closed."""

from __future__ import annotations

import logging
from typing import Any

from django.db import connections

from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store_of

logger = logging.getLogger("django_jobs")


def restore_connections(*, interrupted: bool) -> None:
    """Close connections that a handler left in a transaction or broken, so that the next job gets fit ones.

    An interruption may have come in the middle of a query: then the state of a connection is unknown. Nothing here
    opens a connection, and no error here replaces the handler's outcome: the database may be away.
    """
    for connection in connections.all(initialized_only=True):
        try:
            if interrupted or not _is_fit(connection):
                _drop(connection)
        except Exception:
            logger.exception("event=connection_abandoned alias=%s", connection.alias)
            connection.connection = None


def _is_fit(connection: Any) -> bool:
    """Return whether the connection is closed, or the next job may use it as it is."""
    if connection.in_atomic_block:
        return False
    if connection.connection is None:
        return True
    if not connection.autocommit:
        return False
    if connection.errors_occurred:
        connection.errors_occurred = not connection.is_usable()
    return not connection.errors_occurred


def _drop(connection: Any) -> None:
    store = store_of(connection.alias)
    if store.knows_activity:
        store.end_statement(connection)  # else the server goes on with it
    # In an atomic block, closing only marks the connection, so the block is forgotten first. A new one resets the rest.
    connection.in_atomic_block = connection.closed_in_transaction = False
    database.drop(connection)
