"""PostgreSQL: what one statement does there better than several."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

from django.db import OperationalError, transaction
from django.db.models import QuerySet

from django_jobs.engine.store.base.core import M, Params
from django_jobs.engine.store.postgresql.core import PostgreSQLLines, array, fetch, keys
from django_jobs.engine.store.postgresql.inserts import BulkInsertion, TargetVersions
from django_jobs.engine.store.postgresql.lanes import LaneWalks, PostgreSQLInFlightCounts
from django_jobs.engine.store.postgresql.moves import KnownClaims, PostgreSQLSteps
from django_jobs.engine.store.postgresql.reads import (
    PostgreSQLBacklogCounts,
    PostgreSQLBatches,
    PostgreSQLLogOrder,
    PostgreSQLOffsets,
    PostgreSQLTallies,
    PostgreSQLTypeWalks,
)

__all__ = ["PostgreSQLStore"]


#: In these, each statement sees all that is committed.
_FRESH: Final = frozenset({"read committed", "read uncommitted"})


class PostgreSQLStore(
    PostgreSQLBacklogCounts,
    PostgreSQLBatches,
    BulkInsertion,
    PostgreSQLInFlightCounts,
    KnownClaims,
    PostgreSQLLines,
    PostgreSQLLogOrder,
    LaneWalks,
    PostgreSQLOffsets,
    PostgreSQLSteps,
    PostgreSQLTallies,
    TargetVersions,
    PostgreSQLTypeWalks,
):
    """PostgreSQL 14 or later."""

    sql_locks_jobs: ClassVar[str] = " FOR NO KEY UPDATE OF j SKIP LOCKED"
    waits_in_line: ClassVar[bool] = True
    ready_since: ClassVar[str] = "extract(epoch FROM ready_at)::double precision"

    def fetch(self, sql: str, params: Params, *, rows: int = 1, newest: int = 0) -> list[tuple[Any, ...]]:
        return fetch(self.connection, sql, params, rows=rows, newest=newest)

    def _by_keys(self, pks: Sequence[int]) -> tuple[str, Params]:
        # One text, and so one plan, for any number of keys that are few.
        return f"= ANY({keys('%s', len(pks))})", [array(pks)]

    def sql_now(self) -> str:
        return "statement_timestamp()"

    @contextlib.contextmanager
    def transaction(self, silence: int) -> Iterator[None]:
        with transaction.atomic(using=self.alias):
            with self.connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{silence}s'")
            yield

    def has_old_view(self) -> bool:
        if not self.connection.in_atomic_block:
            return False
        return self.fetch("SELECT current_setting('transaction_isolation')", [])[0][0] not in _FRESH

    def first_locked(self, queryset: QuerySet[M], seconds: float) -> M | None:
        """Wait in line with all others who do: by looking again and again it would be chance who is next."""
        found = super().first_locked(queryset, seconds)
        if found is not None or seconds <= 0:  # mostly there is no need for a savepoint
            return found
        try:
            with transaction.atomic(using=self.alias), self.connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{round(seconds * 1000)}ms'")
                found = self.locked(queryset).first()
                cursor.execute("SET LOCAL lock_timeout = DEFAULT")
        except OperationalError as error:
            if not self.is_lost_race(error):  # in stricter isolation it is lost where the other wrote the row
                raise
            return None
        return found

    @contextlib.contextmanager
    def following_keys(self) -> Iterator[None]:
        """Have the planner do without sorting, which it prefers where it takes many rows for a few."""
        with transaction.atomic(using=self.alias), self.connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_sort = off")
            yield
            cursor.execute("SET LOCAL enable_sort = DEFAULT")
