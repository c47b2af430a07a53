"""Which server gives the Execution Log its order, and which jobs of an operation others hold."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_jobs", "0025_rate_limits_of_at_least_one")]

    operations = [
        migrations.AddField(
            model_name="installation",
            name="log_server",
            field=models.CharField(db_default="", default="", editable=False, max_length=40),
        ),
        migrations.AddField(
            model_name="installation",
            name="log_foreign_id",
            field=models.BigIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name="operation",
            name="held",
            field=models.JSONField(db_default={}, default=dict, editable=False),
        ),
    ]
