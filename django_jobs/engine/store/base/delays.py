"""Jobs that wait for their moment, by an index that holds only these, the earliest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from django.db.models import F

from django_jobs.engine.store.base.lanes import Lanes
from django_jobs.engine.store.head_starts import place_in_lane
from django_jobs.models import Job


class Delays(Lanes):
    """What waited for a moment that has come."""

    #: SQL that a row waits for its moment, and the moment by which the index has it.
    is_delayed: ClassVar[str] = "is_delayed AND ready_at IS NOT NULL"
    delayed_until: ClassVar[str] = "ready_at"
    #: What is read of a delayed job; the first is its key.
    delayed_columns: ClassVar[str] = "id"

    def due_jobs(self, limit: int) -> list[int]:
        """Return the keys of up to ``limit`` delayed jobs whose moment has come, the longest due first."""
        found = self._ask(
            f"SELECT {self.delayed_columns} FROM {self.jobs_table} WHERE {self.is_delayed} AND {self._sql_has_come()} "
            f"ORDER BY {self.delayed_until} LIMIT {limit}",
            [],
        )
        return [row[0] for row in found]

    def end_delays(self, pks: Sequence[int]) -> int:
        """Put those of these jobs that are still due into the lanes, inside the open transaction; how many."""
        # Found by their keys and judged afterwards: with more conditions the index of all that is due may be walked.
        rows = Job.primary.filter(pk__in=pks).extra(select={"has_come": self.sql_is_due()})  # noqa: S610
        found = self.locked(rows, skip=True).values_list("pk", "head_start", "is_delayed", "has_come")
        free = [(pk, head_start) for pk, head_start, is_delayed, has_come in found if is_delayed and has_come]
        ahead = [pk for pk, head_start in free if head_start]
        if ahead:
            Job.primary.filter(pk__in=ahead).update(ready_at=place_in_lane(F("ready_at")), is_delayed=False)
        plain = [pk for pk, head_start in free if not head_start]
        return len(ahead) + (Job.primary.filter(pk__in=plain).update(is_delayed=False) if plain or not ahead else 0)

    def _sql_has_come(self) -> str:
        return self.sql_is_due().replace("ready_at", self.delayed_until)
