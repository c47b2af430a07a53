"""All tables, constraints and indexes at once, and hence long. The models say which query an index serves."""

from __future__ import annotations

import uuid

import django.core.serializers.json
import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import django_jobs.models.fields
import django_jobs.models.job_type
from django_jobs.conf import organization_model_name
from django_jobs.migrations._vendor import MARIADB_INDEXES, POSTGRESQL_STORAGE, VendorSQL


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        # Of our own model this is no dependency.
        migrations.swappable_dependency(organization_model_name()),
    ]

    operations = [
        migrations.CreateModel(
            name="Organization",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.CharField(blank=True, help_text="Blank: ORG-<year>-<number>.", max_length=140, unique=True),
                ),
                ("title", models.CharField(blank=True, max_length=200)),
                ("is_active", models.BooleanField(default=True, help_text="Inactive: none of its jobs starts.")),
            ],
            options={
                "abstract": False,
                "swappable": "DJANGO_JOBS_ORGANIZATION_MODEL",
            },
        ),
        migrations.CreateModel(
            name="EngineLease",
            fields=[
                ("name", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("holder", models.CharField(blank=True, max_length=100)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("ticked_at", models.DateTimeField(blank=True, null=True)),
                ("state", models.JSONField(default=dict)),
            ],
        ),
        migrations.CreateModel(
            name="Installation",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("installation_id", models.UUIDField(default=uuid.uuid4, editable=False)),
            ],
        ),
        migrations.CreateModel(
            name="Worker",
            fields=[
                ("name", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("hostname", models.CharField(max_length=255)),
                ("pid", models.PositiveIntegerField()),
                ("queues", models.CharField(max_length=500)),
                ("slots", models.PositiveSmallIntegerField(default=1)),
                ("window", models.PositiveIntegerField(default=1)),
                ("started_at", models.DateTimeField()),
                ("last_seen", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="DependencyTask",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("job_id", models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="DuplicateGate",
            fields=[("id", models.PositiveSmallIntegerField(primary_key=True, serialize=False))],
        ),
        migrations.CreateModel(
            name="DuplicateKey",
            fields=[
                ("key", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("job_id", models.BigIntegerField()),
                ("expires_at", models.DateTimeField()),
            ],
            options={"indexes": [models.Index(fields=["expires_at"], name="djobs_duplicate_expiry")]},
        ),
        migrations.CreateModel(
            name="Job",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("organization_name", models.CharField(max_length=140)),
                ("owner_name", models.CharField(blank=True, max_length=150)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("Pending", "Pending"),
                            ("Queued", "Queued"),
                            ("Running", "Running"),
                            ("Completed", "Completed"),
                            ("Failed", "Failed"),
                            ("Timed Out", "Timed Out"),
                            ("Canceled", "Canceled"),
                            ("Dead Letter", "Dead Letter"),
                        ],
                        default="Pending",
                        max_length=12,
                    ),
                ),
                ("priority", django_jobs.models.fields.PriorityField(default=1)),
                (
                    "progress",
                    models.PositiveSmallIntegerField(
                        default=0, validators=[django.core.validators.MaxValueValidator(100)]
                    ),
                ),
                ("progress_message", models.CharField(blank=True, max_length=255)),
                (
                    "input_parameters",
                    models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder),
                ),
                ("metadata", models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ("output_reference", models.TextField(blank=True)),
                (
                    "result",
                    models.JSONField(blank=True, encoder=django.core.serializers.json.DjangoJSONEncoder, null=True),
                ),
                ("error_message", models.TextField(blank=True)),
                ("error_type", models.CharField(blank=True, max_length=9)),
                ("error_fingerprint", models.CharField(blank=True, editable=False, max_length=64)),
                ("retry_count", models.PositiveSmallIntegerField(default=0)),
                ("max_retries", models.PositiveSmallIntegerField(default=5)),
                ("retry_delay", models.PositiveIntegerField(default=60)),
                ("next_retry_at", models.DateTimeField(blank=True, null=True)),
                ("run_at", models.DateTimeField(blank=True, null=True)),
                ("job_hash", models.CharField(blank=True, max_length=64)),
                ("timeout_seconds", models.PositiveIntegerField(default=300)),
                ("created_at", models.DateTimeField()),
                ("queued_at", models.DateTimeField(blank=True, null=True)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("completed_at", models.DateTimeField(blank=True, null=True)),
                ("canceled_at", models.DateTimeField(blank=True, null=True)),
                ("canceled_by", models.CharField(blank=True, max_length=150)),
                ("cancel_requested_at", models.DateTimeField(blank=True, null=True)),
                ("attempt", models.PositiveIntegerField(default=0)),
                ("worker_name", models.CharField(blank=True, max_length=100)),
                ("lease_expires_at", models.DateTimeField(blank=True, null=True)),
                ("ready_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("has_children", models.BooleanField(default=False, editable=False)),
                ("is_orphaned", models.BooleanField(default=False, editable=False)),
                (
                    "organization",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=organization_model_name(),
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "permissions": [("manage_all_jobs", "Can see and manage the jobs of every organization")],
            },
        ),
        migrations.CreateModel(
            name="JobDependency",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "child",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="parent_links",
                        to="django_jobs.job",
                    ),
                ),
                (
                    "parent",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="child_links",
                        to="django_jobs.job",
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="job",
            name="depends_on",
            field=models.ManyToManyField(
                related_name="dependents", through="django_jobs.JobDependency", to="django_jobs.job"
            ),
        ),
        migrations.CreateModel(
            name="JobType",
            fields=[
                (
                    "type_name",
                    models.CharField(
                        max_length=100,
                        primary_key=True,
                        serialize=False,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Za-z][A-Za-z0-9_.-]*\\Z", "Use letters, digits, '_', '-' and '.', a letter first."
                            )
                        ],
                    ),
                ),
                ("display_name", models.CharField(blank=True, max_length=200)),
                ("description", models.TextField(blank=True)),
                (
                    "handler_method",
                    models.CharField(
                        help_text="Dotted path of a function, e.g. shop.jobs.make_report.", max_length=255
                    ),
                ),
                (
                    "default_timeout",
                    models.PositiveIntegerField(
                        default=django_jobs.models.job_type.default_timeout,
                        help_text="Seconds that one attempt may take.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(2592000),
                        ],
                    ),
                ),
                ("default_priority", django_jobs.models.fields.PriorityField(default=1)),
                (
                    "max_retries",
                    models.PositiveSmallIntegerField(
                        default=django_jobs.models.job_type.default_max_retries,
                        validators=[django.core.validators.MaxValueValidator(100)],
                    ),
                ),
                (
                    "retry_delay",
                    models.PositiveIntegerField(
                        default=django_jobs.models.job_type.default_retry_delay,
                        help_text="Seconds before the first retry; doubled for each further one.",
                        validators=[django.core.validators.MaxValueValidator(2592000)],
                    ),
                ),
                (
                    "is_enabled",
                    models.BooleanField(default=True, help_text="Off: submissions are refused and nothing starts."),
                ),
                ("is_paused", models.BooleanField(default=False, help_text="On: submissions wait and nothing starts.")),
                (
                    "requires_permission",
                    models.CharField(blank=True, help_text="app_label.codename, or blank.", max_length=200),
                ),
                (
                    "deduplication_window",
                    models.PositiveIntegerField(
                        default=django_jobs.models.job_type.default_deduplication_window,
                        help_text="Seconds in which the same work is refused; 0 switches it off.",
                        validators=[django.core.validators.MaxValueValidator(2592000)],
                    ),
                ),
                (
                    "rate_limit",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Submissions an organization may make.",
                        null=True,
                        validators=[django.core.validators.MaxValueValidator(1000000)],
                    ),
                ),
                (
                    "rate_limit_window",
                    models.PositiveIntegerField(
                        default=60,
                        help_text="In that many seconds.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(2592000),
                        ],
                    ),
                ),
                ("declared", models.JSONField(blank=True, editable=False, null=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("default_timeout__gte", 1)), name="djobs_type_timeout_positive"
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="job",
            name="job_type",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="jobs",
                to="django_jobs.jobtype",
            ),
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "role",
                    models.CharField(
                        choices=[("member", "Member"), ("admin", "Admin")], default="member", max_length=10
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="job_memberships",
                        to=organization_model_name(),
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="job_memberships",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ExecutionLog",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "from_status",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("Pending", "Pending"),
                            ("Queued", "Queued"),
                            ("Running", "Running"),
                            ("Completed", "Completed"),
                            ("Failed", "Failed"),
                            ("Timed Out", "Timed Out"),
                            ("Canceled", "Canceled"),
                            ("Dead Letter", "Dead Letter"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "to_status",
                    models.CharField(
                        choices=[
                            ("Pending", "Pending"),
                            ("Queued", "Queued"),
                            ("Running", "Running"),
                            ("Completed", "Completed"),
                            ("Failed", "Failed"),
                            ("Timed Out", "Timed Out"),
                            ("Canceled", "Canceled"),
                            ("Dead Letter", "Dead Letter"),
                        ],
                        max_length=12,
                    ),
                ),
                ("timestamp", models.DateTimeField()),
                ("actor", models.CharField(max_length=150)),
                ("message", models.TextField(blank=True)),
                ("attempt", models.PositiveIntegerField(default=0)),
                ("worker_name", models.CharField(blank=True, max_length=100)),
                ("traceback", models.TextField(blank=True)),
                (
                    "organization",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=organization_model_name(),
                    ),
                ),
                ("transaction_id", models.BigIntegerField(editable=False, null=True)),
                ("oldest_open_id", models.BigIntegerField(editable=False, null=True)),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="history",
                        to="django_jobs.job",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "indexes": [
                    models.Index(fields=["job", "id"], name="djobs_log_history"),
                    models.Index(fields=["organization", "transaction_id"], name="djobs_log_replay"),
                ],
            },
        ),
        migrations.CreateModel(
            name="TypeActivity",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("span", models.PositiveIntegerField(choices=[(60, "Minute"), (3600, "Hour"), (86400, "Day")])),
                ("starts_at", models.DateTimeField()),
                ("job_type", models.CharField(max_length=100)),
                ("submitted", models.PositiveIntegerField(default=0)),
                ("started", models.PositiveIntegerField(default=0)),
                ("completed", models.PositiveIntegerField(default=0)),
                ("failed", models.PositiveIntegerField(default=0)),
                ("died", models.PositiveIntegerField(default=0)),
                ("canceled", models.PositiveIntegerField(default=0)),
                ("run_seconds", models.FloatField(default=0.0)),
                ("run_histogram", models.JSONField(default=dict)),
                ("wait_seconds", models.FloatField(default=0.0)),
                ("wait_histogram", models.JSONField(default=dict)),
            ],
            options={"verbose_name_plural": "type activity"},
        ),
        migrations.CreateModel(
            name="OrganizationActivity",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("span", models.PositiveIntegerField(choices=[(60, "Minute"), (3600, "Hour"), (86400, "Day")])),
                ("starts_at", models.DateTimeField()),
                ("job_type", models.CharField(max_length=100)),
                ("submitted", models.PositiveIntegerField(default=0)),
                ("started", models.PositiveIntegerField(default=0)),
                ("completed", models.PositiveIntegerField(default=0)),
                ("failed", models.PositiveIntegerField(default=0)),
                ("died", models.PositiveIntegerField(default=0)),
                ("canceled", models.PositiveIntegerField(default=0)),
                ("run_seconds", models.FloatField(default=0.0)),
                ("run_histogram", models.JSONField(default=dict)),
                ("wait_seconds", models.FloatField(default=0.0)),
                ("wait_histogram", models.JSONField(default=dict)),
                ("organization_name", models.CharField(max_length=140)),
                (
                    "organization",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=organization_model_name(),
                    ),
                ),
            ],
            options={"verbose_name_plural": "organization activity"},
        ),
        migrations.AddConstraint(
            model_name="typeactivity",
            constraint=models.UniqueConstraint(
                fields=("span", "starts_at", "job_type"), name="djobs_type_activity_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="organizationactivity",
            constraint=models.UniqueConstraint(
                fields=("organization", "span", "starts_at", "job_type"), name="djobs_org_activity_once"
            ),
        ),
        migrations.AddIndex(
            model_name="organizationactivity",
            index=models.Index(fields=["span", "starts_at"], name="djobs_org_activity_age"),
        ),
        migrations.AddConstraint(
            model_name="jobdependency",
            constraint=models.UniqueConstraint(fields=("child", "parent"), name="djobs_dependency_once"),
        ),
        migrations.AddConstraint(
            model_name="jobdependency",
            constraint=models.CheckConstraint(
                condition=models.Q(("parent_id__lt", models.F("child_id"))), name="djobs_dependency_no_circle"
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("ready_at__isnull", False)),
                fields=["priority", "organization", "job_type", "ready_at", "id"],
                name="djobs_ready_lanes",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("status__in", ["Queued", "Running"])),
                fields=["status", "organization"],
                name="djobs_in_flight",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["organization", "-id", "status"], name="djobs_org_newest"),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["job_type", "organization", "-id", "status"], name="djobs_type_newest"),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("status__in", ["Canceled", "Dead Letter", "Failed", "Pending", "Timed Out"])),
                fields=["status", "-id", "organization", "job_type"],
                name="djobs_status_newest",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("status", "Completed")), fields=["id", "job_type"], name="djobs_completed"
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("ready_at__isnull", True), ("status", "Pending")),
                fields=["organization", "-id"],
                name="djobs_blocked",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("priority", 1), _negated=True),
                fields=["priority", "-id", "status", "job_type"],
                name="djobs_priority_newest",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("priority", 1), _negated=True),
                fields=["organization", "priority", "-id", "status"],
                name="djobs_org_priority",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("owner_name", ""), _negated=True),
                fields=["owner_name", "-id", "status", "priority"],
                name="djobs_owner_newest",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("status", "Dead Letter")),
                fields=["job_type", "error_fingerprint", "-id"],
                name="djobs_dead_letters",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(condition=models.Q(("owner__isnull", False)), fields=["owner"], name="djobs_owned"),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "status__in",
                        ["Pending", "Queued", "Running", "Completed", "Failed", "Timed Out", "Canceled", "Dead Letter"],
                    )
                ),
                name="djobs_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=models.Q(("progress__lte", 100)), name="djobs_progress_is_percent"
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("ready_at__isnull", True), ("status__in", ["Failed", "Pending", "Timed Out"]), _connector="OR"
                ),
                name="djobs_ready_only_waiting",
            ),
        ),
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.UniqueConstraint(fields=("user", "organization"), name="djobs_membership_once"),
        ),
        # The admin's monitor and dead letters have no tables of their own; replays of dead letters have one.
        # djobs_replay_open: the scheduler asks at every tick for what is to be worked off.
        migrations.CreateModel(
            name="DeadLetter",
            fields=[],
            options={
                "verbose_name": "dead letter",
                "proxy": True,
                "default_permissions": (),
                "indexes": [],
                "constraints": [],
            },
            bases=("django_jobs.job",),
        ),
        migrations.CreateModel(
            name="Monitor",
            fields=[],
            options={
                "verbose_name": "monitor",
                "verbose_name_plural": "monitor",
                "proxy": True,
                "default_permissions": (),
                "indexes": [],
                "constraints": [],
            },
            bases=("django_jobs.job",),
        ),
        migrations.CreateModel(
            name="Replay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "verb",
                    models.CharField(choices=[("retry", "Retry"), ("delete", "Delete")], default="retry", max_length=6),
                ),
                ("job_type", models.CharField(max_length=100)),
                ("error_fingerprint", models.CharField(blank=True, max_length=64)),
                ("error_message", models.TextField(blank=True)),
                ("user_name", models.CharField(max_length=150)),
                ("per_minute", models.PositiveIntegerField(help_text="Jobs that are released in a minute.")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "Running"),
                            ("paused", "Paused"),
                            ("stopped", "Stopped"),
                            ("done", "Done"),
                        ],
                        default="running",
                        max_length=8,
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=255)),
                ("started_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("released_until", models.DateTimeField()),
                ("total", models.PositiveIntegerField(default=0)),
                ("has_more", models.BooleanField(default=False)),
                ("last_id", models.BigIntegerField()),
                ("position", models.BigIntegerField(default=0)),
                ("changed", models.PositiveIntegerField(default=0)),
                ("refused", models.JSONField(default=dict)),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "default_permissions": (),
                "indexes": [models.Index(fields=["state", "id"], name="djobs_replay_open")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("per_minute__gte", 1)), name="djobs_replay_rate_positive"
                    )
                ],
            },
        ),
        VendorSQL("mysql", MARIADB_INDEXES),
        VendorSQL("postgresql", POSTGRESQL_STORAGE),
    ]
