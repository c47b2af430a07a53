"""Deleted jobs whose files are not deleted yet."""

from __future__ import annotations

from django.db import models

from django_jobs.models.base import StoredModel


class FileDeletion(StoredModel):
    """A deleted job whose files must be deleted. The row is written together with the deletion of the job.

    So a deletion that is rolled back removes no file, and a process that dies after the commit leaves no file for ever.
    """

    job_id = models.CharField(primary_key=True, max_length=30)
    organization_pk = models.CharField(max_length=255)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.job_id
