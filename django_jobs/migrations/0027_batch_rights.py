"""Whose jobs a batch takes, which attempt made it, and what the access policy refuses of its cancel or retry.

The index serves a handler that asks for the batches of its earlier attempts.
"""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("django_jobs", "0026_restored_logs_and_held_jobs"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="batch",
            name="asked_by",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="batch",
            name="met_held",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.AddField(
            model_name="batch",
            name="open_to",
            field=models.CharField(
                choices=[
                    ("owner", "Its owner and users who manage the organization's jobs"),
                    ("members", "Members of the organization"),
                ],
                db_default="owner",
                default="owner",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="batch",
            name="refused",
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name="batch",
            name="submitted_by_attempt",
            field=models.PositiveIntegerField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="batch",
            name="submitted_by_id",
            field=models.BigIntegerField(blank=True, editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(fields=["submitted_by_id"], name="djobs_batch_submitted_by"),
        ),
    ]
