"""Operations: what somebody does to all jobs that a filter names, and the mark of it on each of these jobs.

The table is a new one, beside that of replays. A scheduler of the release before works off the replays that it knows,
and would take a row of another action for a replay of dead letters. ``0016_old_replays`` hands over what is open.

djobs_operation_open: the scheduler asks at every turn for what is to be worked off and what is to be counted.
"""

from __future__ import annotations

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("django_jobs", "0014_alerts"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Operation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("retry", "Retry"),
                            ("cancel", "Cancel"),
                            ("delete", "Delete"),
                            ("set_priority", "Change priority"),
                            ("run_now", "Run now"),
                        ],
                        db_default="retry",
                        default="retry",
                        max_length=12,
                    ),
                ),
                ("filters", models.JSONField(db_default={}, default=dict)),
                ("value", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("user_name", models.CharField(max_length=150)),
                (
                    "actor_kind",
                    models.CharField(
                        choices=[
                            ("user", "User"),
                            ("system", "System"),
                            ("worker", "Worker"),
                            ("scheduler", "Scheduler"),
                        ],
                        db_default="user",
                        default="user",
                        max_length=9,
                    ),
                ),
                (
                    "per_minute",
                    models.PositiveIntegerField(blank=True, help_text="Jobs that it acts on in a minute.", null=True),
                ),
                (
                    "stop_above",
                    models.FloatField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(0.0),
                            django.core.validators.MaxValueValidator(1.0),
                        ],
                    ),
                ),
                ("tries_one_first", models.BooleanField(db_default=False, default=False)),
                ("first_job_id", models.BigIntegerField(blank=True, editable=False, null=True)),
                ("is_tried", models.BooleanField(db_default=False, default=False, editable=False)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "Running"),
                            ("paused", "Paused"),
                            ("stopped", "Stopped"),
                            ("done", "Done"),
                        ],
                        db_default="running",
                        default="running",
                        max_length=8,
                    ),
                ),
                ("reason", models.CharField(blank=True, db_default="", default="", max_length=16)),
                ("note", models.CharField(blank=True, db_default="", default="", max_length=255)),
                ("started_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("released_until", models.DateTimeField()),
                ("total", models.PositiveIntegerField(db_default=0, default=0)),
                ("has_more", models.BooleanField(db_default=False, default=False)),
                ("last_id", models.BigIntegerField()),
                ("position", models.BigIntegerField(db_default=0, default=0)),
                ("changed", models.PositiveIntegerField(db_default=0, default=0)),
                ("asked", models.PositiveIntegerField(db_default=0, default=0)),
                ("refused", models.JSONField(db_default={}, default=dict)),
                ("outcome", models.JSONField(db_default={}, default=dict)),
                ("counted_at", models.DateTimeField(blank=True, null=True)),
                ("is_settled", models.BooleanField(db_default=False, default=False)),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
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
                "indexes": [models.Index(fields=["state", "is_settled", "id"], name="djobs_operation_open")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("per_minute__isnull", True), ("per_minute__gte", 1), _connector="OR"),
                        name="djobs_operation_rate_positive",
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="job",
            name="operation_id",
            field=models.BigIntegerField(blank=True, editable=False, null=True),
        ),
    ]
