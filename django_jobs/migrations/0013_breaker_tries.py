"""Since when jobs of a type try while its breaker is open."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_jobs", "0012_old_lanes")]

    operations = [
        migrations.AddField(
            model_name="breaker",
            name="tries_since",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
