"""What a job's handler wrote to the log in one attempt, where the host has that kept."""

from __future__ import annotations

from django.db import models

from django_jobs.models.base import StoredModel
from django_jobs.models.job import Job


class AttemptLog(StoredModel):
    """The first and the last lines of one attempt, and how many between them are not kept.

    A line is a list: when it was written (seconds since 1970), its level, its logger, its text.
    """

    job = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="attempt_logs", db_index=False, db_constraint=False
    )
    attempt = models.PositiveIntegerField()
    first_lines = models.JSONField(default=list)
    last_lines = models.JSONField(default=list)
    #: How many lines there are, told without reading them.
    kept = models.PositiveIntegerField(default=0, db_default=0)
    dropped = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        ordering = ["attempt"]
        default_permissions = ()
        # Also finds those of one job, its newest attempts first.
        constraints = [models.UniqueConstraint(fields=["job", "attempt"], name="djobs_attempt_log_once")]

    def __str__(self) -> str:
        return f"log of attempt {self.attempt}"
