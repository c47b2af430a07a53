"""PostgreSQL: what one statement does there better than several."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from django.db import transaction

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.postgresql.statements import fetch

__all__ = ["PostgreSQLStore"]


class PostgreSQLStore(Store):
    """PostgreSQL 14 or later."""

    #: It heard nothing of the transaction for too long; it takes no writes (any more), as after a switch-over.
    fatal: ClassVar[frozenset[str | int]] = frozenset({"25P03", "25006"})

    def fetch(self, sql: str, params: Sequence[Any], *, rows: int = 1, newest: int = 0) -> list[tuple[Any, ...]]:
        return fetch(self.connection, sql, params, rows=rows, newest=newest)

    def sql_now(self) -> str:
        return "statement_timestamp()"

    @contextlib.contextmanager
    def transaction(self, silence: int) -> Iterator[None]:
        with transaction.atomic(using=self.alias):
            with self.connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{silence}s'")
            yield
