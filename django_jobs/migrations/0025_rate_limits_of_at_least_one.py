from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models


class Migration(migrations.Migration):
    """A rate limit of 0 is refused, as the other limits are. The database stays as it is."""

    dependencies = [("django_jobs", "0024_step_digests")]

    operations = [
        migrations.AlterField(
            model_name="jobtype",
            name="rate_limit",
            field=models.PositiveIntegerField(
                null=True,
                blank=True,
                validators=[
                    MinValueValidator(1, "Leave it blank for no limit; to stop a type, pause it."),
                    MaxValueValidator(1_000_000),
                ],
                help_text="Submissions an organization may make.",
            ),
        ),
    ]
