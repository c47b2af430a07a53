"""Jobs that are gone, and whose files are still to go."""

from __future__ import annotations

from django.db import models

from django_jobs.models.base import StoredModel


class FileDeletion(StoredModel):
    """Written in the transaction that deletes the job, and deleted once the job's files are.

    So a refused deletion removes no file, and a process that dies after the commit leaves none for ever.
    """

    job_id = models.CharField(primary_key=True, max_length=30)
    organization_pk = models.CharField(max_length=255)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.job_id
