"""``manage.py jobs_replay``: retry all jobs that match, at a rate, and tell what became of them."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from django.core.management.base import CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from django_jobs.engine.control import operations
from django_jobs.engine.control.operation_status import describe_operations
from django_jobs.engine.english import in_english
from django_jobs.engine.insight.inspection import leader
from django_jobs.engine.insight.job_filter import JobFilter
from django_jobs.engine.store import database
from django_jobs.exceptions import InvalidOperation
from django_jobs.management.base import JobsCommand, told_plainly
from django_jobs.models import Operation
from django_jobs.statuses import RETRYABLE_BY_HAND, Status
from django_jobs.values import OperationStatus

PAUSE_SECONDS: Final = 1.0
#: The exit code of one that was waited for, and was paused or stopped before it came to its end.
NOT_DONE: Final = 2
#: By option: the name of the filter.
FILTERS: Final = {
    "type": "job_type",
    "fingerprint": "error_fingerprint",
    "status": "status",
    "organization": "organization",
    "error": "error",
    "batch": "batch",
    "owner": "owner",
}
FIELDS: Final = {"filters": "the filter", "rate": "--rate", "stop_above": "--stop-above"}


class Command(JobsCommand):
    help = (
        "Retries all jobs that match, in the background: the scheduler works them off. Exit codes: 0 started (with "
        "--wait: came to its end), 1 refused, 2 paused or stopped while --wait waited."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--type", action="append", metavar="TYPE", help="Of this job type; may be repeated.")
        parser.add_argument("--fingerprint", metavar="HASH", help="With this kind of error.")
        parser.add_argument(
            "--status",
            action="append",
            choices=sorted(RETRYABLE_BY_HAND),
            help="In this status; may be repeated. By default Dead Letter.",
        )
        parser.add_argument("--organization", action="append", metavar="ID", help="Of this organization.")
        parser.add_argument("--error", metavar="TEXT", help="Whose error contains this text.")
        parser.add_argument("--batch", metavar="ID", help="Of this batch.")
        parser.add_argument("--owner", metavar="NAME", help="Of this user.")
        parser.add_argument("--all", action="store_true", help="All of them, where no other option names any.")
        parser.add_argument("--rate", type=int, metavar="N", help="Jobs a minute; by default as fast as it goes.")
        parser.add_argument(
            "--stop-above", type=float, metavar="SHARE", help="Stop when a larger share of them fails, such as 0.2."
        )
        parser.add_argument("--try-first", action="store_true", help="Retry one, and the others when it has completed.")
        parser.add_argument("--dry-run", action="store_true", help="Only count them.")
        parser.add_argument("--wait", action="store_true", help="Wait until all of them have ended, and tell.")
        parser.add_argument("--json", action="store_true", help="Tell it as JSON, a line each time.")

    def handle(self, *args: Any, **options: Any) -> None:
        self._as_json = bool(options["json"])
        with told_plainly():
            try:
                asked = _asked(options)
                if options["dry_run"]:
                    self._tell_estimate(operations.estimate(asked))
                    return
                operation = operations.start_operation(asked)
            except InvalidOperation as error:
                raise CommandError(_in_words(error)) from error
            self._tell(operation)
            if (same := _status(operation).same_under_way) is not None:
                self.stderr.write(f"Operation {same} is under way, and does the same to the same jobs.")
            if options["wait"]:
                self._wait(operation)

    def _tell_estimate(self, found: operations.Estimate) -> None:
        facts = {"count": found.count, "count_capped": found.count_capped, "eta_seconds": found.eta_seconds}
        more = "more than " if found.count_capped else ""
        self._say(facts, f"{more}{found.count:,} jobs would be retried, in about {found.eta_seconds:,.0f} s.")

    def _wait(self, operation: Operation) -> None:
        """Tell how it goes until its jobs have ended. Raise CommandError where it does not come to its end."""
        last = ""
        has_warned = False
        try:
            while not operation.is_settled and operation.state != Operation.State.PAUSED:
                time.sleep(PAUSE_SECONDS)
                operation.refresh_from_db(using=database.alias())
                if not has_warned and not leader(database.now()).is_alive:
                    self.stderr.write("No scheduler is alive: nothing happens until one is.")
                    has_warned = True
                if (text := _line(_status(operation))) != last:
                    self._tell(operation)
                    last = text
        except KeyboardInterrupt:
            raise CommandError(f"Operation {operation.pk} goes on without being watched.") from None
        if operation.state != Operation.State.DONE:
            reason = in_english(Operation.Reason(operation.reason).label) if operation.reason else ""
            told = " ".join(filter(None, [f"It is {operation.state}.", reason, operation.note]))
            raise CommandError(told, returncode=NOT_DONE)

    def _tell(self, operation: Operation) -> None:
        found = _status(operation)
        self._say(found.as_dict(), _line(found))

    def _say(self, facts: dict[str, Any], text: str) -> None:
        self.stdout.write(json.dumps(facts, cls=DjangoJSONEncoder) if self._as_json else text)
        self.stdout.flush()


def _status(operation: Operation) -> OperationStatus:
    return describe_operations([operation])[0]


def _line(found: OperationStatus) -> str:
    """Return how far it has come, in a line."""
    total = f"{found.count:,}{'+' if found.count_capped else ''}"
    text = f"Operation {found.id} ({found.state}): {found.changed:,} of {total} retried"
    completed = found.outcome.get(Status.COMPLETED, 0)
    died = found.outcome.get(Status.DEAD_LETTER, 0)
    at_least = "" if found.outcome_is_exact or not found.outcome else "at least "
    refused = "".join(f", {count:,} not ({reason})" for reason, count in found.refused.items())
    return f"{text}: {at_least}{completed:,} completed, {died:,} died again{refused}."


def _asked(options: dict[str, Any]) -> operations.Request:
    given = {name: options[option] for option, name in FILTERS.items() if options[option] is not None}
    if options["all"]:
        given["all"] = True
    if given:
        given.setdefault("status", [str(Status.DEAD_LETTER)])
    return operations.Request(
        action=Operation.Action.RETRY,
        filters=JobFilter.read(given),
        rate=options["rate"],
        stop_above=options["stop_above"],
        try_first=options["try_first"],
    )


def _in_words(error: InvalidOperation) -> str:
    if list(error.errors) == ["filters"] and "all" in str(error):
        return "Say which jobs by an option such as --type, or --all."
    return " ".join(f"{FIELDS.get(name, name)}: {' '.join(texts)}" for name, texts in error.errors.items())
