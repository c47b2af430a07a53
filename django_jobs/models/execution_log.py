"""The audit trail: one row a change of status, in order, never edited."""

from __future__ import annotations

from django.db import models

from django_jobs.models.job import Job
from django_jobs.statuses import Status


class ExecutionLog(models.Model):
    """One change of a job's status. ``actor`` is text, so that it outlives the user."""

    # No constraint in the database: checking it cost a fifth of the throughput, and only retention deletes jobs.
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="history", db_index=False, db_constraint=False)
    from_status = models.CharField(max_length=12, choices=Status.choices, blank=True)
    to_status = models.CharField(max_length=12, choices=Status.choices)
    timestamp = models.DateTimeField()
    actor = models.CharField(max_length=150)
    message = models.TextField(blank=True)
    attempt = models.PositiveIntegerField(default=0)
    worker_name = models.CharField(max_length=100, blank=True)
    traceback = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
        # One job's history, in order.
        indexes = [models.Index(fields=["job", "id"], name="djobs_log_history")]

    def __str__(self) -> str:
        return f"{self.from_status or 'new'} → {self.to_status}"
