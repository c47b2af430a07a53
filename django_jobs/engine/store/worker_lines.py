"""The connections of a worker or a scheduler: its process lives for weeks, and nobody sees what it waits for."""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created

from django_jobs.engine.store.chosen import store_of


def prepare() -> None:
    """Have this process notice soon when a server is silent, and a server when this process is gone.

    To be called before the first connection. What the host says in ``OPTIONS`` stays.
    """
    for alias in connections:
        options = connections.settings[alias]["OPTIONS"]
        for name, value in store_of(alias).worker_options().items():
            options.setdefault(name, value)
    connection_created.connect(_prepare_one, dispatch_uid="django_jobs.worker_lines")


def load() -> None:
    """Load what each process that works with the host's databases will need, so that those forked later share it."""
    for alias in connections:
        store_of(alias)
        connections[alias].ops.compiler("SQLCompiler")  # its module: Django imports it with the first query


def _prepare_one(connection: Any, **kwargs: Any) -> None:
    if connection.alias in connections:  # Django has others of its own, such as one to no database
        store_of(connection.alias).prepare_for_worker(connection)
