"""What processes agree on through the database, sum up in it, and tell in it."""

from __future__ import annotations

import copy
import datetime as dt
import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_jobs.models.base import StoredModel, WordField, in_words, organization_key, with_database_defaults

# What processes agree on through the database: who leads, who works, and which installation this is.


@with_database_defaults
class EngineLease(StoredModel):
    """One row for each duty that only one process may do at a time (``dispatcher``, ``scheduler``).

    The dispatcher holds it by a row lock; the scheduler's leader by ``holder`` until ``expires_at``.
    ``state`` is the duty's own memory, e.g. whose turn it is.
    """

    name = models.CharField(primary_key=True, max_length=40)
    holder = models.CharField(max_length=100, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    ticked_at = models.DateTimeField(null=True, blank=True)
    state = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.name


class Installation(StoredModel):
    """The single row that tells this installation from others that might use the same broker."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    installation_id = models.UUIDField(default=uuid.uuid4, editable=False)
    #: The server that gives the Execution Log its order, where servers count transactions; and the last row of the log
    #: that another one wrote, whose transactions' ids say nothing here.
    log_server = models.CharField(max_length=40, default="", db_default="", editable=False)
    log_foreign_id = models.BigIntegerField(default=0, db_default=0, editable=False)

    def __str__(self) -> str:
        return str(self.installation_id)


@in_words(_("worker"), _("workers"))
@with_database_defaults
class Worker(StoredModel):
    """A living worker, and how many tickets it wants to have waiting for it.

    That is one for each of its slots; of the quick types, as many as ``quick_types`` has by their names.
    """

    name = models.CharField(primary_key=True, max_length=100)
    hostname = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    queues = models.CharField(max_length=500)
    slots = models.PositiveSmallIntegerField(default=1)
    quick_types: models.JSONField[dict[str, int], dict[str, int]] = models.JSONField(default=dict, editable=False)
    #: Where its processes can be looked for, and what tells them from later ones (``dispatch.window``).
    place = models.CharField(max_length=150, blank=True, default="", db_default="", editable=False)
    processes = models.CharField(max_length=100, blank=True, default="", db_default="", editable=False)
    started_at = models.DateTimeField()
    last_seen = models.DateTimeField()
    #: Of which supervisor it is, by a name that no other one ever has.
    supervisor = models.CharField(max_length=40, blank=True, default="", db_default="", editable=False)
    supervisor_pid = models.PositiveIntegerField(null=True, blank=True, editable=False)
    release = models.CharField(max_length=40, blank=True, default="", db_default="", editable=False)
    #: Megabytes that it held at its last sign; None where the system does not tell.
    memory = models.PositiveIntegerField(null=True, blank=True, editable=False)
    #: Since when it takes no new jobs, because somebody ordered that.
    quiet_since = models.DateTimeField(null=True, blank=True, editable=False)

    def __str__(self) -> str:
        return self.name


@with_database_defaults
class WorkerOrder(StoredModel):
    """What somebody ordered a supervisor to do last, and whether it did. A new supervisor has a new name, and none."""

    class Order(models.TextChoices):
        """What can be ordered."""

        QUIET = "quiet", _("Quiet")  # take no new jobs; what runs goes on
        RESUME = "resume", _("Resume")  # take jobs again
        STOP = "stop", _("Stop")  # as after SIGTERM: quiet, grace, requeue, leave

    supervisor = models.CharField(primary_key=True, max_length=40)
    hostname = models.CharField(max_length=255)
    supervisor_pid = models.PositiveIntegerField(null=True)
    order = WordField(max_length=10, choices=Order.choices)
    ordered_at = models.DateTimeField()
    ordered_by = models.CharField(max_length=150, blank=True)
    #: When the supervisor read it, and when it left because of it.
    obeyed_at = models.DateTimeField(null=True, blank=True)
    left_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("worker")

    def __str__(self) -> str:
        return f"{self.hostname}, process {self.supervisor_pid}"


# What happened, summed up by time: charts and metrics read these rows and never the history.


class Span(models.IntegerChoices):
    """How much time a row covers, in seconds."""

    MINUTE = 60, "Minute"
    HOUR = 3_600, "Hour"
    DAY = 86_400, "Day"


class Activity(StoredModel):
    """What happened to jobs of one type from ``starts_at`` (UTC) until ``span`` seconds later.

    Each event counts when it happened, whenever the job was submitted. Histograms are read by
    ``django_jobs.engine.store.values``.
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

    organization = organization_key()
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


# What is wrong, or was until lately: one row for each time that a rule held of a subject.


@with_database_defaults
class Alert(StoredModel):
    """An alarm: a rule of the setting ALERTS, and what it found wrong. The leading scheduler alone writes it."""

    rule = models.CharField(max_length=32)
    #: A job type, a pool, a queue (``pool/priority``) or a numbered schedule; blank where the rule has one subject.
    subject = models.CharField(max_length=255, blank=True)
    raised_at = models.DateTimeField()
    #: When the rule held for the last time.
    seen_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True, blank=True)
    #: The numbers and texts of its sentence (``engine.alerts.telling``).
    facts: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)
    #: A hash of rule and subject while it is open, and None afterwards, which is equal to none: so one is open at most.
    open_key = models.CharField(max_length=64, null=True, blank=True, editable=False)  # noqa: DJ001
    #: When a mail told that it was raised, and that it is over; None where none did.
    raise_mailed_at = models.DateTimeField(null=True, blank=True, editable=False)
    clear_mailed_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        default_permissions = ()
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")
        constraints = [
            # One open alarm of a rule and a subject; the open ones.
            models.UniqueConstraint(fields=["open_key"], name="djobs_alert_open_once"),
        ]
        indexes = [
            # What was cleared lately, and what was long enough ago to be deleted.
            models.Index(fields=["cleared_at"], name="djobs_alert_cleared"),
        ]

    def __str__(self) -> str:
        return f"{self.rule} {self.subject}".rstrip()

    #: Whether its facts are those that a reader may know who sees some organizations only.
    is_partial = False

    @property
    def is_open(self) -> bool:
        """Return whether it is still wrong."""
        return self.cleared_at is None

    @property
    def since(self) -> dt.datetime:
        """Return since when it is wrong, which may be earlier than when that was found."""
        text = self.facts.get("since")
        return dt.datetime.fromisoformat(text) if text else self.raised_at

    @property
    def key(self) -> str:
        """Return what tells it from the other open ones."""
        return f"{self.rule}:{self.subject}"

    @property
    def organizations(self) -> dict[str, int]:
        """Return the concerned organizations' keys as texts, each with a number of jobs."""
        return self.facts.get("organizations") or {}

    def with_facts(self, facts: dict[str, Any], *, is_partial: bool = False) -> Alert:
        """Return the alarm as somebody is told it, with these facts."""
        told = copy.copy(self)
        told.facts, told.is_partial = facts, is_partial
        return told


# Tickets that open a websocket once, and the websockets that are open.


@with_database_defaults
class SocketTicket(StoredModel):
    """A ticket that REST issued and no socket has used yet. Using it deletes the row, so it opens one socket.

    Only a digest of the ticket is stored. ``credential`` is the session or token for which it was issued. When that
    ends, the ticket ends too.
    """

    digest = models.CharField(primary_key=True, max_length=64)
    # No constraint in the database: on MariaDB an insert would wait for whoever has changed the user's row.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    #: The kind of the credential that asked for it, and the credential itself, which only the ticket makes readable:
    #: ``session:<text>``, ``token:<text>``; blank: another kind.
    credential = models.TextField(blank=True)
    #: The user's session auth hash when a session asked, so that a changed password ends it.
    session_auth_hash = models.CharField(max_length=128, blank=True)
    expires_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        # The scheduler removes what nobody used.
        indexes = [models.Index(fields=["expires_at"], name="djobs_ticket_expiry")]

    def __str__(self) -> str:
        return f"socket ticket of user {self.user_id}"
