"""What handlers write to the log, attempt by attempt. Its unique key serves the page of a job, and its deletion."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_jobs", "0017_worker_orders")]

    operations = [
        migrations.CreateModel(
            name="AttemptLog",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("attempt", models.PositiveIntegerField()),
                ("first_lines", models.JSONField(default=list)),
                ("last_lines", models.JSONField(default=list)),
                ("kept", models.PositiveIntegerField(db_default=0, default=0)),
                ("dropped", models.PositiveIntegerField(db_default=0, default=0)),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="attempt_logs",
                        to="django_jobs.job",
                    ),
                ),
            ],
            options={
                "ordering": ["attempt"],
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("job", "attempt"), name="djobs_attempt_log_once"),
                ],
            },
        ),
    ]
