"""Schedules, batches and the steps of jobs, and the batch that a job counts for."""

from __future__ import annotations

import django.core.serializers.json
import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import django_jobs.models.fields
import django_jobs.models.schedule


class Migration(migrations.Migration):
    dependencies = [
        ("django_jobs", "0007_old_indexes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="BatchChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("batch_id", models.BigIntegerField()),
                ("changed_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(null=True)),
                ("total", models.IntegerField(db_default=0, default=0)),
                ("completed", models.IntegerField(db_default=0, default=0)),
                ("failed", models.IntegerField(db_default=0, default=0)),
                ("timed_out", models.IntegerField(db_default=0, default=0)),
                ("canceled", models.IntegerField(db_default=0, default=0)),
                ("dead_letter", models.IntegerField(db_default=0, default=0)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="JobCheckpoint",
            fields=[
                (
                    "job",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="saved_checkpoint",
                        serialize=False,
                        to="django_jobs.job",
                    ),
                ),
                ("data", models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ("attempt", models.PositiveIntegerField()),
                ("saved_at", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="JobStep",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("name", models.CharField(max_length=220)),
                ("result", models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder, null=True)),
                ("attempt", models.PositiveIntegerField()),
                ("done_at", models.DateTimeField()),
                ("seconds", models.FloatField(db_default=0.0, default=0.0)),
            ],
            options={
                "ordering": ["position"],
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Schedule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200, unique=True)),
                ("owner_name", models.CharField(blank=True, db_default="", default="", editable=False, max_length=150)),
                (
                    "parameters",
                    models.JSONField(
                        blank=True, db_default={}, default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder
                    ),
                ),
                (
                    "priority",
                    django_jobs.models.fields.PriorityField(blank=True, help_text="Blank: the type's.", null=True),  # type: ignore[misc]
                ),
                (
                    "cron",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Five fields: minute, hour, day of the month, month, day of the week.",
                        max_length=200,
                    ),
                ),
                (
                    "every",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Seconds between two firings, in the place of cron.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(31622400),
                        ],
                    ),
                ),
                (
                    "timezone",
                    models.CharField(
                        db_default="UTC",
                        default=django_jobs.models.schedule.default_timezone,
                        help_text="In which cron is meant.",
                        max_length=64,
                    ),
                ),
                ("starts_at", models.DateTimeField(blank=True, help_text="No firing comes before it.", null=True)),
                ("ends_at", models.DateTimeField(blank=True, help_text="No firing comes after it.", null=True)),
                (
                    "jitter",
                    models.PositiveIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Seconds over which one firing's jobs are spread; a tenant's place stays the same.",
                        validators=[django.core.validators.MaxValueValidator(86400)],
                    ),
                ),
                (
                    "catch_up",
                    models.CharField(
                        choices=[
                            ("skip", "Skip them"),
                            ("once", "Fire once for all of them"),
                            ("all", "Fire for each of them, up to 100"),
                        ],
                        db_default="once",
                        default="once",
                        help_text="What happens to firings that nobody was there for.",
                        max_length=4,
                    ),
                ),
                (
                    "overlap",
                    models.CharField(
                        choices=[("allow", "Submit another one"), ("skip", "Skip the firing")],
                        db_default="skip",
                        default="skip",
                        help_text="What a firing does while the last job is unfinished.",
                        max_length=5,
                    ),
                ),
                ("is_enabled", models.BooleanField(db_default=True, default=True, help_text="Off: it does not fire.")),
                ("created_at", models.DateTimeField(editable=False)),
                ("last_fired_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("next_run_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("fault", models.TextField(blank=True, db_default="", default="", editable=False)),
                ("faulty_since", models.DateTimeField(blank=True, editable=False, null=True)),
                ("declared", models.JSONField(blank=True, editable=False, null=True)),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="ScheduledJob",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("organization_key", models.CharField(max_length=64)),
                ("job_id", models.BigIntegerField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="ScheduleFiring",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("due_at", models.DateTimeField()),
                ("fired_at", models.DateTimeField()),
                (
                    "outcome",
                    models.CharField(
                        choices=[("submitted", "Submitted"), ("skipped", "Skipped"), ("failed", "Failed")], max_length=9
                    ),
                ),
                ("submitted", models.PositiveIntegerField(db_default=0, default=0, help_text="Jobs.")),
                (
                    "skipped",
                    models.PositiveIntegerField(db_default=0, default=0, help_text="Organizations that got none."),
                ),
                ("job_id", models.BigIntegerField(blank=True, null=True)),
                ("note", models.TextField(blank=True, db_default="", default="")),
                ("actor", models.CharField(blank=True, db_default="", default="", max_length=150)),
            ],
            options={
                "ordering": ["-id"],
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Batch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(blank=True, db_default="", default="", max_length=200)),
                ("organization_name", models.CharField(max_length=140)),
                ("owner_name", models.CharField(blank=True, db_default="", default="", max_length=150)),
                (
                    "then",
                    models.JSONField(blank=True, encoder=django.core.serializers.json.DjangoJSONEncoder, null=True),
                ),
                (
                    "on_failure",
                    models.JSONField(blank=True, encoder=django.core.serializers.json.DjangoJSONEncoder, null=True),
                ),
                ("then_job_id", models.BigIntegerField(blank=True, editable=False, null=True)),
                ("on_failure_job_id", models.BigIntegerField(blank=True, editable=False, null=True)),
                ("fault", models.TextField(blank=True, db_default="", default="", editable=False)),
                ("created_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                ("completed_at", models.DateTimeField(blank=True, null=True)),
                ("canceled_at", models.DateTimeField(blank=True, null=True)),
                ("canceled_by", models.CharField(blank=True, db_default="", default="", max_length=150)),
                ("retried_by", models.CharField(blank=True, db_default="", default="", max_length=150)),
                ("expired_at", models.DateTimeField(blank=True, null=True)),
                ("total", models.PositiveIntegerField(db_default=0, default=0)),
                ("completed", models.PositiveIntegerField(db_default=0, default=0)),
                ("failed", models.PositiveIntegerField(db_default=0, default=0)),
                ("timed_out", models.PositiveIntegerField(db_default=0, default=0)),
                ("canceled", models.PositiveIntegerField(db_default=0, default=0)),
                ("dead_letter", models.PositiveIntegerField(db_default=0, default=0)),
                ("counted_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("cancel_position", models.BigIntegerField(blank=True, editable=False, null=True)),
                ("retry_position", models.BigIntegerField(blank=True, editable=False, null=True)),
                (
                    "organization",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.DJANGO_JOBS_ORGANIZATION_MODEL,
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
                "verbose_name_plural": "batches",
                "ordering": ["-id"],
            },
        ),
        migrations.AddField(
            model_name="job",
            name="batch",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="jobs",
                to="django_jobs.batch",
            ),
        ),
        migrations.AddIndex(
            model_name="batchchange",
            index=models.Index(fields=["batch_id"], name="djobs_batch_changes"),
        ),
        migrations.AddField(
            model_name="jobstep",
            name="job",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="steps",
                to="django_jobs.job",
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="job_type",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="django_jobs.jobtype",
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="organization",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                help_text="Blank: one job for each active organization.",
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to=settings.DJANGO_JOBS_ORGANIZATION_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="owner",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="scheduledjob",
            name="schedule",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="last_jobs",
                to="django_jobs.schedule",
            ),
        ),
        migrations.AddField(
            model_name="schedulefiring",
            name="schedule",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="firings",
                to="django_jobs.schedule",
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(fields=["organization", "-id"], name="djobs_batch_newest"),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(fields=["completed_at", "id"], name="djobs_batch_open"),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(fields=["cancel_position"], name="djobs_batch_cancels"),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(fields=["retry_position"], name="djobs_batch_retries"),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(fields=["then_job_id"], name="djobs_batch_then"),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(fields=["on_failure_job_id"], name="djobs_batch_on_failure"),
        ),
        migrations.AddConstraint(
            model_name="jobstep",
            constraint=models.UniqueConstraint(fields=("job", "position"), name="djobs_step_once"),
        ),
        migrations.AddIndex(
            model_name="schedule",
            index=models.Index(fields=["next_run_at"], name="djobs_schedule_due"),
        ),
        migrations.AddConstraint(
            model_name="schedule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("cron", ""), ("every__gte", 1)),
                    models.Q(models.Q(("cron", ""), _negated=True), ("every__isnull", True)),
                    _connector="OR",
                ),
                name="djobs_schedule_cron_or_every",
            ),
        ),
        migrations.AddConstraint(
            model_name="schedule",
            constraint=models.CheckConstraint(
                condition=models.Q(("next_run_at__isnull", True), ("is_enabled", True), _connector="OR"),
                name="djobs_schedule_off_is_off",
            ),
        ),
        migrations.AddConstraint(
            model_name="scheduledjob",
            constraint=models.UniqueConstraint(
                fields=("schedule", "organization_key"), name="djobs_scheduled_job_once"
            ),
        ),
        migrations.AddIndex(
            model_name="schedulefiring",
            index=models.Index(fields=["schedule", "-id"], name="djobs_firing_newest"),
        ),
    ]
