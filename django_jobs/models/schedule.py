"""Rules that submit jobs at times, what became of each firing, and which job each tenant got last."""

from __future__ import annotations

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from django_jobs.models.base import (
    PriorityField,
    StoredModel,
    WordField,
    in_words,
    organization_key,
    user_key,
    with_database_defaults,
)
from django_jobs.models.job_type import JobType

#: Seconds between two firings: a year at most.
MAX_EVERY = 366 * 24 * 3600
#: Seconds over which the jobs of one firing may be spread.
MAX_JITTER = 24 * 3600


class CatchUp(models.TextChoices):
    """What happens to firings that nobody was there for."""

    SKIP = "skip", _("Skip them")
    ONCE = "once", _("Fire once for all of them")
    ALL = "all", _("Fire for each of them, up to 100")


class Overlap(models.TextChoices):
    """What a firing does while the job of the one before it is unfinished."""

    ALLOW = "allow", _("Submit another one")
    SKIP = "skip", _("Skip the firing")


def default_timezone() -> str:
    """Return the host's time zone."""
    return str(settings.TIME_ZONE)


@in_words(
    _("schedule"),
    _("schedules"),
    name=_("name"),
    job_type=_("job type"),
    organization=_("organization"),
    parameters=_("parameters"),
    priority=_("priority"),
    cron=_("cron"),
    every=_("every"),
    timezone=_("timezone"),
    starts_at=_("starts at"),
    ends_at=_("ends at"),
    jitter=_("jitter"),
    catch_up=_("catch up"),
    overlap=_("overlap"),
    is_enabled=_("is enabled"),
)
@with_database_defaults
class Schedule(StoredModel):
    """A rule that submits jobs at times: for one organization, or for each active one."""

    name = models.CharField(max_length=200)
    # No constraint: a schedule whose type is gone says so, and keeps nobody from deleting the type.
    job_type = models.ForeignKey(
        JobType, on_delete=models.DO_NOTHING, related_name="+", db_index=False, db_constraint=False
    )
    organization = organization_key(null=True, blank=True, help_text=_("Blank: one job for each active organization."))
    #: Text of the organization's key; blank where it has none. Names are unique within it: to a database, NULL is
    #: equal to none, and MariaDB has no constraint for some of the rows.
    organization_key = models.CharField(max_length=64, blank=True, editable=False)
    #: Whether server code made it: of those without an organization, code changes no other one.
    made_by_code = models.BooleanField(default=False, editable=False)
    #: In whose name the jobs are submitted; nobody's where server code made the schedule.
    owner = user_key(blank=True, editable=False)
    owner_name = models.CharField(max_length=150, blank=True, editable=False)
    parameters = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    priority = PriorityField(null=True, blank=True, help_text=_("Blank: the type's."))  # type: ignore[misc]  # the stubs know of no null here
    cron = models.CharField(
        max_length=200, blank=True, help_text=_("Five fields: minute, hour, day of the month, month, day of the week.")
    )
    every = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_EVERY)],
        help_text=_("Seconds between two firings, in the place of cron."),
    )
    timezone = models.CharField(
        max_length=64, default=default_timezone, db_default="UTC", help_text=_("In which cron is meant.")
    )
    starts_at = models.DateTimeField(null=True, blank=True, help_text=_("No firing comes before it."))
    ends_at = models.DateTimeField(null=True, blank=True, help_text=_("No firing comes after it."))
    jitter = models.PositiveIntegerField(
        default=0,
        validators=[MaxValueValidator(MAX_JITTER)],
        help_text=_("Seconds over which one firing's jobs are spread; a tenant's place stays the same."),
    )
    catch_up = WordField(
        max_length=4,
        choices=CatchUp.choices,
        default=CatchUp.ONCE,
        db_default=CatchUp.ONCE,
        help_text=_("What happens to firings that nobody was there for."),
    )
    overlap = WordField(
        max_length=5,
        choices=Overlap.choices,
        default=Overlap.SKIP,
        db_default=Overlap.SKIP,
        help_text=_("What a firing does while the last job is unfinished."),
    )
    is_enabled = models.BooleanField(default=True, help_text=_("Off: it does not fire."))
    #: From when intervals are counted, where ``starts_at`` does not say so.
    created_at = models.DateTimeField(editable=False)
    #: The moment of the last firing, as the rule has it; nothing before it fires again.
    last_fired_at = models.DateTimeField(null=True, blank=True, editable=False)
    #: When it fires next; None where it does not.
    next_run_at = models.DateTimeField(null=True, blank=True, editable=False)
    #: Why its last firing submitted nothing that it should have, in words; blank where all is well.
    fault = models.TextField(blank=True, editable=False)
    faulty_since = models.DateTimeField(null=True, blank=True, editable=False)
    #: What the code's declaration said last, field by field; None for a schedule that no code declares.
    declared = models.JSONField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["name", "organization_key"], name="djobs_schedule_name_once"),
            models.CheckConstraint(
                condition=(Q(cron="") & Q(every__gte=1)) | (~Q(cron="") & Q(every__isnull=True)),
                name="djobs_schedule_cron_or_every",
            ),
            models.CheckConstraint(
                condition=Q(next_run_at__isnull=True) | Q(is_enabled=True), name="djobs_schedule_off_is_off"
            ),
        ]
        # What is due, the earliest first.
        indexes = [models.Index(fields=["next_run_at"], name="djobs_schedule_due")]

    def __str__(self) -> str:
        # What tells it from all others: that of an organization needs its number, which commands take.
        return f"{self.name} #{self.pk}" if self.organization_key else self.name


@with_database_defaults
class ScheduleFiring(StoredModel):
    """One firing of a schedule, and what came of it. The newest are kept."""

    class Outcome(models.TextChoices):
        """What came of it."""

        SUBMITTED = "submitted", _("Submitted")
        SKIPPED = "skipped", _("Skipped")  # the last job is unfinished, or nobody could have one
        FAILED = "failed", _("Failed")  # the submission was refused

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="firings", db_index=False)
    #: The moment for which it fired, and the one at which it did.
    due_at = models.DateTimeField()
    fired_at = models.DateTimeField()
    outcome = WordField(max_length=9, choices=Outcome.choices)
    submitted = models.PositiveIntegerField(default=0, help_text=_("Jobs."))
    skipped = models.PositiveIntegerField(default=0, help_text=_("Organizations that got none."))
    #: The job, or the first of several; it may be deleted by now.
    job_id = models.BigIntegerField(null=True, blank=True)
    #: Why it skipped or failed, in words.
    note = models.TextField(blank=True)
    #: Who had it fire by hand; blank for the scheduler.
    actor = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["-id"]
        default_permissions = ()
        # A schedule's newest firings.
        indexes = [models.Index(fields=["schedule", "-id"], name="djobs_firing_newest")]

    def __str__(self) -> str:
        return f"{self.schedule_id} at {self.due_at}"


class ScheduledJob(StoredModel):
    """The last job that an organization got of a schedule, so that a firing knows whether that is unfinished."""

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="last_jobs", db_index=False)
    #: Text of the tenant's key, of whatever kind that is.
    organization_key = models.CharField(max_length=64)
    job_id = models.BigIntegerField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["schedule", "organization_key"], name="djobs_scheduled_job_once")
        ]

    def __str__(self) -> str:
        return f"{self.job_id} of {self.schedule_id}"
