"""``manage.py jobs_replay``: retry all jobs that match, at a rate, and tell what became of them."""

from __future__ import annotations

from typing import Any, Final

from django.core.management.base import CommandParser

from django_jobs.engine.control.operations import OperationRequest
from django_jobs.engine.insight.filter import read_filter
from django_jobs.exceptions import InvalidOperation
from django_jobs.management.jobs import OperationRun, add_filters, given_filters, known_filters, refused_operation
from django_jobs.management.shell import ShellCommand, told_plainly
from django_jobs.models import Operation
from django_jobs.statuses import RETRYABLE_BY_HAND, Status

DEFAULT_STATUS: Final = str(Status.DEAD_LETTER)


class Command(ShellCommand):
    help = (
        "Retries all jobs that match, in the background: the scheduler works them off. Exit codes: 0 started (with "
        "--wait: came to its end), 1 nothing matches, 2 wrong arguments, or paused or stopped meanwhile, 3 the "
        "database is away, 4 no longer waited for."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_filters(parser, RETRYABLE_BY_HAND, DEFAULT_STATUS)
        parser.add_argument("--rate", type=int, metavar="N", help="Jobs a minute; by default as fast as it goes.")
        parser.add_argument(
            "--stop-above", type=float, metavar="SHARE", help="Stop when a larger share of them fails, such as 0.2."
        )
        parser.add_argument("--try-first", action="store_true", help="Retry one, and the others when it has completed.")
        parser.add_argument("--dry-run", action="store_true", help="Only count them.")
        parser.add_argument("--wait", action="store_true", help="Wait until all of them have ended, and tell.")

    def hint_for(self, message: str) -> str:
        return f". {known_filters()}" if "unrecognized" in message else ""

    def handle(self, *args: Any, **options: Any) -> None:
        given: dict[str, Any] = {}
        with told_plainly():
            try:
                given = given_filters(options, DEFAULT_STATUS)
                run = OperationRun(self, _asked(given, options))
                if options["dry_run"]:
                    run.tell_estimate(run.estimate())
                    return
                operation = run.start()
            except InvalidOperation as error:
                raise refused_operation(error, given) from error
            if options["wait"]:
                run.wait(operation)


def _asked(given: dict[str, Any], options: dict[str, Any]) -> OperationRequest:
    return OperationRequest(
        action=Operation.Action.RETRY,
        filters=read_filter(given),
        rate=options["rate"],
        stop_above=options["stop_above"],
        try_first=options["try_first"],
    )
