"""The index of a batch's jobs, built while jobs run: lists of a batch, its cancel, its retry."""

from __future__ import annotations

from django.db import migrations, models

from django_jobs.migrations._partial_indexes import AddIndexConcurrently
from django_jobs.migrations._vendor import MARIADB_BATCH, MARIADB_BATCH_UNDONE, VendorSQL


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("django_jobs", "0008_schedules_batches_steps")]

    operations = [
        AddIndexConcurrently(
            "job",
            models.Index(
                condition=models.Q(("batch__isnull", False)), fields=["batch", "id", "status"], name="djobs_batch"
            ),
        ),
        VendorSQL("mysql", MARIADB_BATCH, MARIADB_BATCH_UNDONE),
    ]
