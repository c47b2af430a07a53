"""How many tickets a worker wants of which job types. Workers of the release before want the same number of any."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_jobs", "0027_batch_rights")]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="quick_types",
            field=models.JSONField(db_default={}, default=dict, editable=False),
        ),
    ]
