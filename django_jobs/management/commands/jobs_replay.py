"""``manage.py jobs_replay``: retry all jobs that match, at a rate, and tell what became of them."""

from __future__ import annotations

from django_jobs.management.commands import jobs_retry


class Command(jobs_retry.Command):
    help = "Does what jobs_retry does, and does not ask before. Exit codes: docs/commands.md."
    asks = False
