"""The same with the planner left no other way than the index of a type's jobs.

Where it takes a type for frequent, it would rather follow the primary key, past the jobs of all others, and find none.
So a type is never given as equal to a value: then the order by type is no order at all, and any index that is in the
order of the keys will do. Given as one of a list, or by bounds, it has to be in the order, and one index is in it.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.postgresql.rows import array
from django_jobs.models import Job


class TypeWalks(Store):
    """Looking at the jobs of one type."""

    def of_type(self, job_type: str, behind: Any = None) -> QuerySet[Job]:
        where, params = "job_type_id >= %s AND job_type_id <= %s", [job_type] * 2
        if behind is not None:
            where = "(job_type_id, organization_id) > (%s, %s) AND job_type_id <= %s"
            params = [job_type, self.key_to_database(behind), job_type]
        rows = Job.primary.extra(where=[where], params=params)  # noqa: S610  (no value is in it)
        return rows.order_by("job_type_id", "organization_id", "-pk")

    def newer_of_type(self, job_type: str, organization_pk: Any, pk: int) -> QuerySet[Job]:
        return self._of_both(job_type, organization_pk).filter(pk__gt=pk).order_by("-job_type_id", "pk")

    def older_of_type(self, job_type: str, organization_pk: Any, pk: int) -> QuerySet[Job]:
        return self._of_both(job_type, organization_pk).filter(pk__lt=pk).order_by("job_type_id", "-pk")

    def _of_both(self, job_type: str, organization_pk: Any) -> QuerySet[Job]:
        rows = Job.primary.filter(organization_id=organization_pk)
        return rows.extra(where=["job_type_id = ANY(%s::text[])"], params=[array([job_type])])
