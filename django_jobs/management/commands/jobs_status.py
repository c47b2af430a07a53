"""``manage.py jobs_status``: show what waits, what runs and who works, once or again and again."""

from __future__ import annotations

import time
from typing import Any, Final

from django.core.management.base import CommandParser
from django.db import Error

from django_jobs.engine.alerts.reading import read_all_alerts
from django_jobs.engine.alerts.telling import plain_text
from django_jobs.engine.insight.inspection import snapshot
from django_jobs.engine.store import database
from django_jobs.management.shell import ShellCommand

PAUSE_SECONDS = 2.0
CLEAR_SCREEN = "\x1b[H\x1b[2J"


class Command(ShellCommand):
    help = "Shows what waits, what runs, who works and whether the scheduler ticks."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--watch", action="store_true", help="Show it again every two seconds, until Ctrl+C.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["watch"]:
            self._watch()
        else:
            self.say(status_facts())

    def _watch(self) -> None:
        try:
            while not self.is_unread:
                facts = look()
                if self.stdout.isatty() and not self.as_json:
                    self.stdout.write(CLEAR_SCREEN, ending="")
                self.say(facts)
                time.sleep(PAUSE_SECONDS)
        except KeyboardInterrupt:
            return


def look() -> dict[str, Any]:
    """Return the state. If the database is away, return that; the next call asks it again."""
    database.mend_connections()
    try:
        return status_facts()
    except Error as error:
        text = f"The database cannot be read ({type(error).__name__})."
        return {"error": {"code": "unavailable", "message": text}}


# What it tells: to programs as it is, to people in lines and tables. Times are in UTC.


#: Alarms that are told one by one.
MAX_HELD: Final = 20


def status_facts() -> dict[str, Any]:
    """Return the answer, as it is now."""
    return snapshot() | {"alarms": _alarms()}


def _alarms() -> list[dict[str, Any]]:
    found = read_all_alerts()
    return [
        {"rule": alert.rule, "subject": alert.subject, "since": alert.since, "text": plain_text(alert, found.moment)}
        for alert in found.open[:MAX_HELD]
    ]
