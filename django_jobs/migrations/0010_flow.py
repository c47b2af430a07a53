"""Pools, limits and breakers of job types, the lane of each job, and how long ended jobs of a type are kept."""

from __future__ import annotations

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import django_jobs.models.fields


class Migration(migrations.Migration):
    dependencies = [
        ("django_jobs", "0009_batch_index"),
    ]

    operations = [
        migrations.CreateModel(
            name="Breaker",
            fields=[
                (
                    "job_type",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="breaker",
                        serialize=False,
                        to="django_jobs.jobtype",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("Closed", "Closed"), ("Open", "Open"), ("Recovering", "Recovering")],
                        db_default="Closed",
                        default="Closed",
                        max_length=10,
                    ),
                ),
                ("failures", models.PositiveIntegerField(db_default=0, default=0)),
                ("fingerprint", models.CharField(blank=True, db_default="", default="", max_length=64)),
                ("error_message", models.TextField(blank=True, db_default="", default="")),
                ("opened_at", models.DateTimeField(blank=True, null=True)),
                ("next_try_at", models.DateTimeField(blank=True, null=True)),
                ("recovering_since", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.AddField(
            model_name="job",
            name="lane_key",
            field=models.BigIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name="jobtype",
            name="breaker_failures",
            field=models.PositiveSmallIntegerField(
                db_default=0,
                default=0,
                help_text="After so many attempts in a row with one transient error its jobs are held. 0: never.",
                validators=[django.core.validators.MaxValueValidator(10000)],
            ),
        ),
        migrations.AddField(
            model_name="jobtype",
            name="breaker_pause",
            field=models.PositiveIntegerField(
                db_default=60,
                default=60,
                help_text="Seconds between two tries while they are held.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(2592000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="jobtype",
            name="concurrency_key",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="A parameter's name. For each of its values, jobs of an organization count on their own.",
                max_length=100,
                validators=[
                    django.core.validators.RegexValidator(
                        "^[^\\s.\\x00-\\x1f]+\\Z",
                        "Name one parameter of the top level, without dots and blanks, such as customer_id.",
                    )
                ],
            ),
        ),
        migrations.AddField(
            model_name="jobtype",
            name="keyed_by",
            field=django_jobs.models.fields.WorkedOffField(
                blank=True, db_default="", default="", editable=False, max_length=100, null=True, of="concurrency_key"
            ),
        ),
        migrations.AddField(
            model_name="jobtype",
            name="max_running",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="At most so many run at once, everywhere. Blank: no limit.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(
                        1, "Leave it blank for no limit; to stop a type, pause it."
                    ),
                    django.core.validators.MaxValueValidator(1000000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="jobtype",
            name="max_running_per_key",
            field=models.PositiveIntegerField(
                db_default=1,
                default=1,
                help_text="With a concurrency key: at most so many run at once for each of its values.",
                validators=[
                    django.core.validators.MinValueValidator(1, "Use 1 or more; to stop a type, pause it."),
                    django.core.validators.MaxValueValidator(1000000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="jobtype",
            name="max_running_per_organization",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="At most so many of one organization run at once. Blank: no limit.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(
                        1, "Leave it blank for no limit; to stop a type, pause it."
                    ),
                    django.core.validators.MaxValueValidator(1000000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="jobtype",
            name="max_starts",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="At most so many start in a window; the others wait. Blank: no limit.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(
                        1, "Leave it blank for no limit; to stop a type, pause it."
                    ),
                    django.core.validators.MaxValueValidator(1000000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="jobtype",
            name="max_starts_per_key",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="With a concurrency key: at most so many start in a window for each of its values.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(
                        1, "Leave it blank for no limit; to stop a type, pause it."
                    ),
                    django.core.validators.MaxValueValidator(1000000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="jobtype",
            name="max_starts_window",
            field=models.PositiveIntegerField(
                db_default=60,
                default=60,
                help_text="Seconds of the window.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(2592000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="jobtype",
            name="pool",
            field=models.CharField(
                db_default="default",
                default="default",
                help_text="Which workers run it: a name of DJANGO_JOBS['POOLS'].",
                max_length=40,
            ),
        ),
        migrations.AddField(
            model_name="jobtype",
            name="retention_days",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Days after which its ended jobs are deleted. Blank: as the setting RETENTION_DAYS says.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(36500),
                ],
            ),
        ),
    ]
