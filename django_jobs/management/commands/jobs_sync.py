"""``manage.py jobs_sync``: bring the rows of the declared job types and schedules up to date."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from django_jobs.engine.job_types import declared_types
from django_jobs.engine.job_types.declared_types import Difference
from django_jobs.engine.schedules import declared_schedules
from django_jobs.engine.store import database
from django_jobs.management.shell import Refused, ShellCommand, Unavailable


class Command(ShellCommand):
    help = (
        "Makes the rows of the job types and schedules that code declares and brings them up to date, as migrate does. "
        "What an administrator changed stays. With --check it writes nothing and exits with 1 if it would."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Only say what it would do.")

    def handle(self, *args: Any, **options: Any) -> None:
        using = database.alias()
        try:
            found = declared_types.type_differences(using=using)
        except declared_types.NoTable as error:
            raise Unavailable(str(error)) from error
        schedules = declared_schedules.schedule_differences(using=using)
        if not options["check"]:
            found = declared_types.sync_declared_types(using=using)
            schedules = declared_schedules.sync_declared_schedules(using=using)
        left, taken = declared_types.undeclared_types(using=using), declared_schedules.taken_names(using=using)
        types, others = [_facts(item) for item in found], [_facts(item) for item in schedules]
        self.say({"check": options["check"], "job_types": types, "schedules": others, "undeclared": left})
        if taken:
            raise Refused(" ".join(taken), code="name_taken")
        written = [item.name for item in found if item.is_written]
        written += [f"schedule {item.name}" for item in schedules if item.is_written]
        if options["check"] and written:
            names = ", ".join(written)
            text = f"Not up to date: {names}. Run `manage.py migrate` or `manage.py jobs_sync`."
            raise Refused(text, code="not_up_to_date")


def _facts(item: Difference) -> dict[str, Any]:
    """Return a difference for programs."""
    change = "updated" if item.is_written else "unchanged"
    if item.is_missing:
        change = "created"
    elif item.is_undeclared:
        change = "unchanged" if item.kept else "disabled"
    return {"name": item.name, "change": change, "fields": list(item.fields), "kept": list(item.kept)}
