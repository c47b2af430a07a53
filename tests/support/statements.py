"""Counting what the engine asks of the database, and acting as somebody else with a connection of his own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.concurrency.crowd import run_crowd


def statements_of(function: Callable[[], object]) -> int:
    """How many statements ``function`` runs, savepoints included."""
    with CaptureQueriesContext(connection) as captured:
        function()
    return len(captured)


def statements_beside_inserts(function: Callable[[], object]) -> int:
    """The same without INSERTs: how many rows one holds is for Django to say, and on SQLite before Django 6.0 few."""
    with CaptureQueriesContext(connection) as captured:
        function()
    return sum(not query["sql"].startswith("INSERT") for query in captured.captured_queries)


def elsewhere(function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
    """Run ``function`` in another thread, hence on another connection, to its end."""
    run_crowd([lambda: function(*args, **kwargs)])
