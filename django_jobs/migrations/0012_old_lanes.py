"""The index of the release before goes, whose place that of 0011 takes.

Its workers work without it too, but walk a large backlog slowly. Where hundreds of thousands of jobs wait, apply this
one when the last of them has stopped.
"""

from __future__ import annotations

from django.db import migrations

from django_jobs.migrations._partial_indexes import RemovePartialIndex
from django_jobs.migrations._vendor import MARIADB_OLD_LANES, MARIADB_OLD_LANES_UNDONE, VendorSQL


class Migration(migrations.Migration):
    dependencies = [("django_jobs", "0011_type_lanes")]

    operations = [
        RemovePartialIndex("job", "djobs_lanes"),
        VendorSQL("mysql", MARIADB_OLD_LANES, MARIADB_OLD_LANES_UNDONE),
    ]
