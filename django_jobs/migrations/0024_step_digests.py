"""By which arguments a step is known. Processes of the release before give none."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_jobs", "0023_schedule_names")]

    operations = [
        migrations.AddField(
            model_name="jobstep",
            name="digest",
            field=models.CharField(db_default="", default="", max_length=32),
        ),
    ]
