"""What batches need of a database beside rows: locks that those who add jobs share."""

from __future__ import annotations

from collections.abc import Sequence

from django_jobs.engine.store.base.transactions import Transactions
from django_jobs.models import Batch


class Batches(Transactions):
    """Locks on batches. Where a database has no lock that can be shared so, those who add jobs wait for each other."""

    def share_batches(self, pks: Sequence[int]) -> list[Batch]:
        """Return these batches, and let nobody close or end them until the transaction ends; counts may be written."""
        return list(self.locked(Batch.primary.filter(pk__in=pks)))

    def own_batches(self, pks: Sequence[int]) -> set[int]:
        """Lock these batches, whose rows the transaction has locked, against those who add jobs too.

        Return those of which nobody adds jobs at this moment; nobody is waited for.
        """
        return set(pks)

    def close_batch(self, pk: int) -> Batch | None:
        """Return the batch, locked against everybody; wait for those who add jobs. None where there is none."""
        return self.locked(Batch.primary.filter(pk=pk)).first()
