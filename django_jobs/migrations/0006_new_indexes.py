"""Indexes of this release, built beside those of the one before while jobs run.

The dispatcher's lanes without delayed jobs, what is due by now, what is in flight by the moment at which it was queued,
and the children of a parent in order.
"""

from __future__ import annotations

from django.db import migrations, models

from django_jobs.migrations._partial_indexes import AddIndexConcurrently
from django_jobs.migrations._vendor import MARIADB_LANES, MARIADB_LANES_UNDONE, VendorSQL


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("django_jobs", "0005_delays")]

    operations = [
        AddIndexConcurrently(
            "job",
            models.Index(
                condition=models.Q(("ready_at__isnull", False)),
                fields=["is_delayed", "priority", "organization", "job_type", "ready_at", "id"],
                name="djobs_lanes",
            ),
        ),
        AddIndexConcurrently(
            "job",
            models.Index(
                condition=models.Q(("is_delayed", True), ("ready_at__isnull", False)),
                fields=["ready_at"],
                name="djobs_delayed",
            ),
        ),
        AddIndexConcurrently(
            "job",
            models.Index(
                condition=models.Q(("status__in", ["Queued", "Running"])),
                fields=["queued_at", "organization"],
                name="djobs_queued_at",
            ),
        ),
        AddIndexConcurrently(
            "jobdependency", models.Index(fields=["parent", "child"], name="djobs_dependency_children")
        ),
        VendorSQL("mysql", MARIADB_LANES, MARIADB_LANES_UNDONE),
    ]
