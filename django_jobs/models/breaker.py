"""Whether jobs of a type are held, since its last attempts all failed with one error."""

from __future__ import annotations

from django.db import models

from django_jobs.conf import organization_model_name
from django_jobs.models.base import StoredModel, with_database_defaults
from django_jobs.models.job_type import JobType
from django_jobs.statuses import BreakerState


@with_database_defaults
class Breaker(StoredModel):
    """The breaker of a job type: what it counted, and what it does now. Without a row it is closed and counted nothing.

    A process that stores how an attempt ended counts; the dispatcher, alone under its lock, lets jobs go.
    """

    job_type = models.OneToOneField(
        JobType, on_delete=models.CASCADE, primary_key=True, related_name="breaker", db_constraint=False
    )
    state = models.CharField(max_length=10, choices=BreakerState.choices, default=BreakerState.CLOSED)
    #: Whose attempts all failures that it counted are; None where several have them, or none were counted. It holds the
    #: jobs of this organization alone, or of all.
    organization = models.ForeignKey(
        organization_model_name(),
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    #: Whose attempts all failures are that it counted since it recovers; None where several have them. Where they open
    #: it again, it holds the jobs of this organization alone, though it may have held all before.
    relapse_organization = models.ForeignKey(
        organization_model_name(),
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    #: While it holds one organization: how many attempts of others failed in a row with the error of this fingerprint.
    others_failures = models.PositiveIntegerField(default=0)
    others_fingerprint = models.CharField(max_length=64, blank=True)
    #: How many attempts in a row failed with the error of this fingerprint, and its text.
    failures = models.PositiveIntegerField(default=0)
    fingerprint = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    #: While it is open: when the next job may try.
    next_try_at = models.DateTimeField(null=True, blank=True)
    #: While it is open: when the first job was let go to try. Before, nothing is a try: a pass of the dispatcher that
    #: began earlier may queue many others yet.
    tries_since = models.DateTimeField(null=True, blank=True)
    #: While it recovers: since when.
    recovering_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"breaker of {self.job_type_id}"
