"""``manage.py jobs_cancel``: cancel jobs that wait, and ask those that run to stop."""

from __future__ import annotations

from typing import Any, Final

from django.core.management.base import CommandParser

from django_jobs.engine.control import operations
from django_jobs.engine.insight.filter import ALL, LIST_TERMS
from django_jobs.management.jobs import NamedJobsCommand
from django_jobs.management.shell import acting_user, usage
from django_jobs.management.switches import find_operation
from django_jobs.models import Operation
from django_jobs.texts import say

#: Options that say nothing of an operation that is stopped: who gives them means something else.
OF_JOBS: Final = (*LIST_TERMS, ALL, "rate", "wait", "dry_run")


class Command(NamedJobsCommand):
    help = (
        "Cancels jobs that wait and asks those that run to stop: by their ids, or all that match a filter, in the "
        "background. One that is canceled already is no error. Exit codes: docs/commands.md."
    )
    action = Operation.Action.CANCEL

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--stop-operation", metavar="N", help="Stop the operation with this number; what it did stays done."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["stop_operation"] is None:
            super().handle(*args, **options)
            return
        if options["ids"] or any(options[name] not in (None, False) for name in OF_JOBS):
            text = "--stop-operation takes --user alone: no ids, no filter, no --rate, --wait or --dry-run."
            raise usage(say(text, code="takes_nothing_else"))
        user = acting_user(options["user"])
        operation = find_operation(options["stop_operation"], user)
        result = "stopped" if operations.stop(operation, user=user) else "unchanged"
        facts = {"operation": operation.pk, "result": result, "state": str(operation.state)}
        self.say(facts, f"operation {operation.pk}: {result}")
