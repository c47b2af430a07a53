"""The audit trail: one row for each change of status, in order, never edited."""

from __future__ import annotations

from django.db import models
from django.utils.translation import get_language_bidi, pgettext
from django.utils.translation import gettext_lazy as _

from django_jobs.conf import organization_model_name
from django_jobs.models.base import StoredModel, in_words, with_database_defaults
from django_jobs.models.job import Job
from django_jobs.statuses import ActorKind, Status


@in_words(_("execution log"), _("execution logs"), attempt=_("attempt"), worker_name=_("worker name"))
@with_database_defaults
class ExecutionLog(StoredModel):
    """One change of a job's status. ``actor`` is text, so that it outlives the user."""

    # No constraint in the database: checking it cost a fifth of the throughput, and only retention deletes jobs.
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="history", db_index=False, db_constraint=False)
    from_status = models.CharField(max_length=12, choices=Status.choices, blank=True)
    to_status = models.CharField(max_length=12, choices=Status.choices)
    timestamp = models.DateTimeField()
    actor = models.CharField(max_length=150)
    actor_kind = models.CharField(max_length=9, choices=ActorKind.choices, default=ActorKind.SYSTEM)
    message = models.TextField(blank=True)
    attempt = models.PositiveIntegerField(default=0)
    worker_name = models.CharField(max_length=100, blank=True)
    traceback = models.TextField(blank=True)
    organization = models.ForeignKey(
        organization_model_name(),
        on_delete=models.DO_NOTHING,
        related_name="+",
        editable=False,
        db_index=False,
        db_constraint=False,
    )
    #: On PostgreSQL: the transaction that wrote the row, and the oldest transaction that was open then. With them a
    #: replay finds rows that became visible later than rows with higher ids.
    transaction_id = models.BigIntegerField(null=True, editable=False)
    oldest_open_id = models.BigIntegerField(null=True, editable=False)

    class Meta:
        ordering = ["id"]
        indexes = [
            # One job's history, in order.
            models.Index(fields=["job", "id"], name="djobs_log_history"),
            # What happened in an organization since a client was last there.
            models.Index(fields=["organization", "transaction_id"], name="djobs_log_replay"),
        ]

    def __str__(self) -> str:
        before = self.get_from_status_display() or pgettext("job", "new")
        arrow = "←" if get_language_bidi() else "→"
        return f"{before} {arrow} {self.get_to_status_display()}"
