"""``manage.py jobs_submit``: submit one job, and wait for its end if that is wanted."""

from __future__ import annotations

import datetime as dt
import math
import time
from typing import Any, Final

from django.core.management.base import CommandParser
from django.db import InterfaceError, OperationalError

from django_jobs.engine.dispatch.window import live_workers
from django_jobs.engine.insight.reasons import REASONS, command_for
from django_jobs.engine.insight.search import similar_job_types
from django_jobs.engine.insight.status import describe
from django_jobs.engine.scope import Scope
from django_jobs.engine.store import database
from django_jobs.engine.submission.submit import submit_job
from django_jobs.engine.submission.values import ON_DUPLICATE
from django_jobs.exceptions import InvalidSubmission, JobNotFound
from django_jobs.management.shell import (
    UNKNOWN,
    ExitCode,
    Refused,
    ShellCommand,
    acting_user,
    add_user,
    did_you_mean,
    moment,
    read_object,
    read_parameters,
    refusal_of,
    seconds,
    usage,
)
from django_jobs.models import JobType
from django_jobs.statuses import TERMINAL, Priority, RunAfter, Status
from django_jobs.texts import say
from django_jobs.values import JobStatus

#: Options that are passed on as they are.
PLAIN: Final = (
    *("priority", "run_after", "unique_key", "deduplication_window", "on_duplicate"),
    *("max_retries", "expires_at", "batch", "depends_on"),
)


class Command(ShellCommand):
    help = (
        "Submits one job and tells its id. With --wait: waits for its end; then the exit code is 0 if it completed, "
        "1 if it failed, 5 if it was canceled, and 4 if the time ran out. All exit codes: docs/commands.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job_type", metavar="TYPE", help="The job type's name.")
        parser.add_argument("organization", metavar="ORGANIZATION", help="The id of the organization.")
        parser.add_argument("parameters", nargs="?", metavar="JSON", help="The parameters, an object; - reads stdin.")
        parser.add_argument("--file", metavar="PATH", help="Read the parameters from this file; - is standard input.")
        _add_when(parser)
        _add_how(parser)
        parser.add_argument("--wait", action="store_true", help="Wait for the job's end, and tell how it goes.")
        parser.add_argument(
            "--timeout", type=seconds, metavar="TIME", help="Wait for so long at most; by default as long as it takes."
        )
        add_user(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["timeout"] is not None and not options["wait"]:
            text = "--timeout goes with --wait; how long an attempt may take is --job-timeout."
            raise usage(say(text, code="needs_wait"))
        parameters = read_parameters(options["parameters"], options["file"])
        user, given = acting_user(options["user"]), _given(options)
        try:
            job = submit_job(options["job_type"], options["organization"], parameters, user=user, **given)
        except InvalidSubmission as error:
            raise _refused(error, options, user) from error
        # Whoever may submit is told of it, also where a policy hides the job from them; and no secret is.
        status = describe(Scope().job(job), user=user)
        self._tell_hindrance(status)
        watch = JobWatch(self, status, user)
        try:
            if options["wait"]:
                watch.wait(options["timeout"])
        finally:
            self.say(watch.status.as_dict(), f"{watch.status.job_id} {watch.status.status}")

    def _tell_hindrance(self, status: JobStatus) -> None:
        if command := command_for(status.waiting_for, status.job_type):
            self.note(f"{REASONS[str(status.waiting_for)].long} ({command})")


def _add_when(parser: CommandParser) -> None:
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--delay", type=seconds, metavar="TIME", help="Do not run before so long: 90, 15m, 2h, 1d.")
    when.add_argument("--run-at", type=moment, metavar="MOMENT", help="Do not run before this moment.")
    parser.add_argument("--expires-at", type=moment, metavar="MOMENT", help="Do not start after this moment.")
    parser.add_argument(
        "--depends-on", action="append", metavar="JOB", help="Wait for this job first; may be repeated."
    )
    parser.add_argument("--run-after", choices=RunAfter.values, help="What these must be: completed, or only ended.")


def _add_how(parser: CommandParser) -> None:
    parser.add_argument("--priority", metavar="WORD", help=f"{', '.join(Priority.words())}; by default the type's.")
    parser.add_argument("--unique-key", metavar="TEXT", help="By this, not by the parameters, equal work is known.")
    parser.add_argument("--deduplication-window", type=int, metavar="S", help="For so many seconds it is looked for.")
    parser.add_argument("--on-duplicate", choices=ON_DUPLICATE, help="What happens where equal work is there.")
    parser.add_argument("--job-timeout", type=int, metavar="S", help="Seconds that an attempt may take.")
    parser.add_argument("--max-retries", type=int, metavar="N", help="How often it is tried again.")
    parser.add_argument("--batch", metavar="ID", help="The batch that it counts for.")
    parser.add_argument("--metadata", metavar="JSON", help="An object for correlation ids and the like.")


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords of the submission."""
    found = {name: options[name] for name in PLAIN if options[name] is not None}
    if options["job_timeout"] is not None:
        found["timeout"] = options["job_timeout"]
    if options["metadata"] is not None:
        found["metadata"] = read_object(options["metadata"], "The metadata")
    if options["delay"] is not None:
        found["run_at"] = database.now() + dt.timedelta(seconds=options["delay"])
    elif options["run_at"] is not None:
        found["run_at"] = options["run_at"]
    return found


def _refused(error: InvalidSubmission, options: dict[str, Any], user: Any) -> Refused:
    """Return what is wrong by option, with the job types that may have been meant."""
    refusal = refusal_of(error)
    is_unknown = not UNKNOWN.isdisjoint(error.codes.get("job_type", ()))
    meant = _types_meant(options["job_type"], user) if is_unknown else []
    texts = {name: _said(name, texts) for name, texts in error.errors.items()}
    if is_unknown:
        texts["job_type"] += did_you_mean(meant)
    reason = next((code for codes in error.codes.values() for code in codes), "")
    text = say("%(text)s", code=reason, text=" ".join(texts.values()))
    return Refused(text, code=refusal.code, returncode=refusal.returncode, did_you_mean=meant, **refusal.facts)


def _types_meant(name: str, user: Any) -> list[str]:
    """Return the types that may have been meant, of those that this user may submit."""
    found = similar_job_types(name)
    if user is None:
        return found
    return [kind.pk for kind in Scope(user).submittable(list(JobType.primary.filter(pk__in=found)))]


def _said(field: str, texts: list[str]) -> str:
    text = " ".join(map(str, texts))
    if field in ("job_type", "organization", "parameters"):
        return text
    name = "--job-timeout" if field == "timeout" else f"--{field.replace('_', '-')}"
    # What is wrong with one parameter has its path.
    return f"{field if '.' in field else name}: {text}"


# Waiting at a shell for the end of a job: telling how it goes, and with which exit code the command ends.


FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.5
#: After so many seconds it is said that no worker is alive.
PATIENCE: Final = 3.0
#: How a job is called at the end of which it has ended otherwise than it should.
ENDS: Final = {Status.DEAD_LETTER: ("failed", ExitCode.REFUSED), Status.CANCELED: ("canceled", ExitCode.CANCELED)}


class JobWatch:
    """One wait for one job, whose status is told as ``user`` reads it. The database may be away meanwhile."""

    def __init__(self, command: ShellCommand, status: JobStatus, user: Any = None) -> None:
        self.status = status
        self._command = command
        self._user = user
        self._warns_at = time.monotonic() + PATIENCE
        self._told = ""

    def wait(self, timeout: float | None) -> None:
        """Return once the job has completed. Raise Refused where it ended otherwise, or is no longer waited for."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        pause = FIRST_PAUSE
        try:
            while self.status.status not in TERMINAL:
                left = deadline - time.monotonic()
                if left <= 0:
                    text = f"did not end in {timeout:g} s; it is {self.status.status}."
                    raise self._refused("timed_out", text, ExitCode.NOT_AWAITED)
                time.sleep(min(pause, left))
                pause = min(pause * 1.5, LONGEST_PAUSE)
                self._look()
        except KeyboardInterrupt:
            text = f"goes on without being watched; it is {self.status.status}."
            raise self._refused("interrupted", text, ExitCode.NOT_AWAITED) from None
        except JobNotFound:
            raise self._refused("deleted", "was deleted while it was waited for.", ExitCode.REFUSED) from None
        if self.status.status != Status.COMPLETED:
            code, returncode = ENDS[Status(self.status.status)]
            text = f"ended as {self.status.status}: {self.status.error_message or 'no reason given'}"
            raise self._refused(code, text, returncode)

    def _refused(self, code: str, text: str, returncode: ExitCode) -> Refused:
        job_id = self.status.job_id
        return Refused(f"{job_id} {text}", code=code, returncode=returncode, job_id=job_id)

    def _look(self) -> None:
        try:
            self.status = describe(Scope().job(self.status.job_id), user=self._user)
            if time.monotonic() >= self._warns_at:
                self._warns_at = math.inf
                if not live_workers():
                    self._command.note("No worker is alive: the job waits until one is (manage.py jobs_worker).")
            self._note(_in_a_line(self.status))
        except (InterfaceError, OperationalError) as error:
            self._note(f"The database cannot be used ({type(error).__name__}); waiting for it.")
            database.mend_connections()

    def _note(self, text: str) -> None:
        """Tell it, unless it was told last."""
        if text != self._told:
            self._command.note(text)
            self._told = text


def _in_a_line(status: JobStatus) -> str:
    if status.status == Status.RUNNING:
        return f"{status.job_id} {status.status} {status.progress} % {status.progress_message}".rstrip()
    waits = f", it waits: {status.waiting_for}" if status.waiting_for else ""
    return f"{status.job_id} {status.status}{waits}"
