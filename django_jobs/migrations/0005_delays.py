"""What waits for its moment when the update comes is marked as delayed, as new jobs are."""

from __future__ import annotations

from typing import Any

from django.db import migrations
from django.db.models.functions import Now


def mark_delayed(apps: Any, schema_editor: Any) -> None:
    """Take what waits for its moment out of the lanes that dispatch walks."""
    jobs = apps.get_model("django_jobs", "Job").objects.using(schema_editor.connection.alias)
    jobs.filter(ready_at__gt=Now()).update(is_delayed=True)


class Migration(migrations.Migration):
    dependencies = [("django_jobs", "0004_database_defaults")]

    operations = [migrations.RunPython(mark_delayed, migrations.RunPython.noop, hints={"model_name": "job"})]
