"""The page of failures, and the index of what failed by type and like errors, built while jobs run.

It takes the place of the index of dead letters, which held only these.
"""

from __future__ import annotations

from django.db import migrations, models

from django_jobs.migrations._partial_indexes import AddIndexConcurrently, RemovePartialIndex
from django_jobs.migrations._vendor import MARIADB_FAILURES, MARIADB_FAILURES_UNDONE, VendorSQL


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("django_jobs", "0018_job_page")]

    operations = [
        migrations.RenameModel("DeadLetter", "Failure"),
        migrations.AlterModelOptions(
            name="failure",
            options={"default_permissions": (), "verbose_name": "failure", "verbose_name_plural": "failures"},
        ),
        AddIndexConcurrently(
            "job",
            models.Index(
                condition=models.Q(("status__in", ["Dead Letter", "Failed", "Timed Out"])),
                fields=["job_type", "error_fingerprint", "-id", "status", "organization"],
                name="djobs_failures",
            ),
        ),
        RemovePartialIndex("job", "djobs_dead_letters"),
        VendorSQL("mysql", MARIADB_FAILURES, MARIADB_FAILURES_UNDONE),
    ]
