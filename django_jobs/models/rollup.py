"""What happened, summed up by time: charts and metrics read these rows and never the history."""

from __future__ import annotations

from typing import Any

from django.db import models

from django_jobs.conf import organization_model_name
from django_jobs.models.base import StoredModel, with_database_defaults


class Span(models.IntegerChoices):
    """How much time a row covers, in seconds."""

    MINUTE = 60, "Minute"
    HOUR = 3_600, "Hour"
    DAY = 86_400, "Day"


class Activity(StoredModel):
    """What happened to jobs of one type from ``starts_at`` (UTC) until ``span`` seconds later.

    Each event counts when it happened, whenever the job was submitted. Histograms are read by
    ``django_jobs.engine.store.histograms``.
    """

    span = models.PositiveIntegerField(choices=Span.choices)
    starts_at = models.DateTimeField()
    # Text, because the type may be deleted once its jobs are.
    job_type = models.CharField(max_length=100)
    submitted = models.PositiveIntegerField(default=0)
    #: Attempts that a worker took.
    started = models.PositiveIntegerField(default=0)
    completed = models.PositiveIntegerField(default=0)
    #: Attempts that ended as Failed, Timed Out or, at once, as Dead Letter.
    failed = models.PositiveIntegerField(default=0)
    #: Jobs that became Dead Letters: at the end of an attempt, after their last retry, or without any attempt.
    died = models.PositiveIntegerField(default=0)
    canceled = models.PositiveIntegerField(default=0)
    #: How long the last attempts of the completed jobs took.
    run_seconds = models.FloatField(default=0.0)
    run_histogram: models.JSONField[dict[str, int], dict[str, int]] = models.JSONField(default=dict)
    #: How long first attempts waited, from when they could start until a worker took them.
    wait_seconds = models.FloatField(default=0.0)
    wait_histogram: models.JSONField[dict[str, int], dict[str, int]] = models.JSONField(default=dict)

    class Meta:
        abstract = True


@with_database_defaults
class TypeActivity(Activity):
    """The activity of all organizations together."""

    class Meta:
        verbose_name_plural = "type activity"
        constraints = [
            # A chart or a table of types over a time; the row to add to.
            models.UniqueConstraint(fields=["span", "starts_at", "job_type"], name="djobs_type_activity_once"),
        ]

    def __str__(self) -> str:
        return _describe(self, self.job_type)


@with_database_defaults
class OrganizationActivity(Activity):
    """The activity of one organization, which may have been deleted."""

    organization = models.ForeignKey(
        organization_model_name(),
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    organization_name = models.CharField(max_length=140)

    class Meta:
        verbose_name_plural = "organization activity"
        constraints = [
            # An organization's chart or metrics over a time; the row to add to.
            models.UniqueConstraint(
                fields=["organization", "span", "starts_at", "job_type"], name="djobs_org_activity_once"
            ),
        ]
        indexes = [
            # What is old enough to be deleted.
            models.Index(fields=["span", "starts_at"], name="djobs_org_activity_age"),
        ]

    def __str__(self) -> str:
        return _describe(self, f"{self.organization_name}, {self.job_type}")


def _describe(row: Any, of_what: str) -> str:
    return f"{Span(row.span).label} from {row.starts_at:%Y-%m-%d %H:%M} of {of_what}"
