"""``manage.py jobs_pause``: let job types, schedules, operations, organizations or workers start nothing for now."""

from __future__ import annotations

from django_jobs.management.switches import SwitchCommand


class Command(SwitchCommand):
    help = (
        "Pauses job types (what is submitted waits, what runs goes on), schedules, operations, organizations, or "
        "workers, until jobs_resume. What is paused already is no error. Exit codes: docs/commands.md."
    )
    pauses = True
