"""Which organization's jobs a breaker holds. Processes of the release before hold all jobs of its type."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_jobs", "0028_quick_types")]

    operations = [
        migrations.AddField(
            model_name="breaker",
            name="organization",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to=settings.DJANGO_JOBS_ORGANIZATION_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="breaker",
            name="relapse_organization",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to=settings.DJANGO_JOBS_ORGANIZATION_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="breaker",
            name="others_failures",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="breaker",
            name="others_fingerprint",
            field=models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
    ]
