from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """The admin's monitor and its dead letters have no tables of their own; replays of dead letters have one.

    ``djobs_replay_open`` serves the scheduler, which asks at every tick for what is to be worked off.
    """

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("django_jobs", "0001_initial"),
    ]

    operations = [
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
    ]
