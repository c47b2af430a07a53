"""Whose failures have a breaker open again that recovers. Processes of the release before leave it blank."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_jobs", "0029_breakers_of_one_organization")]

    operations = [
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
    ]
