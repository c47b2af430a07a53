"""The store that each test of this package asks: that of the database, and on PostgreSQL also the portable one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.chosen import store, use_store

#: What is portable is the same on every database. PostgreSQL has the strictest SQL and the most to override.
KINDS = ["own", "base"] if connection.vendor == "postgresql" else ["own"]


@pytest.fixture(params=KINDS)
def each_store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """The store that the engine uses during the test."""
    if request.param == "base":
        use_store("default", Store)
    yield store()
    use_store("default", None)
