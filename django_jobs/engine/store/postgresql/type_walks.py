"""The same with the planner left no other way than the index: each bound is of a row whose columns lead it, and the
order is that of all its columns.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from django_jobs.engine.store.base import Store
from django_jobs.models import Job


class TypeWalks(Store):
    """Looking at the jobs of one type."""

    def of_type(self, job_type: str, behind: Any = None) -> QuerySet[Job]:
        if behind is None:
            return _by_index("job_type_id >= %s AND job_type_id <= %s", [job_type] * 2)
        own = [job_type, self.key_to_database(behind)]
        return _by_index("(job_type_id, organization_id) > (%s, %s) AND job_type_id <= %s", [*own, job_type])


def _by_index(where: str, params: list[Any]) -> QuerySet[Job]:
    rows = Job.primary.extra(where=[where], params=params)  # noqa: S610  (no value is in it)
    return rows.order_by("job_type_id", "organization_id", "-pk")
