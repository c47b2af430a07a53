"""What processes agree on through the database: who leads, who works, and which installation this is."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_jobs.models.base import StoredModel, in_words, with_database_defaults


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

    ``window`` is how many of jobs that it does not know to be quick. ``quick_types`` has, by job type, how many of
    others.
    """

    name = models.CharField(primary_key=True, max_length=100)
    hostname = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    queues = models.CharField(max_length=500)
    slots = models.PositiveSmallIntegerField(default=1)
    window = models.PositiveIntegerField(default=1)
    quick_types: models.JSONField[dict[str, int], dict[str, int]] = models.JSONField(default=dict, editable=False)
    #: Where its processes can be looked for, and what tells them from later ones (``engine.processes``).
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
        STOP = "stop", _("Stop")  # as after SIGTERM: quiet, grace, hand back, leave

    supervisor = models.CharField(primary_key=True, max_length=40)
    hostname = models.CharField(max_length=255)
    supervisor_pid = models.PositiveIntegerField(null=True)
    order = models.CharField(max_length=10, choices=Order.choices)
    ordered_at = models.DateTimeField()
    ordered_by = models.CharField(max_length=150, blank=True)
    #: When the supervisor read it, and when it left because of it.
    obeyed_at = models.DateTimeField(null=True, blank=True)
    left_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("worker")

    def __str__(self) -> str:
        return f"{self.hostname}, process {self.supervisor_pid}"
