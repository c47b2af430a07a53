"""Alarms: what is wrong, and what was until lately."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("django_jobs", "0013_breaker_tries"),
    ]

    operations = [
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("rule", models.CharField(max_length=32)),
                ("subject", models.CharField(blank=True, db_default="", default="", max_length=255)),
                ("raised_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField()),
                ("cleared_at", models.DateTimeField(blank=True, null=True)),
                ("facts", models.JSONField(db_default={}, default=dict)),
                ("open_key", models.CharField(blank=True, editable=False, max_length=64, null=True)),
            ],
            options={
                "verbose_name": "alarm",
                "verbose_name_plural": "alarms",
                "default_permissions": (),
                "indexes": [models.Index(fields=["cleared_at"], name="djobs_alert_cleared")],
                "constraints": [models.UniqueConstraint(fields=("open_key",), name="djobs_alert_open_once")],
            },
        ),
    ]
