"""Commands about jobs that are named by their ids or by filters, and waiting for what they do."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

from django.core.management.base import CommandParser

from django_jobs.engine.control import operations
from django_jobs.engine.control.acts import ASKED, JOB_ACTS, REFUSED, UNCHANGED, UNKNOWN, Action, ActOutcome, act
from django_jobs.engine.control.batches import act_on_batch
from django_jobs.engine.control.operations import OperationRequest, describe_operations
from django_jobs.engine.insight.filter import ALL, LIST_TERMS, STATUSES, JobFilter, Term
from django_jobs.engine.insight.inspection import leader
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.store import database
from django_jobs.exceptions import InvalidOperation
from django_jobs.management.shell import (
    ExitCode,
    Refused,
    ShellCommand,
    acting_user,
    add_user,
    confirm,
    find_types,
    read_ids,
    refusal_of,
    usage,
)
from django_jobs.models import Operation
from django_jobs.models.batch import parse_batch_id
from django_jobs.statuses import Status
from django_jobs.texts import code_of, in_english, said, say
from django_jobs.values import OperationStatus

# What ``jobs_cancel`` and ``jobs_retry`` share: jobs and batches by their ids, or all jobs that a filter names.


#: Outcomes that people are told one by one.
MAX_TOLD: Final = 20
NOT_DONE: Final = (REFUSED, UNKNOWN)
#: Seconds between two looks at an operation.
PAUSE_SECONDS: Final = 1.0
#: Options that say how an operation goes.
OPERATION: Final = ("rate", "stop_above", "try_first")


class NamedJobsCommand(ShellCommand):
    """A command that does one thing to jobs."""

    action: ClassVar[str]
    #: The status that is meant where a filter says none.
    default_status: ClassVar[str | None] = None
    #: Whether it asks before it acts on all jobs that a filter names.
    asks: ClassVar[bool] = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="*", metavar="ID", help="Jobs or batches; - reads ids from standard input.")
        add_filters(parser, JOB_ACTS[self.action].statuses, self.default_status)
        parser.add_argument("--rate", type=int, metavar="N", help="With a filter: so many jobs a minute.")
        parser.add_argument("--wait", action="store_true", help="With a filter: wait until all have ended, and tell.")
        parser.add_argument("--dry-run", action="store_true", help="Only say what would be done.")
        parser.add_argument("--yes", action="store_true", help="With a filter: do not ask before it is done.")
        if JOB_ACTS[self.action].runs:
            text = "With a filter: stop when a larger share of them fails, such as 0.2."
            parser.add_argument("--stop-above", type=float, metavar="SHARE", help=text)
            text = "With a filter: do one, and the others when it has completed."
            parser.add_argument("--try-first", action="store_true", help=text)
        add_user(parser)

    @property
    def hint(self) -> str:  # type: ignore[override]
        return f". {known_filters()}"

    def handle(self, *args: Any, **options: Any) -> None:
        user, given = acting_user(options["user"]), given_filters(options, self.default_status)
        if options["ids"]:
            self._do_named(options, given, user)
            return
        try:
            self._do_matching(options, given, user)
        except InvalidOperation as error:
            raise refused_operation(error) from error

    def _do_matching(self, options: dict[str, Any], given: dict[str, Any], user: Any) -> None:
        if not given:
            text = "Name jobs by their ids or by a filter, or say --all. %(filters)s"
            raise usage(say(text, code="names_nothing", filters=known_filters()))
        if user is None:  # a user is not told of types, which may be of what they must not know
            names = [name for name in given.get("job_type", ()) if name.strip() and is_storable_text(name)]
            list(find_types(names, user))
        how = {name: options[name] for name in OPERATION if name in options}
        asked = OperationRequest(action=self.action, filters=JobFilter.read(given, user), **how)
        if options["dry_run"]:
            found = operations.estimate(asked, user=user)
            facts = {"count": found.count, "count_capped": found.count_capped, "eta_seconds": found.eta_seconds}
            self.say(facts, f"{self._would_be(found)}, in about {found.eta_seconds:,.0f} s.")
            return
        if self.asks:
            confirm(self, self._would_be(operations.estimate(asked, user=user)), is_agreed=options["yes"])
        operation = operations.start_operation(asked, user=user)
        self._tell(describe_operations([operation], user)[0])
        if options["wait"]:
            self._wait(operation, user)

    def _would_be(self, found: operations.Estimate) -> str:
        """Return how many jobs it would act on, in words."""
        more = "more than " if found.count_capped else ""
        jobs = "job" if found.count == 1 else "jobs"
        return f"{more}{found.count:,} {jobs} would be {JOB_ACTS[self.action].done}"

    def _tell(self, found: OperationStatus) -> None:
        self.say(found.as_dict(), in_a_line(found))

    def _wait(self, operation: Operation, user: Any) -> None:
        """Tell how it goes until its jobs have ended. Raise Refused where it does not come to its end."""
        last = ""
        has_warned = False
        try:
            while not operation.is_settled and operation.state != Operation.State.PAUSED:
                time.sleep(PAUSE_SECONDS)
                operation.refresh_from_db(using=database.alias())
                if not has_warned and not leader(database.now()).is_alive:
                    self.stderr.write("No scheduler is alive: nothing happens until one is.")
                    has_warned = True
                found = describe_operations([operation], user)[0]
                if (text := in_a_line(found)) != last:
                    self._tell(found)
                    last = text
        except KeyboardInterrupt:
            text = say("Operation %(operation)d goes on without being watched.", operation=operation.pk)
            raise Refused(text, code="interrupted", returncode=ExitCode.NOT_AWAITED) from None
        if operation.state != Operation.State.DONE:
            reason = in_english(Operation.Reason(operation.reason).label) if operation.reason else ""
            told = " ".join(filter(None, [f"It is {operation.state}.", reason, operation.note]))
            raise Refused(told, code=f"operation_{operation.state}", returncode=ExitCode.NOT_FINISHED)

    def _do_named(self, options: dict[str, Any], given: dict[str, Any], user: Any) -> None:
        if given or options["wait"] or any(options.get(name) not in (None, False) for name in OPERATION):
            text = "Name jobs by their ids or by a filter, not by both; --rate, --wait and the like go with a filter."
            raise usage(say(text, code="named_twice"))
        ids = read_ids(options["ids"])
        if not ids:
            raise usage(say("There is no id on the standard input.", code="no_ids"))
        is_trial = options["dry_run"]
        is_batch = {item: parse_batch_id(item) is not None for item in ids}
        if is_trial and any(is_batch.values()):
            raise usage(say("--dry-run looks at jobs alone, not at batches.", code="jobs_alone"))
        found = act(self.action, [item for item in ids if not is_batch[item]], user=user, is_trial=is_trial)
        found += [act_on_batch(self.action, item, user=user) for item in ids if is_batch[item]]
        counts = Counter(item.result for item in found)
        done = (JOB_ACTS[self.action].done, *([ASKED] if self.action == Action.CANCEL else []))
        by_result = {name: counts[name] for name in (*done, UNCHANGED, *NOT_DONE)}
        jobs = [{"id": x.name, "result": x.result, "status": x.status, "reason": _reason(x)} for x in found]
        if self.as_json or len(found) > 1 or found[0].result not in NOT_DONE:  # else the error says it
            self.say({"dry_run": is_trial, **by_result, "jobs": jobs}, _in_lines(found, by_result, is_trial=is_trial))
        _refuse(found)


def _refuse(found: Sequence[ActOutcome]) -> None:
    """Raise Refused where something was not done: with the code of wrong arguments if all names are unknown."""
    missed = [item for item in found if item.result in NOT_DONE]
    if not missed:
        return
    text = _reason(next((item for item in missed if item.result == REFUSED), missed[0]))
    if len(found) > 1:
        count = f"{len(missed):,} of {len(found):,}"
        text = say("Not done to %(count)s: %(reason)s", code=code_of(text), count=count, reason=text)
    if all(item.result == UNKNOWN for item in found):
        raise Refused(text, code="unknown_name", returncode=ExitCode.USAGE)
    raise Refused(text, code="partly_done" if len(missed) < len(found) else "refused")


def _in_lines(found: Sequence[ActOutcome], by_result: dict[str, int], *, is_trial: bool) -> str:
    shown = found if len(found) <= MAX_TOLD else [item for item in found if item.result in NOT_DONE][:MAX_TOLD]
    lines = [f"{item.name}: {_in_words(item)}" for item in shown]
    if len(found) > 1:
        would = "It would be so: " if is_trial else ""
        counted = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in by_result.items() if count)
        lines.append(f"{would}{counted}.")
    return "\n".join(lines)


def _reason(item: ActOutcome) -> str:
    return "" if item.error is None else said(item.error)


def _in_words(item: ActOutcome) -> str:
    status = f" ({item.status})" if item.status else ""
    return _reason(item) or f"{item.result.replace('_', ' ')}{status}"


# Options that name jobs by what they have in common: the filters of REST, for each command that acts on many.


def add_filters(parser: Any, statuses: Iterable[str], default: str | None = None) -> None:
    """Add the options, for jobs in these statuses; ``default`` is the one that is meant where none is given."""
    which = parser.add_argument_group("which jobs", "The names are those of the filters of REST.")
    for name, term in LIST_TERMS.items():
        _add_filter(which, name, term, sorted(map(str, statuses)), default)
    which.add_argument("--all", action="store_true", help="All of them, where no other option names any.")


def _add_filter(parser: Any, name: str, term: Term, statuses: list[str], default: str | None) -> None:
    kind = term.kind
    by_default = f", by default {default}" if kind == STATUSES and default else ""
    parser.add_argument(
        *map(_option, filter(None, [name, term.short])),
        dest=name,
        action="append" if kind.is_repeated else "store",
        choices=statuses if kind == STATUSES else None,
        metavar=kind.metavar,
        help=f"{term.help}{by_default}{'; may be repeated' if kind.is_repeated else ''}.",
    )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def given_filters(options: dict[str, Any], default: str | None = None) -> dict[str, Any]:
    """Return the filter as the options give it, empty where they give none.

    ``default`` is the status that is meant where another option is given, and no status.
    """
    given = {name: options[name] for name in LIST_TERMS if options[name] is not None}
    if options[ALL]:
        given[ALL] = True
    if given and default:
        given.setdefault("status", [default])
    return given


def refused_operation(error: InvalidOperation) -> Refused:
    """Return what a command says of an operation that cannot be, in the words of its options.

    The exit code is that of wrong arguments where something is wrong with the options.
    """
    parts = [
        f"{'' if name == 'filters' else f'{_option(name)}: '}{' '.join(map(str, texts))}"
        for name, texts in error.errors.items()
    ]
    reason = next(iter(error.codes.values()))[0]
    is_refused = reason == "nothing_matches"
    return Refused(
        say("%(text)s", code=reason, text=" ".join(parts)),
        code="nothing_matches" if is_refused else "invalid_operation",
        returncode=ExitCode.REFUSED if is_refused else ExitCode.USAGE,
        did_you_mean=[],
        **refusal_of(error).facts,
    )


def known_filters() -> str:
    """Return the sentence that names all options."""
    return f"The filters are {', '.join(map(_option, LIST_TERMS))}."


# How an operation is told in a line.


def in_a_line(found: OperationStatus) -> str:
    """Return how far it has come, in a line."""
    total = f"{found.count:,}{'+' if found.count_capped else ''}"
    done = JOB_ACTS[found.action].done
    refused = "".join(f", {count:,} not ({reason})" for reason, count in found.refused.items())
    return f"Operation {found.id} ({found.state}): {found.changed:,} of {total} {done}{_outcome(found)}{refused}."


def _outcome(found: OperationStatus) -> str:
    if found.action == Operation.Action.CANCEL:
        return f", {found.asked_to_stop:,} of them run and were asked to stop" if found.asked_to_stop else ""
    completed = found.outcome.get(Status.COMPLETED, 0)
    died = found.outcome.get(Status.DEAD_LETTER, 0)
    at_least = "" if found.outcome_is_exact or not found.outcome else "at least "
    return f": {at_least}{completed:,} completed, {died:,} died again"
