"""A schedule's name is unique in its organization, and of those without one, code changes only what code made.

The constraint serves look-ups by both, and lists by name.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations, models
from django.db.models import Q


def tell_whose(apps: Any, schema_editor: Any) -> None:
    """Write the keys of the organizations, and which rows no person owns."""
    rows = apps.get_model("django_jobs", "Schedule")._default_manager.using(schema_editor.connection.alias)
    with_one = rows.filter(organization__isnull=False)
    for pk in with_one.order_by().values_list("organization_id", flat=True).distinct():
        with_one.filter(organization_id=pk).update(organization_key=str(pk))
    rows.filter(Q(owner_name="") | Q(declared__isnull=False)).update(made_by_code=True)


class Migration(migrations.Migration):
    dependencies = [("django_jobs", "0022_head_starts")]

    operations = [
        migrations.AddField(
            model_name="schedule",
            name="organization_key",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=64),
        ),
        migrations.AddField(
            model_name="schedule",
            name="made_by_code",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.RunPython(tell_whose, migrations.RunPython.noop, elidable=True),
        migrations.AlterField(model_name="schedule", name="name", field=models.CharField(max_length=200)),
        migrations.AddConstraint(
            model_name="schedule",
            constraint=models.UniqueConstraint(fields=["name", "organization_key"], name="djobs_schedule_name_once"),
        ),
    ]
