"""The indexes by which the scheduler finds the batches that are being canceled or retried, among all that are kept."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_jobs", "0009_batch_index")]

    operations = [
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(fields=["cancel_position"], name="djobs_batch_cancels"),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(fields=["retry_position"], name="djobs_batch_retries"),
        ),
    ]
