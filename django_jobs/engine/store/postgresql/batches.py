"""Batches: locks that those who add jobs share, and adding up in one statement."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.base.batches import COUNTS
from django_jobs.engine.store.postgresql.rows import array
from django_jobs.models import Batch, BatchChange


class Batches(Store):
    """Locks and counts of batches."""

    def share_batches(self, pks: Sequence[int]) -> list[Batch]:
        return list(Batch.primary.raw(_locked("*", "FOR KEY SHARE"), [array(list(pks))]))

    def own_batches(self, pks: Sequence[int]) -> list[int]:
        return [pk for (pk,) in self.fetch(_locked("id", "FOR UPDATE SKIP LOCKED"), [array(list(pks))])]

    def close_batch(self, pk: int) -> Batch | None:
        return next(iter(Batch.primary.raw(_locked("*", "FOR UPDATE"), [array([pk])])), None)

    def add_up_batches(self, pks: Sequence[int], now: dt.datetime) -> list[Batch]:
        return list(Batch.primary.raw(_ADD_UP, [array(list(pks)), now]))


def _locked(columns: str, strength: str) -> str:
    return f'SELECT {columns} FROM "{Batch._meta.db_table}" WHERE id = ANY(%s::bigint[]) ORDER BY id {strength}'


_ADD_UP = f"""
    WITH gone AS (
        DELETE FROM "{BatchChange._meta.db_table}" WHERE batch_id = ANY(%s::bigint[]) RETURNING *
    ), sums AS (
        SELECT batch_id, min(started_at) AS started_at, {", ".join(f"sum({name}) AS {name}" for name in COUNTS)}
        FROM gone GROUP BY batch_id
    )
    UPDATE "{Batch._meta.db_table}" b SET
        {", ".join(f"{name} = b.{name} + s.{name}" for name in COUNTS)},
        started_at = least(b.started_at, s.started_at), counted_at = %s
    FROM sums s WHERE b.id = s.batch_id RETURNING b.*
"""
