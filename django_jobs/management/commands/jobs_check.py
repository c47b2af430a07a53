"""``manage.py jobs_check``: examine the running setup."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand
from django.db import Error

from django_jobs.engine.insight.problems import OK, PROBLEM, WARNING, examine
from django_jobs.management.shell import Refused, ShellCommand


class Command(ShellCommand):
    help = (
        "Examines the running setup: database, broker, workers, scheduler, waiting, batches, job types and their "
        "handlers. Exits with 1 if there are problems."
    )

    def check(self, *args: Any, **kwargs: Any) -> None:
        with contextlib.suppress(Error):  # some of Django's ask the database: what became of that is examined below
            BaseCommand.check(self, *args, **kwargs)

    def handle(self, *args: Any, **options: Any) -> None:
        styles = {OK: self.style.SUCCESS, WARNING: self.style.WARNING, PROBLEM: self.style.ERROR}
        levels: Counter[str] = Counter()
        found = []
        for finding in examine():
            levels[finding.level] += 1
            found.append({name: getattr(finding, name) for name in ("level", "subject", "code", "text")})
            if not self.as_json:  # each as soon as it is known
                self.say(
                    {}, f"{styles[finding.level](f'{finding.level:<8}')} {finding.subject}: {finding.text}".rstrip(": ")
                )
        if self.as_json:
            self.say({"problems": levels[PROBLEM], "warnings": levels[WARNING], "findings": found}, "")
        if levels[PROBLEM]:
            raise Refused(f"Problems found: {levels[PROBLEM]}.", code="problems")
