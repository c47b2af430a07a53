"""A job, and the rows that belong to it."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, Final

from django.core.serializers.json import DjangoJSONEncoder
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import get_language_bidi, pgettext
from django.utils.translation import gettext_lazy as _

from django_jobs.models.base import (
    PrimaryManager,
    PriorityField,
    RowId,
    StoredModel,
    TenantRows,
    WordField,
    in_words,
    organization_key,
    user_key,
    with_database_defaults,
)
from django_jobs.models.job_type import JobType
from django_jobs.statuses import (
    DISPATCHABLE,
    IN_FLIGHT,
    RARE,
    WAITING,
    WITH_ERRORS,
    ActorKind,
    LogReason,
    Priority,
    RunAfter,
    Status,
)

# A job: one unit of work of an organization, and the ways to find it.


JOB_ID: Final = RowId("JOB")
format_job_id: Final = JOB_ID.format
parse_job_id: Final = JOB_ID.parse


class JobQuerySet(TenantRows["Job"]):
    """Look-ups of jobs."""

    ids = JOB_ID

    def _batched_insert(self, objs: list[Job], fields: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        """Insert as bulk_create does, without the columns in which all hold what the database writes there itself.

        Those are most columns of new jobs, and to send them costs more than all the rest.
        """
        told = [field for field in fields if not _is_left_to_the_database(field, objs)]
        return super()._batched_insert(objs, told, *args, **kwargs)  # type: ignore[misc]


def _is_left_to_the_database(field: Any, jobs: Iterable[Job]) -> bool:
    if not field.has_db_default() and not field.null:
        return False
    values = list(map(attrgetter(field.attname), jobs))
    return values.count(field.get_default()) == len(values)


@in_words(
    _("job"),
    _("jobs"),
    job_type=_("job type"),
    organization=_("organization"),
    owner=_("owner"),
    status=_("status"),
    priority=_("priority"),
)
@with_database_defaults
class Job(models.Model):
    """One unit of work. The row is the truth; ``engine.transitions`` alone writes its status."""

    # No constraint in the database on type and organization: on MariaDB an open submission would hold a lock on
    # the parent row and make pausing the type or suspending the tenant wait for it.
    job_type = models.ForeignKey(
        JobType, on_delete=models.PROTECT, related_name="jobs", db_index=False, db_constraint=False
    )
    organization = organization_key()
    organization_name = models.CharField(max_length=140)
    owner = user_key(blank=True)
    owner_name = models.CharField(max_length=150, blank=True)
    status = WordField(max_length=12, choices=Status.choices, default=Status.PENDING)
    priority = PriorityField(default=Priority.NORMAL)
    progress = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(100)])
    progress_message = models.CharField(max_length=255, blank=True)
    input_parameters = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    metadata = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    output_reference = models.TextField(blank=True)
    result = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)
    error_message = models.TextField(blank=True)
    error_type = models.CharField(max_length=9, blank=True)
    #: Equal for errors that differ only in numbers, ids and the like (``engine.transitions``).
    error_fingerprint = models.CharField(max_length=64, blank=True, editable=False)
    retry_count = models.PositiveSmallIntegerField(default=0)
    max_retries = models.PositiveSmallIntegerField(default=5)
    retry_delay = models.PositiveIntegerField(default=60)
    next_retry_at = models.DateTimeField(null=True, blank=True)
    run_at = models.DateTimeField(null=True, blank=True)
    depends_on = models.ManyToManyField(
        "self", through="django_jobs.JobDependency", symmetrical=False, related_name="dependents"
    )
    job_hash = models.CharField(max_length=64, blank=True)
    timeout_seconds = models.PositiveIntegerField(default=300)
    created_at = models.DateTimeField()
    queued_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    canceled_at = models.DateTimeField(null=True, blank=True)
    canceled_by = models.CharField(max_length=150, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveIntegerField(default=0)
    #: The last attempt whose handler is known to have begun. The claim does not know that yet; the worker's supervisor
    #: writes it for handlers that take longer than a moment, and so does the end of an attempt that did not return.
    begun_attempt = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    worker_name = models.CharField(max_length=100, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    #: Set exactly while the job waits in a status that may be dispatched; the moment from which it may. In a lane it is
    #: earlier by the head start.
    ready_at = models.DateTimeField(null=True, blank=True, editable=False)
    #: Whether ``ready_at`` was still to come when it was written: then dispatch does not walk past the job until
    #: somebody sees that the moment has come (``dispatch.backlog``). Means nothing where ``ready_at`` is not set.
    is_delayed = models.BooleanField(default=False, db_default=False, editable=False)
    #: Of a type with a concurrency key: a hash of the key's value (``job_types.parameters``); 0 without one. Jobs
    #: of an organization and type that have the same wait in one lane.
    lane_key = models.BigIntegerField(default=0, db_default=0, editable=False)
    #: By how many hours it goes before jobs of its lane that became ready when it did (``engine.store.values``).
    head_start = models.SmallIntegerField(default=0, db_default=0, editable=False)
    #: Not started by then, it ends as Canceled.
    expires_at = models.DateTimeField(null=True, blank=True)
    #: Of a job that depends on others: whether it waits for them to complete, or to end however they do.
    run_after = WordField(
        max_length=9,
        choices=RunAfter.choices,
        default=RunAfter.COMPLETED,
        db_default=RunAfter.COMPLETED,
        editable=False,
    )
    #: The job whose handler submitted this one, and in which attempt; that job may be deleted by now.
    submitted_by_id = models.BigIntegerField(null=True, blank=True, editable=False)
    submitted_by_attempt = models.PositiveIntegerField(null=True, blank=True, editable=False)
    #: The batch that it counts for, which may be deleted by now.
    batch = models.ForeignKey(
        "django_jobs.Batch",
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="jobs",
        editable=False,
        db_index=False,
        db_constraint=False,
    )
    #: The operation that acted on it last, which may be deleted by now; null once somebody retried it by hand.
    operation_id = models.BigIntegerField(null=True, blank=True, editable=False)
    #: Whether another job waits, or waited, for this one: then its end is followed up.
    has_children = models.BooleanField(default=False, editable=False)
    #: Whether it is a Dead Letter only because a parent ended without completing.
    is_orphaned = models.BooleanField(default=False, editable=False)
    #: So many first attempts are known to have saved no file. Where that is ``attempt``, the storage holds none.
    fileless_attempts = models.PositiveIntegerField(default=0, db_default=0, editable=False)

    objects = JobQuerySet.as_manager()
    primary = PrimaryManager.from_queryset(JobQuerySet)()

    class Meta:
        ordering = ["-id"]
        permissions = [
            ("manage_all_jobs", "Can see and manage the jobs of every organization"),
            ("view_sensitive", "Can read the sensitive parameters and results of jobs"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=Status.values), name="djobs_status_known"),
            models.CheckConstraint(condition=Q(progress__lte=100), name="djobs_progress_is_percent"),
            models.CheckConstraint(
                condition=Q(ready_at__isnull=True) | Q(status__in=sorted(DISPATCHABLE)),
                name="djobs_ready_only_waiting",
            ),
        ]
        # MariaDB has no partial indexes: the migration gives it full ones of other shapes under these names.
        # Where the status comes last, it decides in the index which rows are worth a visit. That costs nothing: a move
        # writes every index of its row anyhow.
        indexes = [
            # What waits for dispatch, and then what waits for its moment, lane by lane: the dispatcher's walk over the
            # backlog, counts, limits, jobs of deleted tenants. A type that may not start now is passed by as a whole.
            models.Index(
                fields=["is_delayed", "priority", "job_type", "organization", "lane_key", "ready_at", "id"],
                condition=Q(ready_at__isnull=False),
                name="djobs_type_lanes",
            ),
            # What waits for its moment, the earliest first.
            models.Index(
                fields=["ready_at"], condition=Q(ready_at__isnull=False, is_delayed=True), name="djobs_delayed"
            ),
            # What is queued or running now: the window, leases, lost tickets, a dead worker's jobs. The latest last, so
            # that a walk may begin behind what can no longer be removed. Of one organization it is told in the index.
            models.Index(
                fields=["queued_at", "organization"], condition=Q(status__in=sorted(IN_FLIGHT)), name="djobs_queued_at"
            ),
            # An organization's newest jobs, page by page.
            models.Index(fields=["organization", "-id", "status"], name="djobs_org_newest"),
            # A job type's jobs, and an organization's newest of a type: lists, counts, the rate limit.
            models.Index(fields=["job_type", "organization", "-id", "status"], name="djobs_type_newest"),
            # The newest in one of the statuses that are rare, which a walk over all jobs would not find.
            models.Index(
                fields=["status", "-id", "organization", "job_type"],
                condition=Q(status__in=sorted(RARE)),
                name="djobs_status_newest",
            ),
            # The newest that completed, also of one type, however long the backlog is that a walk would pass first.
            models.Index(fields=["id", "job_type"], condition=Q(status=Status.COMPLETED), name="djobs_completed"),
            # What waits for other jobs, and so is in no lane.
            models.Index(
                fields=["organization", "-id"],
                condition=Q(status=Status.PENDING, ready_at__isnull=True),
                name="djobs_blocked",
            ),
            # The newest of an unusual priority, of all organizations and of one.
            models.Index(
                fields=["priority", "-id", "status", "job_type"],
                condition=~Q(priority=Priority.NORMAL),
                name="djobs_priority_newest",
            ),
            models.Index(
                fields=["organization", "priority", "-id", "status"],
                condition=~Q(priority=Priority.NORMAL),
                name="djobs_org_priority",
            ),
            # A user's newest jobs; the name outlives the user.
            models.Index(
                fields=["owner_name", "-id", "status", "priority"],
                condition=~Q(owner_name=""),
                name="djobs_owner_newest",
            ),
            # What failed, of one type in groups of like errors.
            models.Index(
                fields=["job_type", "error_fingerprint", "-id", "status", "organization"],
                condition=Q(status__in=sorted(WITH_ERRORS)),
                name="djobs_failures",
            ),
            # What an earlier attempt of the same job submitted; what a job submitted.
            models.Index(
                fields=["submitted_by_id", "job_hash"],
                condition=Q(submitted_by_id__isnull=False),
                name="djobs_submitted_by",
            ),
            # A batch's jobs, and which of them have ended or failed.
            models.Index(fields=["batch", "id", "status"], condition=Q(batch__isnull=False), name="djobs_batch"),
            # What an operation acted on, and what became of it.
            models.Index(
                fields=["operation_id", "id", "status"],
                condition=Q(operation_id__isnull=False),
                name="djobs_operation",
            ),
            # What waits and must start by a certain time, the earliest first.
            models.Index(
                fields=["expires_at"],
                condition=Q(expires_at__isnull=False, status__in=sorted(WAITING)),
                name="djobs_expiring",
            ),
            # What ended, by type and moment: retention.
            models.Index(
                fields=["job_type", "completed_at", "id"],
                condition=Q(completed_at__isnull=False),
                name="djobs_ended",
            ),
            models.Index(
                fields=["job_type", "canceled_at", "id"], condition=Q(canceled_at__isnull=False), name="djobs_canceled"
            ),
            # Emptying `owner` when a user is deleted.
            models.Index(fields=["owner"], condition=Q(owner__isnull=False), name="djobs_owned"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """Return the job's id, such as ``JOB-2026-00001``."""
        return format_job_id(self.pk, self.created_at.year)


# Which job waits for which, and which of these links somebody still has to look at.


class JobDependency(StoredModel):
    """``child`` waits for ``parent``."""

    # No constraints in the database: on MariaDB an open submission of a child would hold a lock on the parent's row and
    # make the parent's end wait for it. Retention removes links together with their jobs.
    child = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="parent_links", db_index=False, db_constraint=False
    )
    parent = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="child_links", db_index=False, db_constraint=False
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["child", "parent"], name="djobs_dependency_once"),
            # A parent is older than its child, so that no circle can close.
            models.CheckConstraint(condition=Q(parent_id__lt=F("child_id")), name="djobs_dependency_no_circle"),
        ]
        # The children of a parent, page by page.
        indexes = [models.Index(fields=["parent", "child"], name="djobs_dependency_children")]

    def __str__(self) -> str:
        return f"{self.child_id} waits for {self.parent_id}"


class DependencyTask(StoredModel):
    """A job whose relatives must be looked at: it has new parents, or it has children and ended or was deleted.

    The transaction that makes this necessary writes the row, and the one that looks at the relatives deletes it. If a
    process dies in between, the scheduler finds the row.
    """

    job_id = models.BigIntegerField()
    #: Of a family that is larger than a page: its children up to this id have been looked at.
    position = models.BigIntegerField(default=0, db_default=0)
    #: Of a job that was deleted: the status in which it had ended. The links to its children go as they are looked at.
    deleted_as = models.CharField(max_length=12, blank=True, default="", db_default="")

    def __str__(self) -> str:
        return f"relatives of {self.job_id}"


# Rows that let exactly one of many simultaneous submissions of the same work through.


class DuplicateKey(StoredModel):
    """The latest accepted submission of some work; others of the same are refused until ``expires_at``.

    ``key`` is the job's ``job_hash``. A job that was canceled or died refuses nobody.
    """

    key = models.CharField(primary_key=True, max_length=64)
    job_id = models.BigIntegerField()
    expires_at = models.DateTimeField()

    class Meta:
        # The scheduler removes what has expired.
        indexes = [models.Index(fields=["expires_at"], name="djobs_duplicate_expiry")]

    def __str__(self) -> str:
        return f"{self.key} by {self.job_id}"


class DuplicateGate(StoredModel):
    """One of :data:`GATES` striped locks: on MariaDB, submissions of equal work lock the same row before they look."""

    id = models.PositiveSmallIntegerField(primary_key=True)

    def __str__(self) -> str:
        return f"gate {self.pk}"


GATES = 1024


# What a job's handler has done so far, which its next attempt need not do again.


#: Characters of a step's name.
MAX_NAME = 200


class JobStep(StoredModel):
    """One step of a job that is done, with its result. A later attempt finds it by its name."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="steps", db_index=False, db_constraint=False)
    #: Counted from 1.
    position = models.PositiveIntegerField()
    #: With its place behind it, where a name comes again: "mail #2". A step that ran beside the handler's own thread
    #: and task has no place. It has the beginning of its digest there: "mail [0123456789ab]".
    name = models.CharField(max_length=MAX_NAME + 20)
    result = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    #: Of the arguments.
    digest = models.CharField(max_length=32, default="", db_default="")
    #: The attempt that did it.
    attempt = models.PositiveIntegerField()
    done_at = models.DateTimeField()
    #: How long it took.
    seconds = models.FloatField(default=0.0, db_default=0.0)

    class Meta:
        ordering = ["position"]
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["job", "position"], name="djobs_step_once")]

    def __str__(self) -> str:
        return f"{self.position}. {self.name}"


class JobCheckpoint(StoredModel):
    """A note that a job's handler left for its next attempt."""

    job = models.OneToOneField(
        Job, on_delete=models.CASCADE, primary_key=True, related_name="saved_checkpoint", db_constraint=False
    )
    data = models.JSONField(encoder=DjangoJSONEncoder)
    attempt = models.PositiveIntegerField()
    saved_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"checkpoint of {self.job_id}"


# The audit trail: one row for each change of status, in order, never edited.


@in_words(_("execution log"), _("execution logs"), attempt=_("attempt"), worker_name=_("worker name"))
@with_database_defaults
class ExecutionLog(StoredModel):
    """One change of a job's status. ``actor`` is text, so that it outlives the user."""

    # No constraint in the database: checking it cost a fifth of the throughput, and only retention deletes jobs.
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="history", db_index=False, db_constraint=False)
    from_status = WordField(max_length=12, choices=Status.choices, blank=True)
    to_status = WordField(max_length=12, choices=Status.choices)
    timestamp = models.DateTimeField()
    actor = models.CharField(max_length=150)
    actor_kind = WordField(max_length=9, choices=ActorKind.choices, default=ActorKind.SYSTEM)
    message = models.TextField(blank=True)
    reason = WordField(max_length=12, choices=LogReason.choices, blank=True, editable=False)
    attempt = models.PositiveIntegerField(default=0)
    worker_name = models.CharField(max_length=100, blank=True)
    traceback = models.TextField(blank=True)
    organization = organization_key(editable=False)
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


# What a job's handler wrote to the log in one attempt, where the host has that kept.


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


# Deleted jobs whose files are not deleted yet.


class FileDeletion(StoredModel):
    """A deleted job whose files must be deleted. The row is written together with the deletion of the job.

    So a deletion that is rolled back removes no file, and a process that dies after the commit leaves no file for ever.
    """

    job_id = models.CharField(primary_key=True, max_length=30)
    organization_pk = models.CharField(max_length=255)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.job_id


# Proxies of Job that give the admin's other pages about jobs an entry in its index.


@in_words(_("monitor"), _("monitor"))
class Monitor(Job):
    """The page that shows how the system is doing."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = "monitor"
        verbose_name_plural = "monitor"


@in_words(_("failure"), _("failures"))
class Failure(Job):
    """The page of jobs whose last attempt failed, in groups of like errors."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = "failure"
        verbose_name_plural = "failures"
