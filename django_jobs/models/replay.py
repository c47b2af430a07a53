"""The request to retry, or delete, a group of Dead Letters in the background."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import Q

from django_jobs.models.base import StoredModel, with_database_defaults


@with_database_defaults
class Replay(StoredModel):
    """What somebody asked for, and how far it has come. The leading scheduler works it off."""

    class Verb(models.TextChoices):
        """What is done to each job."""

        RETRY = "retry", "Retry"
        DELETE = "delete", "Delete"

    class State(models.TextChoices):
        """Whether the replay goes on."""

        RUNNING = "running", "Running"
        PAUSED = "paused", "Paused"
        STOPPED = "stopped", "Stopped"  # before it came to the end
        DONE = "done", "Done"

    verb = models.CharField(max_length=6, choices=Verb.choices, default=Verb.RETRY)
    # Text, because the type may be deleted once its jobs are.
    job_type = models.CharField(max_length=100)
    error_fingerprint = models.CharField(max_length=64, blank=True)
    #: The text of the group's newest error when this was started: what tenants may read.
    error_message = models.TextField(blank=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    user_name = models.CharField(max_length=150)
    per_minute = models.PositiveIntegerField(help_text="Jobs that are released in a minute.")
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    #: Why the engine paused or stopped it; blank where a person did.
    note = models.CharField(max_length=255, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    #: The jobs that the rate allows until this moment have been released.
    released_until = models.DateTimeField()
    #: How many jobs the group had, counted up to a bound.
    total = models.PositiveIntegerField(default=0)
    has_more = models.BooleanField(default=False)
    #: The newest job of the group when this was started; what died later is not touched.
    last_id = models.BigIntegerField()
    #: The jobs up to this one have been looked at.
    position = models.BigIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    #: For each reason, how many jobs were left as they are.
    refused: models.JSONField[dict[str, int], dict[str, int]] = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]
        default_permissions = ()
        constraints = [
            models.CheckConstraint(condition=Q(per_minute__gte=1), name="djobs_replay_rate_positive"),
        ]
        indexes = [
            # What the scheduler has to work off.
            models.Index(fields=["state", "id"], name="djobs_replay_open"),
        ]

    def __str__(self) -> str:
        return f"{self.get_verb_display()} {self.job_type}"

    @property
    def is_open(self) -> bool:
        """Return whether it may still go on."""
        return self.state in OPEN

    @property
    def refusals(self) -> int:
        """Return how many jobs were left as they are."""
        return sum(self.refused.values())


OPEN: Final = frozenset({Replay.State.RUNNING, Replay.State.PAUSED})
