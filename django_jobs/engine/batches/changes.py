"""Changing a batch: under a lock that keeps out those who add jobs, by what its counts are then."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from django_jobs.engine.batches import counting
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.exceptions import BatchNotFound
from django_jobs.models import Batch
from django_jobs.texts import say


def change(batch: Batch, write: Callable[[Batch, dt.datetime], None], *fields: str) -> None:
    """Have ``write`` set these fields of a batch whose counts are added up, and end it if it has ended by that.

    The instance says the same then.

    Raises BatchNotFound, and what ``write`` raises; then nothing is changed.
    """

    def run() -> Batch:
        row = store().close_batch(batch.pk)
        if row is None:
            raise BatchNotFound(
                say("There is no batch %(batch)s any more.", code="unknown_batch", batch=batch.batch_id)
            )
        row = counting.add_up_owned(row)
        write(row, database.now())
        row.save(update_fields=fields, using=database.alias())
        return counting.end_owned(row)

    row = database.in_transaction(run)
    for field in Batch._meta.concrete_fields:
        setattr(batch, field.attname, getattr(row, field.attname))
