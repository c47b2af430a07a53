"""A row that somebody else's open transaction holds."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Final

from django.db import connection, connections, transaction
from django.db.models import Model

#: So long it is held at most, in seconds.
LONGEST: Final = 40


@contextlib.contextmanager
def held(row: Model, **values: Any) -> Iterator[None]:
    """Somebody's open transaction that wrote these values into the row, where rows have locks.

    Fails if the block waits for it.
    """
    is_held, is_over = threading.Event(), threading.Event()
    was_waited_for = False

    def hold() -> None:
        nonlocal was_waited_for
        try:
            with transaction.atomic():
                assert type(row)._default_manager.filter(pk=row.pk).update(**values)
                is_held.set()
                was_waited_for = not is_over.wait(LONGEST)
        finally:
            connections.close_all()

    thread = threading.Thread(target=hold, daemon=True)
    if connection.features.has_select_for_update:
        thread.start()
        assert is_held.wait(60)
    try:
        yield
    finally:
        is_over.set()
        if thread.ident:
            thread.join(60)
    assert not was_waited_for, f"Somebody waited for the row of {row}."
