"""SQLite: one writer at a time, and this process's own clock."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import OperationalError

from django_jobs.engine.store.base import Store


class SQLiteStore(Store):
    """SQLite, for development and small sites."""

    def clock(self, field: Any) -> tuple[str, list[Any]]:
        return "%s", [field.get_db_prep_save(self.now(), self.connection)]

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    def is_lost_race(self, error: BaseException) -> bool:
        # It gives one code for every table and database that is locked, and only in newer Pythons.
        return isinstance(error, OperationalError) and "database is locked" in str(error)
