"""Rows that let exactly one of many simultaneous submissions of the same work through."""

from __future__ import annotations

from django.db import models

from django_jobs.models.base import StoredModel


class DuplicateKey(StoredModel):
    """The latest accepted submission of some work; others of the same are refused until ``expires_at``.

    ``key`` is the job's ``job_hash``. A job that was canceled or died refuses nobody.
    """

    key = models.CharField(primary_key=True, max_length=64)
    job_id = models.BigIntegerField()
    expires_at = models.DateTimeField()

    class Meta:
        # The scheduler removes what has expired.
        indexes = [models.Index(fields=["expires_at"], name="djobs_duplicate_expiry")]

    def __str__(self) -> str:
        return f"{self.key} by {self.job_id}"


class DuplicateGate(StoredModel):
    """One of :data:`GATES` striped locks: on MariaDB, submissions of equal work lock the same row before they look."""

    id = models.PositiveSmallIntegerField(primary_key=True)

    def __str__(self) -> str:
        return f"gate {self.pk}"


GATES = 1024
