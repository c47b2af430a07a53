"""Duplicates: a key row names the job that was accepted last, and until when equal work is refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from django_jobs.engine.store.base.transactions import Transactions
from django_jobs.engine.store.insertion_values import NewJob
from django_jobs.models import DuplicateKey, Job
from django_jobs.statuses import UNSUCCESSFUL

T = TypeVar("T")

KEYS_AT_ONCE: Final = 500
#: Keys looked for in one statement.
READ_AT_ONCE: Final = 2_000


def _parts(keys: Iterable[T]) -> Iterator[list[T]]:
    """Yield no more of the keys than one statement may have values."""
    items = list(keys)
    for start in range(0, len(items), READ_AT_ONCE):
        yield items[start : start + READ_AT_ONCE]


class Duplicates(Transactions):
    """Who was first, exactly, however many submit the same work at the same moment."""

    def after_migrate(self) -> None:
        """Fill the tables whose rows are the same in every installation."""

    def lock_keys(self, keys: Iterable[str]) -> None:
        """Make others who submit the same work wait for the end of this transaction, where nothing else does."""

    def same_work(self, keys: Iterable[str]) -> dict[str, Job]:
        """Return, key by key, the job that keeps the same work out now. One that was canceled or died does not."""
        live = self._keeping_out(keys)
        found: dict[str, Job] = {}
        for pks in _parts(live):
            jobs = Job.primary.filter(pk__in=pks).exclude(status__in=sorted(UNSUCCESSFUL))
            found |= {live[job.pk]: job for job in jobs}
        return found

    def _keeping_out(self, keys: Iterable[str]) -> dict[int, str]:
        """Return those of the keys whose time is not over, by the keys of their jobs."""
        live = DuplicateKey.primary.filter(expires_at__gt=self.now())
        found: dict[int, str] = {}
        for some in _parts(keys):
            found |= dict(live.filter(pk__in=some).values_list("job_id", "key"))
        return found

    def keep_out(self, accepted: Sequence[NewJob], now: dt.datetime) -> bool:
        """Write the keys of these jobs. Return False where others got in between: then nothing is of use.

        The caller holds what :meth:`lock_keys` takes.
        """
        rows = [
            DuplicateKey(key=new.job.job_hash, job_id=new.job.pk, expires_at=now + dt.timedelta(seconds=new.window))
            for new in sorted(accepted, key=lambda new: new.job.job_hash)
        ]
        return self._write_keys(rows, now)

    def _write_keys(self, rows: list[DuplicateKey], now: dt.datetime) -> bool:
        keys = DuplicateKey.primary.all()
        for start in range(0, len(rows), KEYS_AT_ONCE):
            chunk = rows[start : start + KEYS_AT_ONCE]
            self._dead(keys.filter(pk__in=[row.pk for row in chunk]), now).delete()
        try:
            with transaction.atomic(using=self.alias):
                keys.bulk_create(rows, batch_size=KEYS_AT_ONCE)
        except IntegrityError:
            return False
        return True

    def _dead(self, keys: QuerySet[DuplicateKey], now: dt.datetime) -> QuerySet[DuplicateKey]:
        """Return those of the keys that keep nobody out any more. The others stay, and a new row fails beside them."""
        dead = Job.primary.filter(pk=OuterRef("job_id"), status__in=sorted(UNSUCCESSFUL))
        return keys.filter(Q(expires_at__lte=now) | Exists(dead))
