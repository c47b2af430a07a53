"""Columns for attempts that began or saved no file, delayed jobs, where a worker runs, large and deleted families.

New columns have a default in the database, so that workers of the release before go on beside this schema.
"""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_jobs", "0002_tenants_and_doors")]

    operations = [
        migrations.AddField(
            model_name="job",
            name="begun_attempt",
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name="job",
            name="fileless_attempts",
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name="job",
            name="is_delayed",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.AddField(
            model_name="worker",
            name="place",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=150),
        ),
        migrations.AddField(
            model_name="worker",
            name="processes",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=100),
        ),
        migrations.AddField(
            model_name="dependencytask",
            name="position",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="dependencytask",
            name="deleted_as",
            field=models.CharField(blank=True, db_default="", default="", max_length=12),
        ),
    ]
