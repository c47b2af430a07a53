"""Walking the jobs of one type in the order of an index, past none of another type."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from django_jobs.engine.store.base.transactions import Transactions
from django_jobs.models import Job


class TypeWalks(Transactions):
    """Looking at the jobs of one type, organization by organization. Of one of these, see ``Lanes.newest_of_type``."""

    def of_type(self, job_type: str, behind: Any = None) -> QuerySet[Job]:
        """Return a type's jobs by the keys of their organizations, of each the newest first.

        With ``behind``, the key of an organization, only those of the organizations after it.
        """
        rows = Job.primary.filter(job_type_id=job_type).order_by("organization_id", "-pk")
        return rows if behind is None else rows.filter(organization_id__gt=behind)
