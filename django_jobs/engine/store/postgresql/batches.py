"""Locks of batches: those who add jobs share one, beside which counts can be written."""

from __future__ import annotations

from collections.abc import Sequence

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.postgresql.rows import array
from django_jobs.models import Batch


class Batches(Store):
    """Locks on batches."""

    def share_batches(self, pks: Sequence[int]) -> list[Batch]:
        return list(Batch.primary.raw(_locked("FOR KEY SHARE"), [array(list(pks))]))

    def own_batches(self, pks: Sequence[int]) -> set[int]:
        return {batch.pk for batch in Batch.primary.raw(_locked("FOR UPDATE SKIP LOCKED"), [array(list(pks))])}

    def close_batch(self, pk: int) -> Batch | None:
        return next(iter(Batch.primary.raw(_locked("FOR UPDATE"), [array([pk])])), None)


def _locked(strength: str) -> str:
    return f'SELECT * FROM "{Batch._meta.db_table}" WHERE id = ANY(%s::bigint[]) ORDER BY id {strength}'
