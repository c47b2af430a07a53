"""Who may submit a type, who acted, when a job expires, what it submitted; socket tickets and open sockets.

New columns have a default in the database, so that workers of the release before go on beside this schema.
"""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from django_jobs.migrations._vendor import MARIADB_EXPIRING, MARIADB_EXPIRING_UNDONE, VendorSQL


class Migration(migrations.Migration):
    dependencies = [
        ("django_jobs", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="job",
            options={
                "ordering": ["-id"],
                "permissions": [
                    ("manage_all_jobs", "Can see and manage the jobs of every organization"),
                    ("view_sensitive", "Can read the sensitive parameters and results of jobs"),
                ],
            },
        ),
        migrations.CreateModel(
            name="FileDeletion",
            fields=[
                ("job_id", models.CharField(max_length=30, primary_key=True, serialize=False)),
                ("organization_pk", models.CharField(max_length=255)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="OpenSocket",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("process", models.UUIDField()),
                ("seen_at", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="SocketTicket",
            fields=[
                ("digest", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("credential", models.TextField(blank=True)),
                ("session_auth_hash", models.CharField(blank=True, max_length=128)),
                ("expires_at", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.AddField(
            model_name="executionlog",
            name="actor_kind",
            field=models.CharField(
                choices=[("user", "User"), ("system", "System"), ("worker", "Worker"), ("scheduler", "Scheduler")],
                db_default="system",
                default="system",
                max_length=9,
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="expires_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="job",
            name="run_after",
            field=models.CharField(
                choices=[("completed", "Completed"), ("ended", "Ended")],
                db_default="completed",
                default="completed",
                editable=False,
                max_length=9,
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="submitted_by_attempt",
            field=models.PositiveIntegerField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="job",
            name="submitted_by_id",
            field=models.BigIntegerField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="jobtype",
            name="submit_by",
            field=models.CharField(
                choices=[("members", "Members"), ("admins", "Admins"), ("code", "Code")],
                db_default="members",
                default="members",
                help_text="Who may submit it; to others it looks unknown.",
                max_length=7,
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("submitted_by_id__isnull", False)),
                fields=["submitted_by_id", "job_hash"],
                name="djobs_submitted_by",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(
                    ("expires_at__isnull", False), ("status__in", ["Failed", "Pending", "Queued", "Timed Out"])
                ),
                fields=["expires_at"],
                name="djobs_expiring",
            ),
        ),
        VendorSQL("mysql", MARIADB_EXPIRING, MARIADB_EXPIRING_UNDONE),
        migrations.AddField(
            model_name="opensocket",
            name="user",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="socketticket",
            name="user",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddIndex(
            model_name="opensocket",
            index=models.Index(fields=["process"], name="djobs_socket_process"),
        ),
        migrations.AddIndex(
            model_name="socketticket",
            index=models.Index(fields=["expires_at"], name="djobs_ticket_expiry"),
        ),
    ]
