"""``manage.py jobs_replay``: retry all jobs that match, at a rate, and tell what became of them."""

from __future__ import annotations

import json
import time
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any, Final, NoReturn

from django.core.management.base import CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import translation

from django_jobs.engine.control import operations
from django_jobs.engine.control.operation_status import describe_operations
from django_jobs.engine.english import in_english
from django_jobs.engine.insight.filter_terms import (
    CHOICE,
    JOB_IDS,
    KEYS,
    MOMENT,
    NAMES,
    NUMBER,
    PARAMETERS,
    PRIORITIES,
    STATUSES,
    TEXT,
    Kind,
)
from django_jobs.engine.insight.inspection import leader
from django_jobs.engine.insight.job_filter import NAMES_OUTSIDE, ORGANIZATION, TERMS, JobFilter
from django_jobs.engine.store import database
from django_jobs.exceptions import InvalidOperation
from django_jobs.management.base import JobsCommand, told_plainly
from django_jobs.models import Operation
from django_jobs.statuses import RETRYABLE_BY_HAND, Status
from django_jobs.values import OperationStatus


def _yes_or_no(text: str) -> bool:
    if text.lower() not in ("yes", "no"):
        raise ArgumentTypeError("use yes or no")
    return text.lower() == "yes"


PAUSE_SECONDS: Final = 1.0
#: The exit code of one that was waited for, and was paused or stopped before it came to its end.
NOT_DONE: Final = 2
ALL: Final = "all"
FILTERS: Final = tuple(name for name in NAMES_OUTSIDE if name != ALL)
_KINDS: Final = {term.name: term.kind for term in TERMS.values()} | {ORGANIZATION: KEYS}
#: Other names of options.
ALSO: Final = {"job_type": "--type", "error_fingerprint": "--fingerprint"}
#: What each option is for, by the name of its filter; the names are those of REST.
HELP: Final = {
    "status": "In this status, by default Dead Letter",
    "job_type": "Of this job type",
    "organization": "Of this organization",
    "priority": "Of this priority",
    "owner": "Of this user",
    "job_id": "This job, such as JOB-2026-00001",
    "batch": "Of this batch",
    "created_after": "Submitted at this moment or later, such as 2026-01-31T08:00:00Z",
    "created_before": "Submitted before this moment",
    "error_fingerprint": "With this kind of error; blank: errors without a text",
    "fingerprint_start": "With a kind of error whose fingerprint begins so",
    "error": "Whose error contains this text",
    "has_error": "Which have an error, or have none",
    "pool": "Of the types of this pool",
    "schedule": "Which this schedule submitted",
    "worker": "Whose latest worker has this name, or one that begins so",
    "submitted_by": "Which the handler of the job with this number submitted",
    "operation": "Which the operation with this number acted on last",
    "parameters": "With this value of a parameter",
    "search": "This job, or whose error contains this text",
}
METAVARS: Final = {NUMBER: "N", CHOICE: "yes|no", PARAMETERS: "NAME:VALUE", MOMENT: "MOMENT"}
READERS: Final[dict[Kind, Callable[[str], Any]]] = {NUMBER: int, CHOICE: _yes_or_no}
#: The kinds of values of which an option may have several, by being repeated.
REPEATED: Final = (STATUSES, NAMES, KEYS, PRIORITIES, JOB_IDS, PARAMETERS)
MAY_BE_BLANK: Final = ("error_fingerprint",)
FIELDS: Final = {"filters": "the filter", "rate": "--rate", "stop_above": "--stop-above"}


class Command(JobsCommand):
    help = (
        "Retries all jobs that match, in the background: the scheduler works them off. Exit codes: 0 started (with "
        "--wait: came to its end), 1 refused, 2 paused or stopped while --wait waited."
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        tell = parser.error

        def error(message: str) -> NoReturn:
            tell(f"{message}. {_known()}" if "unrecognized" in message else message)
            raise AssertionError  # the parser's own has raised or left

        parser.error = error  # type: ignore[method-assign]
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_argument_group("which jobs", "The names are those of the filters of REST.")
        for name in FILTERS:
            _add_filter(which, name)
        which.add_argument("--all", action="store_true", help="All of them, where no other option names any.")
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
        # Our commands speak English, also what they quote of refusals that pages show in their language.
        with told_plainly(), translation.override(None):
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


def _add_filter(parser: Any, name: str) -> None:
    """Add the option of a filter."""
    kind = _KINDS.get(name, TEXT)
    is_repeated = kind in REPEATED
    parser.add_argument(
        *filter(None, [_option(name), ALSO.get(name)]),
        dest=name,
        action="append" if is_repeated else "store",
        choices=sorted(RETRYABLE_BY_HAND) if kind == STATUSES else None,
        type=READERS.get(kind, str),
        metavar=METAVARS.get(kind, "TEXT"),
        help=f"{HELP.get(name, name)}{'; may be repeated' if is_repeated else ''}.",
    )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _asked(options: dict[str, Any]) -> operations.Request:
    given = {name: options[name] for name in FILTERS if options[name] is not None}
    # A blank value would ask for nothing, and so retry more than was meant.
    if blank := [name for name, value in given.items() if name not in MAY_BE_BLANK and _is_blank(value)]:
        raise InvalidOperation({name: ["Give a value: a blank one would name all jobs."] for name in blank})
    if options[ALL]:
        given[ALL] = True
    if given:
        given.setdefault("status", [str(Status.DEAD_LETTER)])
    return operations.Request(
        action=Operation.Action.RETRY,
        filters=JobFilter.read(given),
        rate=options["rate"],
        stop_above=options["stop_above"],
        try_first=options["try_first"],
    )


def _is_blank(value: Any) -> bool:
    return any(isinstance(item, str) and not item.strip() for item in (value if isinstance(value, list) else [value]))


def _in_words(error: InvalidOperation) -> str:
    if list(error.errors) == ["filters"] and "all" in str(error):
        return f"Say which jobs, or --all. {_known()}"
    named = {name: FIELDS.get(name) or (_option(name) if name in FILTERS else name) for name in error.errors}
    return " ".join(f"{named[name]}: {' '.join(texts)}" for name, texts in error.errors.items())


def _known() -> str:
    return f"The filters are {', '.join(map(_option, FILTERS))}."
