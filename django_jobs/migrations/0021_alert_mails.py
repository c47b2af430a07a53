"""When a mail told that an alarm was raised, and that it was over. Schedulers of the release before send none."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_jobs", "0020_saved_filters")]

    operations = [
        migrations.AddField(
            model_name="alert",
            name="raise_mailed_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="alert",
            name="clear_mailed_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
    ]
