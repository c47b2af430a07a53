"""An action on all jobs that a filter names, which the leading scheduler works off."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from django_jobs.models.base import StoredModel, WordField, in_words, with_database_defaults
from django_jobs.statuses import ActorKind


@in_words(_("operation"), _("operations"), state=_("state"), action=_("action"))
@with_database_defaults
class Operation(StoredModel):
    """What somebody asked for, how far it has come, and what became of its jobs."""

    class Action(models.TextChoices):
        """What is done to each job."""

        RETRY = "retry", _("Retry")
        CANCEL = "cancel", _("Cancel")
        DELETE = "delete", _("Delete")
        SET_PRIORITY = "set_priority", _("Change priority")
        RUN_NOW = "run_now", _("Run now")

    class State(models.TextChoices):
        """Whether the operation goes on."""

        RUNNING = "running", _("Running")
        PAUSED = "paused", _("Paused")
        STOPPED = "stopped", _("Stopped")  # before it came to the end
        DONE = "done", _("Done")

    class Reason(models.TextChoices):
        """Why the engine paused or stopped it by itself."""

        USER_GONE = "user_gone", _("Whoever started it is not there any more, or was deactivated.")
        ERROR = "error", _("An error came up.")
        FIRST_FAILED = "first_failed", _("The job that was tried first did not complete.")
        TOO_MANY_FAILED = "too_many_failed", _("Too many of its jobs failed.")
        UNKNOWN_FILTER = "unknown_filter", _("Its filter is none that this release knows.")

    class Refusal(models.TextChoices):
        """Why a job was left as it is."""

        NOT_PERMITTED = "not_permitted", _("whoever started the operation may not do this to them")
        DEAD_PARENT = "dead_parent", _("a job that they wait for ended without completing; retry that one first")
        CHANGED = "changed", _("changed meanwhile")
        KEPT = "kept", _("unfinished jobs or other data need them")

    action = WordField(max_length=12, choices=Action.choices, default=Action.RETRY)
    #: What names the jobs (``engine.insight.filter``), with the organizations' primary keys.
    filters: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)
    #: Of a change of priority: the new one.
    value = models.PositiveSmallIntegerField(null=True, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+", db_constraint=False
    )
    user_name = models.CharField(max_length=150)
    #: "system" for one that was started without a user, from a shell or by server code: it asks no policy.
    actor_kind = WordField(max_length=9, choices=ActorKind.choices, default=ActorKind.USER)
    #: Null: as fast as it goes.
    per_minute = models.PositiveIntegerField(null=True, blank=True, help_text=_("Jobs that it acts on in a minute."))
    #: The share of failures, from 0 to 1, above which it stops by itself; null: it does not.
    stop_above = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)])
    tries_one_first = models.BooleanField(default=False)
    #: The job that is tried first, once it is; the others follow when it has completed (``is_tried``).
    first_job_id = models.BigIntegerField(null=True, blank=True, editable=False)
    is_tried = models.BooleanField(default=False, editable=False)
    state = WordField(max_length=8, choices=State.choices, default=State.RUNNING)
    #: The Reason why the engine paused or stopped it; blank where a person did. ``note`` adds to it in words.
    reason = models.CharField(max_length=16, blank=True)
    note = models.CharField(max_length=255, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    #: The jobs that the rate allows until this moment have been released.
    released_until = models.DateTimeField()
    #: How many jobs it is about: first counted up to a bound (``has_more``), then exactly by the scheduler.
    total = models.PositiveIntegerField(default=0)
    has_more = models.BooleanField(default=False)
    #: The newest matching job when this was started; what was submitted later is not touched.
    last_id = models.BigIntegerField()
    #: The jobs up to this one have been looked at.
    position = models.BigIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    #: How many of the changed jobs run, and were asked to stop.
    asked = models.PositiveIntegerField(default=0)
    #: For each Refusal, how many jobs were left as they are.
    refused: models.JSONField[dict[str, int], dict[str, int]] = models.JSONField(default=dict)
    #: Jobs whose rows others held when it came to them, and until when, in seconds since 1970, each is tried again.
    held: models.JSONField[dict[str, float], dict[str, float]] = models.JSONField(default=dict, editable=False)
    #: What became of the changed jobs, by status, when that was last counted; the jobs that a later operation or a
    #: person took up, and deleted ones, are missing in it.
    outcome: models.JSONField[dict[str, int], dict[str, int]] = models.JSONField(default=dict)
    counted_at = models.DateTimeField(null=True, blank=True)
    #: Whether all its jobs have ended, so that the outcome stands.
    is_settled = models.BooleanField(default=False)

    class Meta:
        ordering = ["-id"]
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=Q(per_minute__isnull=True) | Q(per_minute__gte=1), name="djobs_operation_rate_positive"
            ),
        ]
        indexes = [
            # What the scheduler has to work off, and what it has to count.
            models.Index(fields=["state", "is_settled", "id"], name="djobs_operation_open"),
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()} ({self.pk})"

    @property
    def is_open(self) -> bool:
        """Return whether it may still go on."""
        return self.state in OPEN

    @property
    def refusals(self) -> int:
        """Return how many jobs were left as they are."""
        return sum(self.refused.values())


OPEN: Final = frozenset({Operation.State.RUNNING, Operation.State.PAUSED})
