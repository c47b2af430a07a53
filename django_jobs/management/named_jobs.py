"""What ``jobs_cancel`` and ``jobs_retry`` share: jobs and batches by their ids, or all jobs that a filter names."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Final

from django.core.management.base import CommandParser

from django_jobs.engine.control.named_jobs import PAGE, REFUSED, UNCHANGED, UNKNOWN, NamedOutcome
from django_jobs.engine.control.operations import OperationRequest
from django_jobs.engine.insight.filter import read_filter
from django_jobs.exceptions import InvalidOperation, JobsError
from django_jobs.management import exit_codes
from django_jobs.management.base import told_plainly
from django_jobs.management.given_ids import read_ids
from django_jobs.management.job_filters import add_filters, given_filters, known_filters
from django_jobs.management.json_answers import ShellCommand
from django_jobs.management.operation_runs import OperationRun, refused_operation
from django_jobs.management.people import acting_user, add_user, confirm
from django_jobs.management.refusals import Refused, quoted, refusal_of, usage
from django_jobs.models.batch import parse_batch_id
from django_jobs.texts import code_of, say

#: Outcomes that people are told one by one.
MAX_TOLD: Final = 20
NOT_DONE: Final = (REFUSED, UNKNOWN)


class NamedJobsCommand(ShellCommand):
    """A command that does one thing to jobs. ``results`` are what becomes of them, in the order in which it is told."""

    action: ClassVar[str]
    results: ClassVar[tuple[str, ...]]
    statuses: ClassVar[frozenset[Any]]
    default_status: ClassVar[str | None] = None
    act: ClassVar[Callable[..., list[NamedOutcome]]]
    act_on_batch: ClassVar[Callable[..., NamedOutcome]]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="*", metavar="ID", help="Jobs or batches; - reads ids from standard input.")
        add_filters(parser, self.statuses, self.default_status)
        parser.add_argument("--rate", type=int, metavar="N", help="With a filter: so many jobs a minute.")
        parser.add_argument("--wait", action="store_true", help="With a filter: wait until all have ended, and tell.")
        parser.add_argument("--dry-run", action="store_true", help="Only say what would be done.")
        parser.add_argument("--yes", action="store_true", help="With a filter: do not ask before it is done.")
        add_user(parser)

    def hint_for(self, message: str) -> str:
        return f". {known_filters()}" if "unrecognized" in message else ""

    def handle(self, *args: Any, **options: Any) -> None:
        given: dict[str, Any] = {}
        with told_plainly():
            user = acting_user(options["user"])
            try:
                given = given_filters(options, self.default_status)
                if options["ids"]:
                    self._do_named(options, given, user)
                else:
                    self._do_matching(options, given, user)
            except InvalidOperation as error:
                raise refused_operation(error, given, user) from error
            except JobsError as error:
                raise refusal_of(error) from error

    def _do_matching(self, options: dict[str, Any], given: dict[str, Any], user: Any) -> None:
        if not given:
            text = "Name jobs by their ids or by a filter, or say --all. %(filters)s"
            raise usage(say(text, code="names_nothing", filters=known_filters()))
        filters = read_filter(given, user)
        run = OperationRun(self, OperationRequest(action=self.action, filters=filters, rate=options["rate"]), user)
        found = run.estimate()
        if options["dry_run"]:
            run.tell_estimate(found)
            return
        confirm(self, run.would_be(found), is_agreed=options["yes"])
        operation = run.start()
        if options["wait"]:
            run.wait(operation)

    def _do_named(self, options: dict[str, Any], given: dict[str, Any], user: Any) -> None:
        if given or options["rate"] is not None or options["wait"]:
            text = "Name jobs by their ids or by a filter, not by both; --rate and --wait go with a filter."
            raise usage(say(text, code="named_twice"))
        ids = read_ids(options["ids"])
        if not ids:
            raise usage(say("There is no id on the standard input.", code="no_ids"))
        is_trial = options["dry_run"]
        if is_trial and any(parse_batch_id(item) is not None for item in ids):
            raise usage(say("--dry-run looks at jobs alone, not at batches.", code="jobs_alone"))
        found = list(self._outcomes(ids, user, is_trial=is_trial))
        counts = Counter(item.result for item in found)
        by_result = {name: counts[name] for name in (*self.results, UNCHANGED, *NOT_DONE)}
        jobs = [{"id": x.job_id, "result": x.result, "status": x.status, "reason": x.reason} for x in found]
        if self.as_json or len(found) > 1 or found[0].result not in NOT_DONE:  # else the error says it
            self.say({"dry_run": is_trial, **by_result, "jobs": jobs}, _in_lines(found, by_result, is_trial=is_trial))
        self._refuse(found, counts)

    def _outcomes(self, ids: Sequence[str], user: Any, *, is_trial: bool) -> Iterator[NamedOutcome]:
        """Yield what becomes of each, page by page: the jobs of a page, and then its batches."""
        pending = iter(ids)
        while page := list(itertools.islice(pending, PAGE)):
            batches = [item for item in page if parse_batch_id(item) is not None]
            jobs = [item for item in page if item not in set(batches)]
            yield from type(self).act(jobs, user=user, is_trial=is_trial) if jobs else ()
            for batch_id in batches:
                yield type(self).act_on_batch(batch_id, user=user)

    def _refuse(self, found: Sequence[NamedOutcome], counts: Counter[str]) -> None:
        """Raise Refused where something was not done: with the code of wrong arguments if all names are unknown."""
        missed = sum(counts[name] for name in NOT_DONE)
        if not missed:
            return
        unknown = [item.job_id for item in found if item.result == UNKNOWN]
        what = "batch" if unknown and parse_batch_id(unknown[0]) is not None else "job"
        first = f"No {what} {quoted(unknown[0])}." if unknown else ""
        unknown_code = f"unknown_{what}"
        if len(unknown) == len(found):
            text = first if len(found) == 1 else f"None of the {len(found):,} ids is there: {first}"
            text = say("%(text)s", code=unknown_code, text=text)
            raise Refused(text, code="unknown_name", returncode=exit_codes.USAGE)
        reason = next((item.reason for item in found if item.result == REFUSED), first)
        text = reason if len(found) == 1 else f"Not done to {missed:,} of {len(found):,}: {reason}"
        text = say("%(text)s", code=code_of(reason, unknown_code), text=text)
        raise Refused(text, code="partly_done" if missed < len(found) else "refused")


def _in_lines(found: Sequence[NamedOutcome], by_result: dict[str, int], *, is_trial: bool) -> str:
    shown = found if len(found) <= MAX_TOLD else [item for item in found if item.result in NOT_DONE][:MAX_TOLD]
    lines = [f"{item.job_id}: {_in_words(item)}" for item in shown]
    if len(found) > 1:
        would = "It would be so: " if is_trial else ""
        counted = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in by_result.items() if count)
        lines.append(f"{would}{counted}.")
    return "\n".join(lines)


def _in_words(item: NamedOutcome) -> str:
    if item.result == UNKNOWN:
        return "there is no such job or batch"
    status = f" ({item.status})" if item.status else ""
    return item.reason or f"{item.result.replace('_', ' ')}{status}"
