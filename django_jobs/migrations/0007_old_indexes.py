"""Indexes of the release before go, whose places those of 0006 take.

Its workers work without them too, but walk a large backlog slowly. Where hundreds of thousands of jobs wait, apply this
one when the last of them has stopped.
"""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

from django_jobs.migrations._partial_indexes import RemovePartialIndex


class Migration(migrations.Migration):
    dependencies = [("django_jobs", "0006_new_indexes")]

    operations = [
        RemovePartialIndex("job", "djobs_ready_lanes"),
        RemovePartialIndex("job", "djobs_in_flight"),
        migrations.AlterField(
            model_name="jobdependency",
            name="parent",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="child_links",
                to="django_jobs.job",
            ),
        ),
    ]
