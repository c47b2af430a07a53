"""SQLite: one writer at a time, and this process's own clock."""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final

from django.db.models import QuerySet

from django_jobs.engine.store.base_jobs import Store
from django_jobs.engine.store.values import Horizon
from django_jobs.models import DuplicateKey, ExecutionLog

#: The clock of a limited statement is read after so many steps of SQLite's machine, a fraction of a millisecond.
STEPS: Final = 1_000


class SQLiteStore(Store):
    """SQLite, for development and small sites."""

    #: What finds due jobs counts in milliseconds.
    clock_step: ClassVar[dt.timedelta] = dt.timedelta(milliseconds=1)
    ready_since: ClassVar[str] = "julianday(ready_at)"
    has_one_writer: ClassVar[bool] = True

    @contextlib.contextmanager
    def transaction(self, silence: int) -> Iterator[None]:
        with self.while_writing(), super().transaction(silence):
            yield

    def refuse_broken_references(self) -> None:
        """Leave it to the commit: to check, SQLite would read every table."""

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    def sql_is_due(self) -> str:
        # To the end of the millisecond.
        return "ready_at <= strftime('%%Y-%%m-%%d %%H:%%M:%%f999', 'now')"

    def _dead(self, keys: QuerySet[DuplicateKey], now: dt.datetime) -> QuerySet[DuplicateKey]:
        # Nobody else has written since the caller looked, and found that all of them are dead.
        return keys

    @contextlib.contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        self.connection.ensure_connection()
        raw, until = self.connection.connection, time.monotonic() + seconds
        raw.set_progress_handler(lambda: time.monotonic() > until, STEPS)
        try:
            yield
        finally:
            raw.set_progress_handler(None, 0)

    def end_statement(self, connection: Any, is_wanted: Callable[[], bool] = lambda: True) -> None:
        if connection.connection is not None:
            connection.connection.interrupt()

    def hang_up(self, connection: Any) -> None:
        raw = connection.connection
        if raw is None:
            return
        raw.interrupt()
        with contextlib.suppress(sqlite3.Error):
            raw.rollback()  # it would outlast the end of a connection of which somebody still reads rows
            if not connection.is_in_memory_db():
                raw.close()

    # There is one writer, so rows of the log become visible in the order of their ids.

    def log_horizon(self) -> Horizon:
        return Horizon(next_id=0, oldest_open=0)

    def events_behind(self, organization_pk: Any, since: int) -> QuerySet[ExecutionLog]:
        return self.log_of(organization_pk).filter(id__gt=since)

    def marks_kept(self, organization_pk: Any) -> int:
        return 1
