"""The index of what operations acted on, built while jobs run; and what is open of the replays becomes operations.

djobs_operation finds the jobs of an operation, to count what became of them and to list them. On MariaDB, which has no
partial indexes, it is without the status, which each move would have to write there.

The table of replays goes. A scheduler of the release before that still runs then says once in its log that its duties
"replay" and "forget_activity" fail, and does all its others; its admin cannot show dead letters until it is replaced.
Replays that are open go on as operations, from where they stand. Those that have ended are not kept.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import migrations, models

from django_jobs.migrations._partial_indexes import AddIndexConcurrently
from django_jobs.migrations._vendor import MARIADB_OPERATION, MARIADB_OPERATION_UNDONE, VendorSQL

OPEN: Final = ("running", "paused")
#: The reasons of the release before, which wrote them in words.
REASONS: Final = {
    "you may not": "not_permitted",
    "a job that it waits for ended without completing; retry that one first": "dead_parent",
    "changed meanwhile": "changed",
    "unfinished jobs or other data need it": "kept",
}
SAME: Final = (
    *("user_id", "user_name", "per_minute", "state", "note", "started_at", "released_until"),
    *("total", "has_more", "last_id", "position", "changed"),
)


def hand_over(apps: Any, schema_editor: Any) -> None:
    """Make an operation of each replay that is open; an attempt that is repeated finds none that it made already."""
    alias = schema_editor.connection.alias
    replays = apps.get_model("django_jobs", "Replay").objects.using(alias)
    operations = apps.get_model("django_jobs", "Operation").objects.using(alias)
    # A scheduler of the release before that works one off is waited for, and finds none afterwards.
    for replay in replays.select_for_update().filter(state__in=OPEN).order_by("pk"):
        operations.create(
            action=replay.verb,
            filters={
                "status": ["Dead Letter"],
                "job_type": [replay.job_type],
                "error_fingerprint": replay.error_fingerprint,
            },
            refused={REASONS.get(reason, reason): count for reason, count in replay.refused.items()},
            **{name: getattr(replay, name) for name in SAME},
        )
    replays.all().delete()


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("django_jobs", "0015_operations")]

    operations = [
        AddIndexConcurrently(
            "job",
            models.Index(
                condition=models.Q(("operation_id__isnull", False)),
                fields=["operation_id", "id", "status"],
                name="djobs_operation",
            ),
        ),
        VendorSQL("mysql", MARIADB_OPERATION, MARIADB_OPERATION_UNDONE),
        migrations.RunPython(hand_over, migrations.RunPython.noop, atomic=True),
        migrations.DeleteModel(name="Replay"),
    ]
