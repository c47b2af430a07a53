"""Orders for workers, and what a worker tells of itself: its supervisor, its release, its memory, whether it is quiet.

Workers of the release before know none of these columns, so that each has a default in the database.
"""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_jobs", "0016_old_replays")]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="supervisor",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=40),
        ),
        migrations.AddField(
            model_name="worker",
            name="supervisor_pid",
            field=models.PositiveIntegerField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="worker",
            name="release",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=40),
        ),
        migrations.AddField(
            model_name="worker",
            name="memory",
            field=models.PositiveIntegerField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="worker",
            name="quiet_since",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.CreateModel(
            name="WorkerOrder",
            fields=[
                ("supervisor", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("hostname", models.CharField(max_length=255)),
                ("supervisor_pid", models.PositiveIntegerField(null=True)),
                (
                    "order",
                    models.CharField(
                        choices=[("quiet", "Quiet"), ("resume", "Resume"), ("stop", "Stop")], max_length=10
                    ),
                ),
                ("ordered_at", models.DateTimeField()),
                ("ordered_by", models.CharField(blank=True, db_default="", default="", max_length=150)),
                ("obeyed_at", models.DateTimeField(blank=True, null=True)),
                ("left_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={"verbose_name": "worker"},
        ),
    ]
