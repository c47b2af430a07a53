"""``manage.py jobs_resume``: let go on what ``jobs_pause`` or the console paused, or what a breaker holds."""

from __future__ import annotations

from django_jobs.management.switches import SwitchCommand


class Command(SwitchCommand):
    help = (
        "Lets job types, schedules, operations, organizations or workers go on that were paused, and closes breakers. "
        "What is not paused is no error. Exit codes: docs/commands.md."
    )
    pauses = False
