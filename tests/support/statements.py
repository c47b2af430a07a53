"""Counting what the engine asks of the database, and acting as somebody else with a connection of his own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext

from tests.concurrency.crowd import run_crowd


def statements_of(function: Callable[[], object]) -> int:
    """How many statements ``function`` runs, savepoints included."""
    with CaptureQueriesContext(connection) as captured:
        function()
    return len(captured)


@contextlib.contextmanager
def before_statement(
    verb: str, model: type[Model], happens: Callable[[], object], *, number: int = 1, words: str = ""
) -> Iterator[None]:
    """Let this happen once: right before the statement of this number that begins so, has these words and names the
    model's table.

    Where it raises something, the statement does so.
    """
    table, left = connection.ops.quote_name(model._meta.db_table), [None] * number

    def watch(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        if left and sql.lstrip("(").startswith(verb) and table in sql and words in sql:
            left.pop()
            if not left:
                happens()
        return execute(sql, *args)

    with connection.execute_wrapper(watch):
        yield
    assert not left, f"No such {verb} of {table} came."


def elsewhere(function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
    """Run ``function`` in another thread, hence on another connection, to its end."""
    run_crowd([lambda: function(*args, **kwargs)])
