"""Walking the jobs of one type in the order of an index, past none of another type."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from django_jobs.engine.store.base.transactions import Transactions
from django_jobs.models import Job


class TypeWalks(Transactions):
    """Looking at the jobs of one type, organization by organization."""

    def of_type(self, job_type: str, behind: Any = None) -> QuerySet[Job]:
        """Return a type's jobs by the keys of their organizations, of each the newest first.

        With ``behind``, the key of an organization, only those of the organizations after it.
        """
        rows = Job.primary.filter(job_type_id=job_type).order_by("organization_id", "-pk")
        return rows if behind is None else rows.filter(organization_id__gt=behind)

    def newer_of_type(self, job_type: str, organization_pk: Any, pk: int) -> QuerySet[Job]:
        """Return an organization's jobs of a type that are newer than one with this key, the oldest first."""
        return self._of_both(job_type, organization_pk).filter(pk__gt=pk).order_by("pk")

    def older_of_type(self, job_type: str, organization_pk: Any, pk: int) -> QuerySet[Job]:
        """Return an organization's jobs of a type that are older than one with this key, the newest first."""
        return self._of_both(job_type, organization_pk).filter(pk__lt=pk).order_by("-pk")

    def _of_both(self, job_type: str, organization_pk: Any) -> QuerySet[Job]:
        return Job.primary.filter(job_type_id=job_type, organization_id=organization_pk)
