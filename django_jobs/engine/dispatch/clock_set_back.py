"""What was submitted before the database's clock was set back is due at once, as it was then."""

from __future__ import annotations

from typing import Final

from django_jobs.engine.store import database
from django_jobs.engine.store.head_starts import place_in_lane
from django_jobs.models import Job
from django_jobs.statuses import Status

BATCH: Final = 5_000


def make_due() -> int:
    """Make jobs due that were submitted at a moment still to come, and asked for none; return how many there were.

    What asked for a moment (``run_at``) starts at that, and a retry may come later by what the clock was set back.
    """

    def store() -> int:
        now = database.now()
        waiting = Job.primary.filter(status=Status.PENDING, ready_at__gt=now)
        rows = waiting.filter(run_at__isnull=True, created_at__gt=now)
        pks = list(database.locked(rows, skip=True).values_list("pk", flat=True)[:BATCH])
        return Job.primary.filter(pk__in=pks).update(ready_at=place_in_lane(now), is_delayed=False)

    return database.in_transaction(store)
