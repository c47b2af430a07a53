"""A replica of the test's database that lags behind: whatever the test wrote has not reached it yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db import connections, models
from django.test import override_settings

REPLICA: Final = "replica"


class ReplicaReads:
    """Sends the reads of our models, or of all, to the replica, as a host's router may, and notes of which models."""

    def __init__(self, *, of_all: bool = False) -> None:
        self.read: list[str] = []
        self.of_all = of_all

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        if not self.of_all and model._meta.app_label != "django_jobs":
            return None
        self.read.append(model.__name__)
        return REPLICA

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str:
        return "default"

    def allow_relation(self, *objects: Any, **hints: Any) -> bool:
        return True


@contextmanager
def lagging_replica(*, of_all: bool = False) -> Iterator[ReplicaReads]:
    """Give the test a replica: a second connection to its database, which sees nothing of the test's transaction."""
    router = ReplicaReads(of_all=of_all)
    connections.databases[REPLICA] = {**connections.databases["default"]}
    try:
        # Django's test case forbids to connect by itself to a database that it does not know.
        connections[REPLICA].connect()
        with override_settings(DATABASE_ROUTERS=[router]):
            yield router
    finally:
        connections[REPLICA].close()
        del connections[REPLICA]
        del connections.databases[REPLICA]
