"""Starting an operation on many jobs from a shell: counting, asking, starting it, and telling how it goes."""

from __future__ import annotations

import time
from typing import Any, Final

from django_jobs.engine.control import operations
from django_jobs.engine.control.operations import OperationRequest, describe_operations
from django_jobs.engine.insight.inspection import leader
from django_jobs.engine.store import database
from django_jobs.exceptions import InvalidOperation
from django_jobs.management import exit_codes
from django_jobs.management.job_filters import fault_in_words
from django_jobs.management.json_answers import JsonAnswers
from django_jobs.management.refusals import Refused
from django_jobs.models import Operation
from django_jobs.statuses import Status
from django_jobs.texts import in_english, say
from django_jobs.values import OperationStatus

PAUSE_SECONDS: Final = 1.0
#: What was done to the jobs.
DONE: Final = {Operation.Action.RETRY: "retried", Operation.Action.CANCEL: "canceled"}


class OperationRun:
    """An operation that a command starts, in the name of a user or of server code."""

    def __init__(self, command: JsonAnswers, asked: OperationRequest, user: Any = None) -> None:
        self._command = command
        self._asked = asked
        self._user = user

    def estimate(self) -> operations.Estimate:
        """Return how many jobs it would act on. Raises what the engine raises."""
        return operations.estimate(self._asked, user=self._user)

    def tell_estimate(self, found: operations.Estimate) -> None:
        """Tell how many jobs it would act on, and how long it would take."""
        facts = {"count": found.count, "count_capped": found.count_capped, "eta_seconds": found.eta_seconds}
        self._command.say(facts, f"{self.would_be(found)}, in about {found.eta_seconds:,.0f} s.")

    def would_be(self, found: operations.Estimate) -> str:
        """Return how many jobs it would act on, in words."""
        more = "more than " if found.count_capped else ""
        jobs = "job" if found.count == 1 else "jobs"
        return f"{more}{found.count:,} {jobs} would be {DONE[Operation.Action(self._asked.action)]}"

    def start(self) -> Operation:
        """Start it, and tell that. Raises what the engine raises."""
        operation = operations.start_operation(self._asked, user=self._user)
        self._tell(operation)
        return operation

    def wait(self, operation: Operation) -> None:
        """Tell how it goes until its jobs have ended. Raise Refused where it does not come to its end."""
        last = ""
        has_warned = False
        try:
            while not operation.is_settled and operation.state != Operation.State.PAUSED:
                time.sleep(PAUSE_SECONDS)
                operation.refresh_from_db(using=database.alias())
                if not has_warned and not leader(database.now()).is_alive:
                    self._command.stderr.write("No scheduler is alive: nothing happens until one is.")
                    has_warned = True
                if (text := in_a_line(self._status(operation))) != last:
                    self._tell(operation)
                    last = text
        except KeyboardInterrupt:
            text = say("Operation %(operation)d goes on without being watched.", operation=operation.pk)
            raise Refused(text, code="interrupted", returncode=exit_codes.NOT_AWAITED) from None
        if operation.state != Operation.State.DONE:
            reason = in_english(Operation.Reason(operation.reason).label) if operation.reason else ""
            told = " ".join(filter(None, [f"It is {operation.state}.", reason, operation.note]))
            raise Refused(told, code=f"operation_{operation.state}", returncode=exit_codes.NOT_FINISHED)

    def _tell(self, operation: Operation) -> None:
        found = self._status(operation)
        self._command.say(found.as_dict(), in_a_line(found))

    def _status(self, operation: Operation) -> OperationStatus:
        return describe_operations([operation], self._user)[0]


def refused_operation(error: InvalidOperation, given: dict[str, Any], user: Any = None) -> Refused:
    """Return what a command says of an operation that cannot be.

    The exit code is that of wrong arguments where a name is not there, or something is wrong with the options.
    """
    text, meant = fault_in_words(error, given, user)
    is_refused = text.code == "nothing_matches"
    fields = {name: [str(item) for item in texts] for name, texts in error.errors.items()}
    returncode = exit_codes.REFUSED if is_refused else exit_codes.USAGE
    word = "nothing_matches" if is_refused else "invalid_operation"
    return Refused(text, code=word, returncode=returncode, fields=fields, did_you_mean=meant)


def in_a_line(found: OperationStatus) -> str:
    """Return how far it has come, in a line."""
    total = f"{found.count:,}{'+' if found.count_capped else ''}"
    done = DONE.get(Operation.Action(found.action), "changed")
    refused = "".join(f", {count:,} not ({reason})" for reason, count in found.refused.items())
    return f"Operation {found.id} ({found.state}): {found.changed:,} of {total} {done}{_outcome(found)}{refused}."


def _outcome(found: OperationStatus) -> str:
    if found.action == Operation.Action.CANCEL:
        return f", {found.asked_to_stop:,} of them run and were asked to stop" if found.asked_to_stop else ""
    completed = found.outcome.get(Status.COMPLETED, 0)
    died = found.outcome.get(Status.DEAD_LETTER, 0)
    at_least = "" if found.outcome_is_exact or not found.outcome else "at least "
    return f": {at_least}{completed:,} completed, {died:,} died again"
