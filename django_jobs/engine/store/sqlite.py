"""SQLite: one writer at a time, and this process's own clock."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django_jobs.engine.store.recursive_lanes import RecursiveLanes


class SQLiteStore(RecursiveLanes):
    """SQLite, for development and small sites."""

    #: What finds due jobs counts in milliseconds.
    clock_step: ClassVar[dt.timedelta] = dt.timedelta(milliseconds=1)
    ready_since: ClassVar[str] = "julianday(ready_at)"

    def refuse_broken_references(self) -> None:
        """Leave it to the commit: to check, SQLite would read every table."""

    def clock(self, field: Any) -> tuple[str, list[Any]]:
        return "%s", [field.get_db_prep_save(self.now(), self.connection)]

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    def sql_is_due(self) -> str:
        # To the end of the millisecond.
        return "ready_at <= strftime('%%Y-%%m-%%d %%H:%%M:%%f999', 'now')"
