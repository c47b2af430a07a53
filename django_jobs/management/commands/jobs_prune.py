from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_jobs.engine import database
from django_jobs.engine.file_deletions import Sweep
from django_jobs.engine.inspection import has_jobs
from django_jobs.engine.retention import Pruner
from django_jobs.engine.tenancy import organization_pks
from django_jobs.management.boot import told_plainly
from django_jobs.models import FileDeletion

MAX_DAYS = 36_500


class Command(BaseCommand):
    help = (
        "Deletes jobs that ended long ago, with their logs and files. With --organization: all ended jobs of that "
        "organization, also of one that has been deleted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=float, metavar="N", help="Ended more than N days ago (RETENTION_DAYS).")
        parser.add_argument("--organization", metavar="ID", help="Erase the ended jobs of this organization.")

    def handle(self, *args: Any, **options: Any) -> None:
        days, organization = options["days"], options["organization"]
        if days is not None and not 0 <= days <= MAX_DAYS:
            raise CommandError(f"--days must be between 0 and {MAX_DAYS}.")
        with told_plainly():
            self._prune(days, organization)

    def _prune(self, days: float | None, organization: str | None) -> None:
        pks: list[Any] = [None] if organization is None else organization_pks(organization)
        if not pks:
            raise CommandError(f"There is no organization {organization!r}, and no job that remembers it.")
        count = sum(prune(Pruner(days, pk)) for pk in pks)
        self.stdout.write(f"{count} jobs deleted.")
        Sweep().step()
        if left := FileDeletion.objects.using(database.alias()).count():
            self.stdout.write(f"The files of {left} jobs could not be deleted; the scheduler tries again.")
        if organization is not None and has_jobs(organization_id__in=pks):
            self.stdout.write("The others stay: they have not ended, are needed by such, or ended too recently.")


def prune(pruner: Pruner) -> int:
    """One whole pass; how many jobs went."""
    total = 0
    while count := pruner.prune_batch():
        total += count
    return total
