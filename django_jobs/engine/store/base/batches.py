"""What batches need of a database beside rows: locks that those who add jobs share, and adding up what changed."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from django_jobs.engine.store.base.transactions import Transactions
from django_jobs.models import Batch, BatchChange
from django_jobs.models.batch import COUNTED

#: The counts of a batch and of a change.
COUNTS: Final = ("total", *COUNTED.values())


class Batches(Transactions):
    """Locks on batches. Where a database has no lock that can be shared so, those who add jobs wait for each other."""

    def share_batches(self, pks: Sequence[int]) -> list[Batch]:
        """Return these batches, and let nobody close or end them until the transaction ends; counts may be written."""
        return list(self.locked(Batch.primary.filter(pk__in=pks)))

    def own_batches(self, pks: Sequence[int]) -> list[int]:
        """Lock these batches against those who add jobs too, and return which; nobody is waited for."""
        return list(self.locked(Batch.primary.filter(pk__in=pks), skip=True).values_list("pk", flat=True))

    def close_batch(self, pk: int) -> Batch | None:
        """Return the batch, locked against everybody; wait for those who add jobs. None where there is none."""
        return self.locked(Batch.primary.filter(pk=pk)).first()

    def add_up_batches(self, pks: Sequence[int], now: dt.datetime) -> list[Batch]:
        """Add to these batches, which the transaction has locked, what changed; return those of which something did."""
        changes: defaultdict[int, list[BatchChange]] = defaultdict(list)
        for change in BatchChange.primary.filter(batch_id__in=pks):
            changes[change.batch_id].append(change)
        batches = list(Batch.primary.filter(pk__in=list(changes)).order_by("pk"))
        for batch in batches:
            _add(batch, changes[batch.pk], now)
            batch.save(using=self.alias, update_fields=[*COUNTS, "started_at", "counted_at"])
        BatchChange.primary.filter(pk__in=[change.pk for some in changes.values() for change in some]).delete()
        return batches


def _add(batch: Batch, changes: Sequence[BatchChange], now: dt.datetime) -> None:
    for name in COUNTS:
        setattr(batch, name, getattr(batch, name) + sum(getattr(change, name) for change in changes))
    moments = (batch.started_at, *(change.started_at for change in changes))
    batch.started_at = min((moment for moment in moments if moment is not None), default=None)
    batch.counted_at = now
