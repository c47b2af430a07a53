"""The index of what waits, type by type, built beside the one of the release before while jobs run."""

from __future__ import annotations

from django.db import migrations, models

from django_jobs.migrations._partial_indexes import AddIndexConcurrently
from django_jobs.migrations._vendor import MARIADB_TYPE_LANES, MARIADB_TYPE_LANES_UNDONE, VendorSQL


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("django_jobs", "0010_flow")]

    operations = [
        AddIndexConcurrently(
            "job",
            models.Index(
                condition=models.Q(("ready_at__isnull", False)),
                fields=["is_delayed", "priority", "job_type", "organization", "lane_key", "ready_at", "id"],
                name="djobs_type_lanes",
            ),
        ),
        VendorSQL("mysql", MARIADB_TYPE_LANES, MARIADB_TYPE_LANES_UNDONE),
    ]
