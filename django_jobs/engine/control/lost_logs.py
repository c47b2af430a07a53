"""Deleting the logs of attempts whose jobs are gone.

Whoever deletes a job deletes its logs, except a scheduler of the release before, which knows nothing of them.
"""

from __future__ import annotations

from typing import Final

from django_jobs.models import AttemptLog, Job

#: Logs that one call looks at.
LOOKED_AT_ONCE: Final = 1_000


class LostLogs:
    """Walks through the logs by their jobs: some of them with each call, and after the last ones anew."""

    def __init__(self) -> None:
        self._last = 0

    def forget(self) -> int:
        """Delete those of the next logs whose jobs are gone; return how many went."""
        rows = AttemptLog.primary.filter(job_id__gt=self._last).order_by("job_id", "attempt")
        pks = list(rows.values_list("job_id", flat=True)[:LOOKED_AT_ONCE])
        self._last = pks[-1] if len(pks) == LOOKED_AT_ONCE else 0
        gone = set(pks).difference(Job.primary.filter(pk__in=pks).values_list("pk", flat=True)) if pks else ()
        return AttemptLog.primary.filter(job_id__in=gone).delete()[0] if gone else 0
