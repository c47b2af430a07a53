"""``manage.py jobs_prune``: delete jobs that ended long ago, or all ended jobs of one organization."""

from __future__ import annotations

import datetime as dt
import logging
import math
from typing import Any

from django.core.management.base import CommandParser

from django_jobs.engine.control import batches
from django_jobs.engine.control.deletion import FileSweep
from django_jobs.engine.control.retention import Pruner
from django_jobs.engine.control.tenants import Meant, erase_jobs, meant_by_id, meant_by_key, measure
from django_jobs.engine.insight.events import on_one_line
from django_jobs.engine.insight.inspection import has_jobs
from django_jobs.engine.schedules.definitions import erase_schedules
from django_jobs.engine.store import database
from django_jobs.management.shell import ShellCommand, confirm, unknown, usage
from django_jobs.models import FileDeletion
from django_jobs.texts import say

logger = logging.getLogger("django_jobs")

MAX_DAYS = 36_500
DAYS_HELP = (
    "Ended more than N days ago (RETENTION_DAYS). A job type that has retention days of its own keeps to them; with "
    "--organization, N counts for all types."
)


class Command(ShellCommand):
    help = (
        "Deletes jobs that ended long ago, with their logs and files. With --organization: all ended jobs of that "
        "organization, also of one that has been deleted; it says what that is, and asks."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=float, metavar="N", help=DAYS_HELP)
        parser.add_argument("--organization", metavar="ID", help="Erase the ended jobs of this organization.")
        parser.add_argument(
            "--organization-pk", metavar="KEY", help="The same by its primary key, where several had the id."
        )
        parser.add_argument("--yes", action="store_true", help="Do not ask before an organization's jobs are erased.")

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["days"]
        if days is not None and not 0 <= days <= MAX_DAYS:
            raise usage(say("--days must be between 0 and %(most)d.", code="out_of_range", most=MAX_DAYS))
        if options["organization"] is None and options["organization_pk"] is None:
            self._prune(days, None, "all")
            return
        meant = self._find(days, options["organization"], options["organization_pk"])
        self._confirm(meant, days, is_agreed=options["yes"])
        self._prune(days, meant.pk, str(meant))
        if not meant.is_living:
            erase_schedules(meant.pk)
            batches.erase_batches(meant.pk)

    def _find(self, days: float | None, organization: str | None, key: str | None) -> Meant:
        """Return the one organization that is meant.

        Raise Refused with all that could be meant if they are several.
        """
        if key is not None:
            return _by_key(key, organization)
        found = meant_by_id(str(organization))
        if not found:
            raise unknown("organization", str(organization))
        if len(found) > 1:
            lines = [f"  {item}: {measure(item.pk, _cutoff(days))}." for item in found]
            text = say(
                "Several organizations had the id %(name)r; nothing was erased. Say which one by its key, with "
                "--organization-pk:\n%(each)s",
                code="ambiguous",
                name=organization,
                each="\n".join(lines),
            )
            raise usage(text)
        return found[0]

    def _confirm(self, meant: Meant, days: float | None, *, is_agreed: bool) -> None:
        """Say what will be deleted, and raise Refused unless the answer is yes."""
        # What programs read has stdout to itself.
        out = self.stderr if self.as_json else self.stdout
        count = measure(meant.pk, _cutoff(days))
        out.write(f"To be erased, of {meant}: {count}.", lambda line: line)
        if meant.is_living:
            out.write("This organization exists: its members lose these jobs and files.", lambda line: line)
        out.flush()
        confirm(self, f"{count.jobs:,} ended jobs would be erased for ever", is_agreed=is_agreed)

    def _prune(self, days: float | None, organization_pk: Any, whose: str) -> None:
        erases = organization_pk is not None
        count = erase_jobs(organization_pk, _cutoff(days)) if erases else Pruner(days).prune(math.inf)
        logger.info("event=jobs_deleted count=%s organization=%s by=jobs_prune", count, on_one_line(whose))
        FileSweep().step()
        left = FileDeletion.primary.count()
        stays = erases and has_jobs(organization_id=organization_pk)
        facts = {"deleted": count, "organization": whose if erases else None, "files_left": left, "others_stay": stays}
        self.say(facts)


def _by_key(key: str, organization: str | None) -> Meant:
    found = meant_by_key(key)
    if found is None:
        raise unknown("organization", key)
    if organization is not None and organization not in found.ids:
        text = "Nothing was erased: the key %(key)s is that of %(found)s, not of %(name)r."
        raise usage(say(text, code="another_organization", key=key, found=str(found), name=organization))
    return found


def _cutoff(days: float | None) -> dt.datetime | None:
    return None if days is None else database.now() - dt.timedelta(days=days)
