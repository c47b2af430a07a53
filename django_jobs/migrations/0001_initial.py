"""All tables, constraints and indexes. The models say what each is for."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import migrations, models
from django.db.models import CASCADE, DO_NOTHING, PROTECT, SET_NULL, CheckConstraint, Index, Q, UniqueConstraint

from django_jobs.migrations._vendor import MARIADB, POSTGRESQL, VendorSQL
from django_jobs.models import job_type, schedule
from django_jobs.models.base import PriorityField, WorkedOffField

USER = settings.AUTH_USER_MODEL
ORGANIZATION = settings.DJANGO_JOBS_ORGANIZATION_MODEL

LIMIT = [MinValueValidator(1, "Use 1 or more; to stop a type, pause it."), MaxValueValidator(1000000)]
SECONDS = [MinValueValidator(1), MaxValueValidator(2592000)]
SPANS = [(60, "Minute"), (3600, "Hour"), (86400, "Day")]
STATUSES = ["Pending", "Queued", "Running", "Completed", "Failed", "Timed Out", "Canceled", "Dead Letter"]


def table(name: str, options: dict[str, Any], /, **fields: models.Field[Any, Any]) -> migrations.CreateModel:
    """Return the operation that makes a model, with an ``id`` where no field is the primary key."""
    if not any(field.primary_key for field in fields.values()):
        key = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
        fields = {"id": key, **fields}
    return migrations.CreateModel(name, list(fields.items()), options)


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(USER),
        # Of our own model this is no dependency.
        migrations.swappable_dependency(ORGANIZATION),
    ]

    operations = [
        table(
            "Organization",
            {"swappable": "DJANGO_JOBS_ORGANIZATION_MODEL"},
            name=models.CharField(blank=True, help_text="Blank: ORG-<year>-<number>.", max_length=140, unique=True),
            title=models.CharField(blank=True, max_length=200),
            is_active=models.BooleanField(default=True, help_text="Inactive: none of its jobs starts."),
        ),
        table(
            "Membership",
            {"constraints": [UniqueConstraint(fields=("user", "organization"), name="djobs_membership_once")]},
            user=models.ForeignKey(USER, CASCADE, related_name="job_memberships"),
            organization=models.ForeignKey(ORGANIZATION, CASCADE, related_name="job_memberships"),
            role=models.CharField(db_default="member", default="member", max_length=10),
        ),
        table(
            "JobType",
            {
                "constraints": [
                    CheckConstraint(condition=Q(("default_timeout__gte", 1)), name="djobs_type_timeout_positive")
                ]
            },
            type_name=models.CharField(
                max_length=100,
                primary_key=True,
                serialize=False,
                validators=[
                    RegexValidator(
                        "^[A-Za-z][A-Za-z0-9_.-]*\\Z", "Use letters, digits, '_', '-' and '.', a letter first."
                    )
                ],
            ),
            display_name=models.CharField(blank=True, db_default="", default="", max_length=200),
            description=models.TextField(blank=True, db_default="", default=""),
            handler_method=models.CharField(
                help_text="Dotted path of a function, e.g. shop.jobs.make_report.", max_length=255
            ),
            default_timeout=models.PositiveIntegerField(
                db_default=300,
                default=job_type.default_timeout,
                help_text="Seconds that one attempt may take.",
                validators=SECONDS,
            ),
            default_priority=PriorityField(db_default=1, default=1),
            max_retries=models.PositiveSmallIntegerField(
                db_default=5, default=job_type.default_max_retries, validators=[MaxValueValidator(100)]
            ),
            retry_delay=models.PositiveIntegerField(
                db_default=60,
                default=job_type.default_retry_delay,
                help_text="Seconds before the first retry; doubled for each further one.",
                validators=[MaxValueValidator(2592000)],
            ),
            is_enabled=models.BooleanField(
                db_default=True, default=True, help_text="Off: submissions are refused and nothing starts."
            ),
            is_paused=models.BooleanField(
                db_default=False, default=False, help_text="On: submissions wait and nothing starts."
            ),
            requires_permission=models.CharField(
                blank=True, db_default="", default="", help_text="app_label.codename, or blank.", max_length=200
            ),
            submit_by=models.CharField(
                db_default="members",
                default="members",
                help_text="Who may submit it; to others it looks unknown.",
                max_length=7,
            ),
            deduplication_window=models.PositiveIntegerField(
                db_default=300,
                default=job_type.default_deduplication_window,
                help_text="Seconds in which the same work is refused; 0 switches it off.",
                validators=[MaxValueValidator(2592000)],
            ),
            rate_limit=models.PositiveIntegerField(
                blank=True, help_text="Submissions an organization may make.", null=True, validators=LIMIT
            ),
            rate_limit_window=models.PositiveIntegerField(
                db_default=60, default=60, help_text="In that many seconds.", validators=SECONDS
            ),
            pool=models.CharField(
                db_default="default",
                default="default",
                help_text="Which workers run it: a name of DJANGO_JOBS['POOLS'].",
                max_length=40,
            ),
            max_running=models.PositiveIntegerField(
                blank=True,
                help_text="At most so many run at once, everywhere. Blank: no limit.",
                null=True,
                validators=LIMIT,
            ),
            max_running_per_organization=models.PositiveIntegerField(
                blank=True,
                help_text="At most so many of one organization run at once. Blank: no limit.",
                null=True,
                validators=LIMIT,
            ),
            concurrency_key=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="A parameter's name. For each of its values, jobs of an organization count on their own.",
                max_length=100,
                validators=[
                    RegexValidator(
                        "^[^\\s.\\x00-\\x1f]+\\Z",
                        "Name one parameter of the top level, without dots and blanks, such as customer_id.",
                    )
                ],
            ),
            max_running_per_key=models.PositiveIntegerField(
                db_default=1,
                default=1,
                help_text="With a concurrency key: at most so many run at once for each of its values.",
                validators=[
                    MinValueValidator(1, "Use 1 or more; to stop a type, pause it."),
                    MaxValueValidator(1000000),
                ],
            ),
            max_starts=models.PositiveIntegerField(
                blank=True,
                help_text="At most so many start in a window; the others wait. Blank: no limit.",
                null=True,
                validators=LIMIT,
            ),
            max_starts_per_key=models.PositiveIntegerField(
                blank=True,
                help_text="With a concurrency key: at most so many start in a window for each of its values.",
                null=True,
                validators=LIMIT,
            ),
            max_starts_window=models.PositiveIntegerField(
                db_default=60, default=60, help_text="Seconds of the window.", validators=SECONDS
            ),
            breaker_failures=models.PositiveSmallIntegerField(
                db_default=0,
                default=0,
                help_text="After so many attempts in a row with one transient error its jobs are held. 0: never.",
                validators=[MaxValueValidator(10000)],
            ),
            breaker_pause=models.PositiveIntegerField(
                db_default=60,
                default=60,
                help_text="Seconds between two tries while they are held.",
                validators=SECONDS,
            ),
            retention_days=models.PositiveIntegerField(
                blank=True,
                help_text="Days after which its ended jobs are deleted. Blank: as the setting RETENTION_DAYS says.",
                null=True,
                validators=[MinValueValidator(1), MaxValueValidator(36500)],
            ),
            keyed_by=WorkedOffField(
                blank=True, db_default="", default="", editable=False, max_length=100, null=True, of="concurrency_key"
            ),
            declared=models.JSONField(blank=True, editable=False, null=True),
        ),
        table(
            "Batch",
            {
                "verbose_name_plural": "batches",
                "ordering": ["-id"],
                "indexes": [
                    Index(fields=["organization", "-id"], name="djobs_batch_newest"),
                    Index(fields=["completed_at", "id"], name="djobs_batch_open"),
                    Index(fields=["cancel_position"], name="djobs_batch_cancels"),
                    Index(fields=["retry_position"], name="djobs_batch_retries"),
                    Index(fields=["submitted_by_id"], name="djobs_batch_submitted_by"),
                    Index(fields=["then_job_id"], name="djobs_batch_then"),
                    Index(fields=["on_failure_job_id"], name="djobs_batch_on_failure"),
                ],
            },
            name=models.CharField(blank=True, db_default="", default="", max_length=200),
            organization=models.ForeignKey(
                ORGANIZATION, DO_NOTHING, related_name="+", db_index=False, db_constraint=False
            ),
            organization_name=models.CharField(max_length=140),
            owner=models.ForeignKey(USER, SET_NULL, blank=True, null=True, related_name="+", db_index=False),
            owner_name=models.CharField(blank=True, db_default="", default="", max_length=150),
            open_to=models.CharField(
                db_default="owner",
                default="owner",
                max_length=8,
            ),
            submitted_by_id=models.BigIntegerField(blank=True, editable=False, null=True),
            submitted_by_attempt=models.PositiveIntegerField(blank=True, editable=False, null=True),
            then=models.JSONField(blank=True, encoder=DjangoJSONEncoder, null=True),
            on_failure=models.JSONField(blank=True, encoder=DjangoJSONEncoder, null=True),
            then_job_id=models.BigIntegerField(blank=True, editable=False, null=True),
            on_failure_job_id=models.BigIntegerField(blank=True, editable=False, null=True),
            fault=models.TextField(blank=True, db_default="", default="", editable=False),
            is_fault_passing=models.BooleanField(db_default=False, default=False, editable=False),
            created_at=models.DateTimeField(),
            started_at=models.DateTimeField(blank=True, null=True),
            closed_at=models.DateTimeField(blank=True, null=True),
            completed_at=models.DateTimeField(blank=True, null=True),
            canceled_at=models.DateTimeField(blank=True, null=True),
            canceled_by=models.CharField(blank=True, db_default="", default="", max_length=150),
            retried_by=models.CharField(blank=True, db_default="", default="", max_length=150),
            asked_by=models.ForeignKey(USER, SET_NULL, null=True, editable=False, related_name="+", db_index=False),
            refused=models.PositiveIntegerField(db_default=0, default=0, editable=False),
            met_held=models.BooleanField(db_default=False, default=False, editable=False),
            expired_at=models.DateTimeField(blank=True, null=True),
            total=models.PositiveIntegerField(db_default=0, default=0),
            completed=models.PositiveIntegerField(db_default=0, default=0),
            failed=models.PositiveIntegerField(db_default=0, default=0),
            timed_out=models.PositiveIntegerField(db_default=0, default=0),
            canceled=models.PositiveIntegerField(db_default=0, default=0),
            dead_letter=models.PositiveIntegerField(db_default=0, default=0),
            counted_at=models.DateTimeField(blank=True, editable=False, null=True),
            cancel_position=models.BigIntegerField(blank=True, editable=False, null=True),
            retry_position=models.BigIntegerField(blank=True, editable=False, null=True),
        ),
        table(
            "Job",
            {
                "ordering": ["-id"],
                "permissions": [
                    ("manage_all_jobs", "Can see and manage the jobs of every organization"),
                    ("view_sensitive", "Can read the sensitive parameters and results of jobs"),
                ],
                "indexes": [
                    Index(
                        condition=Q(("ready_at__isnull", False)),
                        fields=["is_delayed", "priority", "job_type", "organization", "lane_key", "ready_at", "id"],
                        name="djobs_type_lanes",
                    ),
                    Index(
                        condition=Q(("is_delayed", True), ("ready_at__isnull", False)),
                        fields=["ready_at"],
                        name="djobs_delayed",
                    ),
                    Index(
                        condition=Q(("status__in", ["Queued", "Running"])),
                        fields=["queued_at", "organization"],
                        name="djobs_queued_at",
                    ),
                    Index(fields=["organization", "-id", "status"], name="djobs_org_newest"),
                    Index(fields=["job_type", "organization", "-id", "status"], name="djobs_type_newest"),
                    Index(
                        condition=Q(("status__in", ["Canceled", "Dead Letter", "Failed", "Pending", "Timed Out"])),
                        fields=["status", "-id", "organization", "job_type"],
                        name="djobs_status_newest",
                    ),
                    Index(condition=Q(("status", "Completed")), fields=["id", "job_type"], name="djobs_completed"),
                    Index(
                        condition=Q(("ready_at__isnull", True), ("status", "Pending")),
                        fields=["organization", "-id"],
                        name="djobs_blocked",
                    ),
                    Index(
                        condition=Q(("priority", 1), _negated=True),
                        fields=["priority", "-id", "status", "job_type"],
                        name="djobs_priority_newest",
                    ),
                    Index(
                        condition=Q(("priority", 1), _negated=True),
                        fields=["organization", "priority", "-id", "status"],
                        name="djobs_org_priority",
                    ),
                    Index(
                        condition=Q(("owner_name", ""), _negated=True),
                        fields=["owner_name", "-id", "status", "priority"],
                        name="djobs_owner_newest",
                    ),
                    Index(
                        condition=Q(("status__in", ["Dead Letter", "Failed", "Timed Out"])),
                        fields=["job_type", "error_fingerprint", "-id", "status", "organization"],
                        name="djobs_failures",
                    ),
                    Index(
                        condition=Q(("submitted_by_id__isnull", False)),
                        fields=["submitted_by_id", "job_hash"],
                        name="djobs_submitted_by",
                    ),
                    Index(condition=Q(("batch__isnull", False)), fields=["batch", "id", "status"], name="djobs_batch"),
                    Index(
                        condition=Q(("operation_id__isnull", False)),
                        fields=["operation_id", "id", "status"],
                        name="djobs_operation",
                    ),
                    Index(
                        condition=Q(
                            ("expires_at__isnull", False), ("status__in", ["Failed", "Pending", "Queued", "Timed Out"])
                        ),
                        fields=["expires_at"],
                        name="djobs_expiring",
                    ),
                    Index(
                        condition=Q(("completed_at__isnull", False)),
                        fields=["job_type", "completed_at", "id"],
                        name="djobs_ended",
                    ),
                    Index(
                        condition=Q(("canceled_at__isnull", False)),
                        fields=["job_type", "canceled_at", "id"],
                        name="djobs_canceled",
                    ),
                    Index(condition=Q(("owner__isnull", False)), fields=["owner"], name="djobs_owned"),
                ],
                "constraints": [
                    CheckConstraint(condition=Q(("status__in", STATUSES)), name="djobs_status_known"),
                    CheckConstraint(condition=Q(("progress__lte", 100)), name="djobs_progress_is_percent"),
                    CheckConstraint(
                        condition=Q(
                            ("ready_at__isnull", True),
                            ("status__in", ["Failed", "Pending", "Timed Out"]),
                            _connector="OR",
                        ),
                        name="djobs_ready_only_waiting",
                    ),
                ],
            },
            job_type=models.ForeignKey(
                "django_jobs.jobtype", PROTECT, related_name="jobs", db_index=False, db_constraint=False
            ),
            organization=models.ForeignKey(
                ORGANIZATION, DO_NOTHING, related_name="+", db_index=False, db_constraint=False
            ),
            organization_name=models.CharField(max_length=140),
            owner=models.ForeignKey(USER, SET_NULL, blank=True, null=True, related_name="+", db_index=False),
            owner_name=models.CharField(blank=True, db_default="", default="", max_length=150),
            status=models.CharField(db_default="Pending", default="Pending", max_length=12),
            priority=PriorityField(db_default=1, default=1),
            progress=models.PositiveSmallIntegerField(db_default=0, default=0, validators=[MaxValueValidator(100)]),
            progress_message=models.CharField(blank=True, db_default="", default="", max_length=255),
            input_parameters=models.JSONField(db_default={}, default=dict, encoder=DjangoJSONEncoder),
            metadata=models.JSONField(db_default={}, default=dict, encoder=DjangoJSONEncoder),
            output_reference=models.TextField(blank=True, db_default="", default=""),
            result=models.JSONField(blank=True, encoder=DjangoJSONEncoder, null=True),
            error_message=models.TextField(blank=True, db_default="", default=""),
            error_type=models.CharField(blank=True, db_default="", default="", max_length=9),
            error_fingerprint=models.CharField(blank=True, db_default="", default="", editable=False, max_length=64),
            retry_count=models.PositiveSmallIntegerField(db_default=0, default=0),
            max_retries=models.PositiveSmallIntegerField(db_default=5, default=5),
            retry_delay=models.PositiveIntegerField(db_default=60, default=60),
            next_retry_at=models.DateTimeField(blank=True, null=True),
            run_at=models.DateTimeField(blank=True, null=True),
            job_hash=models.CharField(blank=True, db_default="", default="", max_length=64),
            timeout_seconds=models.PositiveIntegerField(db_default=300, default=300),
            created_at=models.DateTimeField(),
            queued_at=models.DateTimeField(blank=True, null=True),
            started_at=models.DateTimeField(blank=True, null=True),
            completed_at=models.DateTimeField(blank=True, null=True),
            canceled_at=models.DateTimeField(blank=True, null=True),
            canceled_by=models.CharField(blank=True, db_default="", default="", max_length=150),
            cancel_requested_at=models.DateTimeField(blank=True, null=True),
            attempt=models.PositiveIntegerField(db_default=0, default=0),
            begun_attempt=models.PositiveIntegerField(db_default=0, default=0, editable=False),
            worker_name=models.CharField(blank=True, db_default="", default="", max_length=100),
            lease_expires_at=models.DateTimeField(blank=True, null=True),
            ready_at=models.DateTimeField(blank=True, editable=False, null=True),
            is_delayed=models.BooleanField(db_default=False, default=False, editable=False),
            lane_key=models.BigIntegerField(db_default=0, default=0, editable=False),
            head_start=models.SmallIntegerField(db_default=0, default=0, editable=False),
            expires_at=models.DateTimeField(blank=True, null=True),
            run_after=models.CharField(
                db_default="completed",
                default="completed",
                editable=False,
                max_length=9,
            ),
            submitted_by_id=models.BigIntegerField(blank=True, editable=False, null=True),
            submitted_by_attempt=models.PositiveIntegerField(blank=True, editable=False, null=True),
            batch=models.ForeignKey(
                "django_jobs.batch",
                DO_NOTHING,
                blank=True,
                null=True,
                editable=False,
                related_name="jobs",
                db_index=False,
                db_constraint=False,
            ),
            operation_id=models.BigIntegerField(blank=True, editable=False, null=True),
            has_children=models.BooleanField(db_default=False, default=False, editable=False),
            is_orphaned=models.BooleanField(db_default=False, default=False, editable=False),
            fileless_attempts=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        table(
            "JobDependency",
            {
                "indexes": [Index(fields=["parent", "child"], name="djobs_dependency_children")],
                "constraints": [
                    UniqueConstraint(fields=("child", "parent"), name="djobs_dependency_once"),
                    CheckConstraint(
                        condition=Q(("parent_id__lt", models.F("child_id"))), name="djobs_dependency_no_circle"
                    ),
                ],
            },
            child=models.ForeignKey(
                "django_jobs.job", CASCADE, related_name="parent_links", db_index=False, db_constraint=False
            ),
            parent=models.ForeignKey(
                "django_jobs.job", CASCADE, related_name="child_links", db_index=False, db_constraint=False
            ),
        ),
        migrations.AddField(
            "job",
            "depends_on",
            models.ManyToManyField(
                related_name="dependents", through="django_jobs.JobDependency", to="django_jobs.job"
            ),
        ),
        table(
            "DependencyTask",
            {},
            job_id=models.BigIntegerField(),
            position=models.BigIntegerField(db_default=0, default=0),
            deleted_as=models.CharField(blank=True, db_default="", default="", max_length=12),
        ),
        table(
            "ExecutionLog",
            {
                "ordering": ["id"],
                "indexes": [
                    Index(fields=["job", "id"], name="djobs_log_history"),
                    Index(fields=["organization", "transaction_id"], name="djobs_log_replay"),
                ],
            },
            job=models.ForeignKey(
                "django_jobs.job", CASCADE, related_name="history", db_index=False, db_constraint=False
            ),
            from_status=models.CharField(blank=True, db_default="", default="", max_length=12),
            to_status=models.CharField(max_length=12),
            timestamp=models.DateTimeField(),
            actor=models.CharField(max_length=150),
            actor_kind=models.CharField(db_default="system", default="system", max_length=9),
            message=models.TextField(blank=True, db_default="", default=""),
            reason=models.CharField(blank=True, db_default="", default="", editable=False, max_length=12),
            attempt=models.PositiveIntegerField(db_default=0, default=0),
            worker_name=models.CharField(blank=True, db_default="", default="", max_length=100),
            traceback=models.TextField(blank=True, db_default="", default=""),
            organization=models.ForeignKey(
                ORGANIZATION, DO_NOTHING, editable=False, related_name="+", db_index=False, db_constraint=False
            ),
            transaction_id=models.BigIntegerField(editable=False, null=True),
            oldest_open_id=models.BigIntegerField(editable=False, null=True),
        ),
        table(
            "AttemptLog",
            {
                "ordering": ["attempt"],
                "default_permissions": (),
                "constraints": [UniqueConstraint(fields=("job", "attempt"), name="djobs_attempt_log_once")],
            },
            job=models.ForeignKey(
                "django_jobs.job", CASCADE, related_name="attempt_logs", db_index=False, db_constraint=False
            ),
            attempt=models.PositiveIntegerField(),
            first_lines=models.JSONField(default=list),
            last_lines=models.JSONField(default=list),
            kept=models.PositiveIntegerField(db_default=0, default=0),
            dropped=models.PositiveIntegerField(db_default=0, default=0),
        ),
        table(
            "JobStep",
            {
                "ordering": ["position"],
                "default_permissions": (),
                "constraints": [UniqueConstraint(fields=("job", "position"), name="djobs_step_once")],
            },
            job=models.ForeignKey(
                "django_jobs.job", CASCADE, related_name="steps", db_index=False, db_constraint=False
            ),
            position=models.PositiveIntegerField(),
            name=models.CharField(max_length=220),
            result=models.JSONField(encoder=DjangoJSONEncoder, null=True),
            digest=models.CharField(db_default="", default="", max_length=32),
            attempt=models.PositiveIntegerField(),
            done_at=models.DateTimeField(),
            seconds=models.FloatField(db_default=0.0, default=0.0),
        ),
        table(
            "JobCheckpoint",
            {"default_permissions": ()},
            job=models.OneToOneField(
                "django_jobs.job",
                CASCADE,
                primary_key=True,
                serialize=False,
                related_name="saved_checkpoint",
                db_constraint=False,
            ),
            data=models.JSONField(encoder=DjangoJSONEncoder),
            attempt=models.PositiveIntegerField(),
            saved_at=models.DateTimeField(),
        ),
        table(
            "Alert",
            {
                "verbose_name": "alarm",
                "verbose_name_plural": "alarms",
                "default_permissions": (),
                "indexes": [Index(fields=["cleared_at"], name="djobs_alert_cleared")],
                "constraints": [UniqueConstraint(fields=("open_key",), name="djobs_alert_open_once")],
            },
            rule=models.CharField(max_length=32),
            subject=models.CharField(blank=True, db_default="", default="", max_length=255),
            raised_at=models.DateTimeField(),
            seen_at=models.DateTimeField(),
            cleared_at=models.DateTimeField(blank=True, null=True),
            facts=models.JSONField(db_default={}, default=dict),
            open_key=models.CharField(blank=True, editable=False, max_length=64, null=True),
            raise_mailed_at=models.DateTimeField(blank=True, editable=False, null=True),
            clear_mailed_at=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        table(
            "BatchChange",
            {"default_permissions": (), "indexes": [Index(fields=["batch_id"], name="djobs_batch_changes")]},
            batch_id=models.BigIntegerField(),
            changed_at=models.DateTimeField(),
            started_at=models.DateTimeField(null=True),
            total=models.IntegerField(db_default=0, default=0),
            completed=models.IntegerField(db_default=0, default=0),
            failed=models.IntegerField(db_default=0, default=0),
            timed_out=models.IntegerField(db_default=0, default=0),
            canceled=models.IntegerField(db_default=0, default=0),
            dead_letter=models.IntegerField(db_default=0, default=0),
        ),
        table(
            "Breaker",
            {"default_permissions": ()},
            job_type=models.OneToOneField(
                "django_jobs.jobtype",
                CASCADE,
                primary_key=True,
                serialize=False,
                related_name="breaker",
                db_constraint=False,
            ),
            state=models.CharField(
                db_default="Closed",
                default="Closed",
                max_length=10,
            ),
            organization=models.ForeignKey(
                ORGANIZATION, DO_NOTHING, blank=True, null=True, related_name="+", db_index=False, db_constraint=False
            ),
            relapse_organization=models.ForeignKey(
                ORGANIZATION, DO_NOTHING, blank=True, null=True, related_name="+", db_index=False, db_constraint=False
            ),
            others_failures=models.PositiveIntegerField(db_default=0, default=0),
            others_fingerprint=models.CharField(blank=True, db_default="", default="", max_length=64),
            failures=models.PositiveIntegerField(db_default=0, default=0),
            fingerprint=models.CharField(blank=True, db_default="", default="", max_length=64),
            error_message=models.TextField(blank=True, db_default="", default=""),
            opened_at=models.DateTimeField(blank=True, null=True),
            next_try_at=models.DateTimeField(blank=True, null=True),
            tries_since=models.DateTimeField(blank=True, null=True),
            recovering_since=models.DateTimeField(blank=True, null=True),
        ),
        table(
            "EngineLease",
            {},
            name=models.CharField(max_length=40, primary_key=True, serialize=False),
            holder=models.CharField(blank=True, db_default="", default="", max_length=100),
            expires_at=models.DateTimeField(blank=True, null=True),
            ticked_at=models.DateTimeField(blank=True, null=True),
            state=models.JSONField(db_default={}, default=dict),
        ),
        table(
            "Installation",
            {},
            id=models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False),
            installation_id=models.UUIDField(default=uuid.uuid4, editable=False),
            log_server=models.CharField(db_default="", default="", editable=False, max_length=40),
            log_foreign_id=models.BigIntegerField(db_default=0, default=0, editable=False),
        ),
        table(
            "Worker",
            {},
            name=models.CharField(max_length=100, primary_key=True, serialize=False),
            hostname=models.CharField(max_length=255),
            pid=models.PositiveIntegerField(),
            queues=models.CharField(max_length=500),
            slots=models.PositiveSmallIntegerField(db_default=1, default=1),
            quick_types=models.JSONField(db_default={}, default=dict, editable=False),
            place=models.CharField(blank=True, db_default="", default="", editable=False, max_length=150),
            processes=models.CharField(blank=True, db_default="", default="", editable=False, max_length=100),
            started_at=models.DateTimeField(),
            last_seen=models.DateTimeField(),
            supervisor=models.CharField(blank=True, db_default="", default="", editable=False, max_length=40),
            supervisor_pid=models.PositiveIntegerField(blank=True, editable=False, null=True),
            release=models.CharField(blank=True, db_default="", default="", editable=False, max_length=40),
            memory=models.PositiveIntegerField(blank=True, editable=False, null=True),
            quiet_since=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        table(
            "WorkerOrder",
            {"verbose_name": "worker"},
            supervisor=models.CharField(max_length=40, primary_key=True, serialize=False),
            hostname=models.CharField(max_length=255),
            supervisor_pid=models.PositiveIntegerField(null=True),
            order=models.CharField(max_length=10),
            ordered_at=models.DateTimeField(),
            ordered_by=models.CharField(blank=True, db_default="", default="", max_length=150),
            obeyed_at=models.DateTimeField(blank=True, null=True),
            left_at=models.DateTimeField(blank=True, null=True),
        ),
        table(
            "DuplicateKey",
            {"indexes": [Index(fields=["expires_at"], name="djobs_duplicate_expiry")]},
            key=models.CharField(max_length=64, primary_key=True, serialize=False),
            job_id=models.BigIntegerField(),
            expires_at=models.DateTimeField(),
        ),
        table("DuplicateGate", {}, id=models.PositiveSmallIntegerField(primary_key=True, serialize=False)),
        table(
            "FileDeletion",
            {"default_permissions": ()},
            job_id=models.CharField(max_length=30, primary_key=True, serialize=False),
            organization_pk=models.CharField(max_length=255),
        ),
        table(
            "Operation",
            {
                "ordering": ["-id"],
                "default_permissions": (),
                "indexes": [Index(fields=["state", "is_settled", "id"], name="djobs_operation_open")],
                "constraints": [
                    CheckConstraint(
                        condition=Q(("per_minute__isnull", True), ("per_minute__gte", 1), _connector="OR"),
                        name="djobs_operation_rate_positive",
                    )
                ],
            },
            action=models.CharField(
                db_default="retry",
                default="retry",
                max_length=12,
            ),
            filters=models.JSONField(db_default={}, default=dict),
            value=models.PositiveSmallIntegerField(blank=True, null=True),
            user=models.ForeignKey(USER, SET_NULL, null=True, related_name="+", db_constraint=False),
            user_name=models.CharField(max_length=150),
            actor_kind=models.CharField(db_default="user", default="user", max_length=9),
            per_minute=models.PositiveIntegerField(
                blank=True, help_text="Jobs that it acts on in a minute.", null=True
            ),
            stop_above=models.FloatField(
                blank=True, null=True, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)]
            ),
            tries_one_first=models.BooleanField(db_default=False, default=False),
            first_job_id=models.BigIntegerField(blank=True, editable=False, null=True),
            is_tried=models.BooleanField(db_default=False, default=False, editable=False),
            state=models.CharField(
                db_default="running",
                default="running",
                max_length=8,
            ),
            reason=models.CharField(blank=True, db_default="", default="", max_length=16),
            note=models.CharField(blank=True, db_default="", default="", max_length=255),
            started_at=models.DateTimeField(),
            ended_at=models.DateTimeField(blank=True, null=True),
            released_until=models.DateTimeField(),
            total=models.PositiveIntegerField(db_default=0, default=0),
            has_more=models.BooleanField(db_default=False, default=False),
            last_id=models.BigIntegerField(),
            position=models.BigIntegerField(db_default=0, default=0),
            changed=models.PositiveIntegerField(db_default=0, default=0),
            asked=models.PositiveIntegerField(db_default=0, default=0),
            refused=models.JSONField(db_default={}, default=dict),
            held=models.JSONField(db_default={}, default=dict, editable=False),
            outcome=models.JSONField(db_default={}, default=dict),
            counted_at=models.DateTimeField(blank=True, null=True),
            is_settled=models.BooleanField(db_default=False, default=False),
        ),
        table(
            "TypeActivity",
            {
                "verbose_name_plural": "type activity",
                "constraints": [
                    UniqueConstraint(fields=("span", "starts_at", "job_type"), name="djobs_type_activity_once")
                ],
            },
            span=models.PositiveIntegerField(choices=SPANS),
            starts_at=models.DateTimeField(),
            job_type=models.CharField(max_length=100),
            submitted=models.PositiveIntegerField(db_default=0, default=0),
            started=models.PositiveIntegerField(db_default=0, default=0),
            completed=models.PositiveIntegerField(db_default=0, default=0),
            failed=models.PositiveIntegerField(db_default=0, default=0),
            died=models.PositiveIntegerField(db_default=0, default=0),
            canceled=models.PositiveIntegerField(db_default=0, default=0),
            run_seconds=models.FloatField(db_default=0.0, default=0.0),
            run_histogram=models.JSONField(db_default={}, default=dict),
            wait_seconds=models.FloatField(db_default=0.0, default=0.0),
            wait_histogram=models.JSONField(db_default={}, default=dict),
        ),
        table(
            "OrganizationActivity",
            {
                "verbose_name_plural": "organization activity",
                "indexes": [Index(fields=["span", "starts_at"], name="djobs_org_activity_age")],
                "constraints": [
                    UniqueConstraint(
                        fields=("organization", "span", "starts_at", "job_type"), name="djobs_org_activity_once"
                    )
                ],
            },
            span=models.PositiveIntegerField(choices=SPANS),
            starts_at=models.DateTimeField(),
            job_type=models.CharField(max_length=100),
            submitted=models.PositiveIntegerField(db_default=0, default=0),
            started=models.PositiveIntegerField(db_default=0, default=0),
            completed=models.PositiveIntegerField(db_default=0, default=0),
            failed=models.PositiveIntegerField(db_default=0, default=0),
            died=models.PositiveIntegerField(db_default=0, default=0),
            canceled=models.PositiveIntegerField(db_default=0, default=0),
            run_seconds=models.FloatField(db_default=0.0, default=0.0),
            run_histogram=models.JSONField(db_default={}, default=dict),
            wait_seconds=models.FloatField(db_default=0.0, default=0.0),
            wait_histogram=models.JSONField(db_default={}, default=dict),
            organization=models.ForeignKey(
                ORGANIZATION, DO_NOTHING, related_name="+", db_index=False, db_constraint=False
            ),
            organization_name=models.CharField(max_length=140),
        ),
        table(
            "SavedFilter",
            {
                "ordering": ["name", "id"],
                "default_permissions": (),
                "constraints": [UniqueConstraint(fields=("user", "name"), name="djobs_saved_filter_once")],
            },
            user=models.ForeignKey(USER, CASCADE, related_name="+", db_constraint=False),
            name=models.CharField(max_length=60),
            query=models.CharField(max_length=1000),
            is_shared=models.BooleanField(db_default=False, default=False),
        ),
        table(
            "Schedule",
            {
                "ordering": ["name"],
                "indexes": [Index(fields=["next_run_at"], name="djobs_schedule_due")],
                "constraints": [
                    UniqueConstraint(fields=("name", "organization_key"), name="djobs_schedule_name_once"),
                    CheckConstraint(
                        condition=Q(
                            Q(("cron", ""), ("every__gte", 1)),
                            Q(Q(("cron", ""), _negated=True), ("every__isnull", True)),
                            _connector="OR",
                        ),
                        name="djobs_schedule_cron_or_every",
                    ),
                    CheckConstraint(
                        condition=Q(("next_run_at__isnull", True), ("is_enabled", True), _connector="OR"),
                        name="djobs_schedule_off_is_off",
                    ),
                ],
            },
            name=models.CharField(max_length=200),
            job_type=models.ForeignKey(
                "django_jobs.jobtype", DO_NOTHING, related_name="+", db_index=False, db_constraint=False
            ),
            organization=models.ForeignKey(
                ORGANIZATION,
                DO_NOTHING,
                blank=True,
                null=True,
                help_text="Blank: one job for each active organization.",
                related_name="+",
                db_index=False,
                db_constraint=False,
            ),
            organization_key=models.CharField(blank=True, db_default="", default="", editable=False, max_length=64),
            made_by_code=models.BooleanField(db_default=False, default=False, editable=False),
            owner=models.ForeignKey(
                USER, SET_NULL, blank=True, null=True, editable=False, related_name="+", db_index=False
            ),
            owner_name=models.CharField(blank=True, db_default="", default="", editable=False, max_length=150),
            parameters=models.JSONField(blank=True, db_default={}, default=dict, encoder=DjangoJSONEncoder),
            priority=PriorityField(blank=True, help_text="Blank: the type's.", null=True),  # type: ignore[misc]
            cron=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Five fields: minute, hour, day of the month, month, day of the week.",
                max_length=200,
            ),
            every=models.PositiveIntegerField(
                blank=True,
                help_text="Seconds between two firings, in the place of cron.",
                null=True,
                validators=[MinValueValidator(1), MaxValueValidator(31622400)],
            ),
            timezone=models.CharField(
                db_default="UTC", default=schedule.default_timezone, help_text="In which cron is meant.", max_length=64
            ),
            starts_at=models.DateTimeField(blank=True, help_text="No firing comes before it.", null=True),
            ends_at=models.DateTimeField(blank=True, help_text="No firing comes after it.", null=True),
            jitter=models.PositiveIntegerField(
                db_default=0,
                default=0,
                help_text="Seconds over which one firing's jobs are spread; a tenant's place stays the same.",
                validators=[MaxValueValidator(86400)],
            ),
            catch_up=models.CharField(
                db_default="once",
                default="once",
                help_text="What happens to firings that nobody was there for.",
                max_length=4,
            ),
            overlap=models.CharField(
                db_default="skip",
                default="skip",
                help_text="What a firing does while the last job is unfinished.",
                max_length=5,
            ),
            is_enabled=models.BooleanField(db_default=True, default=True, help_text="Off: it does not fire."),
            created_at=models.DateTimeField(editable=False),
            last_fired_at=models.DateTimeField(blank=True, editable=False, null=True),
            next_run_at=models.DateTimeField(blank=True, editable=False, null=True),
            fault=models.TextField(blank=True, db_default="", default="", editable=False),
            faulty_since=models.DateTimeField(blank=True, editable=False, null=True),
            declared=models.JSONField(blank=True, editable=False, null=True),
        ),
        table(
            "ScheduleFiring",
            {
                "ordering": ["-id"],
                "default_permissions": (),
                "indexes": [Index(fields=["schedule", "-id"], name="djobs_firing_newest")],
            },
            schedule=models.ForeignKey("django_jobs.schedule", CASCADE, related_name="firings", db_index=False),
            due_at=models.DateTimeField(),
            fired_at=models.DateTimeField(),
            outcome=models.CharField(max_length=9),
            submitted=models.PositiveIntegerField(db_default=0, default=0, help_text="Jobs."),
            skipped=models.PositiveIntegerField(db_default=0, default=0, help_text="Organizations that got none."),
            job_id=models.BigIntegerField(blank=True, null=True),
            note=models.TextField(blank=True, db_default="", default=""),
            actor=models.CharField(blank=True, db_default="", default="", max_length=150),
        ),
        table(
            "ScheduledJob",
            {
                "default_permissions": (),
                "constraints": [
                    UniqueConstraint(fields=("schedule", "organization_key"), name="djobs_scheduled_job_once")
                ],
            },
            schedule=models.ForeignKey("django_jobs.schedule", CASCADE, related_name="last_jobs", db_index=False),
            organization_key=models.CharField(max_length=64),
            job_id=models.BigIntegerField(),
        ),
        table(
            "SocketTicket",
            {"default_permissions": (), "indexes": [Index(fields=["expires_at"], name="djobs_ticket_expiry")]},
            digest=models.CharField(max_length=64, primary_key=True, serialize=False),
            user=models.ForeignKey(USER, CASCADE, related_name="+", db_constraint=False),
            credential=models.TextField(blank=True, db_default="", default=""),
            session_auth_hash=models.CharField(blank=True, db_default="", default="", max_length=128),
            expires_at=models.DateTimeField(),
        ),
        migrations.CreateModel(
            "Monitor",
            [],
            {"default_permissions": (), "proxy": True, "verbose_name": "monitor", "verbose_name_plural": "monitor"},
            bases=("django_jobs.job",),
        ),
        migrations.CreateModel(
            "Failure",
            [],
            {"default_permissions": (), "proxy": True, "verbose_name": "failure", "verbose_name_plural": "failures"},
            bases=("django_jobs.job",),
        ),
        VendorSQL("mysql", MARIADB),
        VendorSQL("postgresql", POSTGRESQL),
    ]
