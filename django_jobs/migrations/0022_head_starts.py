"""By how much a job goes before others of its lane. Processes of the release before give none."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_jobs", "0021_alert_mails")]

    operations = [
        migrations.AddField(
            model_name="job",
            name="head_start",
            field=models.SmallIntegerField(db_default=0, default=0, editable=False),
        ),
    ]
