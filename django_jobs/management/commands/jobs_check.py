"""``manage.py jobs_check``: examine the running setup."""

from __future__ import annotations

import contextlib
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from django_jobs.engine.insight.diagnostics import examine
from django_jobs.engine.insight.findings import OK, PROBLEM, WARNING


class Command(BaseCommand):
    help = (
        "Examines the running setup: database, broker, workers, scheduler, waiting, batches, job types and their "
        "handlers. Exits with 1 if there are problems."
    )

    def check(self, *args: Any, **kwargs: Any) -> None:
        with contextlib.suppress(Error):  # some of Django's ask the database: what became of that is examined below
            super().check(*args, **kwargs)

    def handle(self, *args: Any, **options: Any) -> None:
        styles = {OK: self.style.SUCCESS, WARNING: self.style.WARNING, PROBLEM: self.style.ERROR}
        problems = 0
        for finding in examine():
            problems += finding.level == PROBLEM
            self.stdout.write(f"{styles[finding.level](f'{finding.level:<8}')} {finding.subject}: {finding.text}")
        if problems:
            raise CommandError(f"Problems found: {problems}.")
