"""``manage.py jobs_submit``: submit one job, and wait for its end if that is wanted."""

from __future__ import annotations

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
    STDIN,
    UNKNOWN,
    ExitCode,
    Refused,
    ShellCommand,
    acting_user,
    add_user,
    did_you_mean,
    moment,
    read_object,
    read_stdin,
    refusal_of,
    usage,
)
from django_jobs.models import JobType
from django_jobs.statuses import TERMINAL, WAITING, Priority, RunAfter, Status
from django_jobs.texts import say

#: Options that are passed on to the submission.
OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "priority": {"metavar": "WORD", "help": f"{', '.join(Priority.words())}; by default the type's."},
    "run_at": {"type": moment, "metavar": "MOMENT", "help": "Do not run before this moment."},
    "expires_at": {"type": moment, "metavar": "MOMENT", "help": "Do not start after this moment."},
    "depends_on": {"action": "append", "metavar": "JOB", "help": "Wait for this job first; may be repeated."},
    "run_after": {"choices": RunAfter.values, "help": "What these must be: completed, or only ended."},
    "unique_key": {"metavar": "TEXT", "help": "By this, not by the parameters, equal work is known."},
    "deduplication_window": {"type": int, "metavar": "S", "help": "For so many seconds it is looked for."},
    "on_duplicate": {"choices": ON_DUPLICATE, "help": "What happens where equal work is there."},
    "job_timeout": {"type": int, "metavar": "S", "help": "Seconds that an attempt may take."},
    "max_retries": {"type": int, "metavar": "N", "help": "How often it is tried again."},
    "batch": {"metavar": "ID", "help": "The batch that it counts for."},
    "metadata": {"metavar": "JSON", "help": "An object for correlation ids and the like."},
}
#: How long the time limit of an attempt is, which the submission calls by another name.
JOB_TIMEOUT: Final = "job_timeout"
#: Seconds between two looks at a job that is waited for.
FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.5
#: After so many seconds it is said that no worker is alive.
PATIENCE: Final = 3.0
#: How a job is called at the end of which it has ended otherwise than it should.
ENDS: Final = {Status.DEAD_LETTER: ("failed", ExitCode.REFUSED), Status.CANCELED: ("canceled", ExitCode.CANCELED)}


class Command(ShellCommand):
    help = (
        "Submits one job and tells its id. With --wait: waits for its end; then the exit code is 0 if it completed, "
        "1 if it failed, 5 if it was canceled, and 4 if the time ran out. All exit codes: docs/commands.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job_type", metavar="TYPE", help="The job type's name.")
        parser.add_argument("organization", metavar="ORGANIZATION", help="The id of the organization.")
        parser.add_argument("parameters", nargs="?", metavar="JSON", help="The parameters, an object; - reads stdin.")
        for name, about in OPTIONS.items():
            parser.add_argument(f"--{name.replace('_', '-')}", **about)
        parser.add_argument("--wait", action="store_true", help="Wait for the job's end, and tell how it goes.")
        parser.add_argument("--timeout", type=float, metavar="S", help="Wait for so many seconds at most.")
        add_user(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["timeout"] is not None and not options["wait"]:
            text = "--timeout goes with --wait; how long an attempt may take is --job-timeout."
            raise usage(say(text, code="needs_wait"))
        text = read_stdin() if options["parameters"] == STDIN else options["parameters"]
        parameters = {} if text is None else read_object(text, "The parameters")
        user, given = acting_user(options["user"]), _given(options)
        try:
            job = submit_job(options["job_type"], options["organization"], parameters, user=user, **given)
        except InvalidSubmission as error:
            raise _refused(error, options, user) from error
        # Whoever may submit is told of it, also where a policy hides the job from them; and no secret is.
        self.status = describe(Scope().job(job), user=user)
        if command := command_for(self.status.waiting_for, self.status.job_type):
            self.note(f"{REASONS[str(self.status.waiting_for)].long} ({command})")
        try:
            if options["wait"]:
                self._wait(options["timeout"], user)
        finally:
            self.say(self.status.as_dict(), f"{self.status.job_id} {self.status.status}")

    def _wait(self, timeout: float | None, user: Any) -> None:
        """Return once the job has completed, and tell how it goes. The database may be away meanwhile.

        Raise Refused where it ended otherwise, or is no longer waited for.
        """
        began, pause, told = time.monotonic(), FIRST_PAUSE, ""
        try:
            while self.status.status not in TERMINAL:
                passed = time.monotonic() - began
                if timeout is not None and passed >= timeout:
                    text = f"did not end in {timeout:g} s; it is {self.status.status}."
                    raise self._end("timed_out", text, ExitCode.NOT_AWAITED)
                time.sleep(pause if timeout is None else min(pause, timeout - passed))
                pause = min(pause * 1.5, LONGEST_PAUSE)
                if (text := self._look(user, passed)) != told:
                    self.note(text)
                    told = text
        except KeyboardInterrupt:
            text = f"goes on without being watched; it is {self.status.status}."
            raise self._end("interrupted", text, ExitCode.NOT_AWAITED) from None
        except JobNotFound:
            raise self._end("deleted", "was deleted while it was waited for.", ExitCode.REFUSED) from None
        if self.status.status != Status.COMPLETED:
            code, returncode = ENDS[Status(self.status.status)]
            text = f"ended as {self.status.status}: {self.status.error_message or 'no reason given'}"
            raise self._end(code, text, returncode)

    def _end(self, code: str, text: str, returncode: ExitCode) -> Refused:
        job_id = self.status.job_id
        return Refused(f"{job_id} {text}", code=code, returncode=returncode, job_id=job_id)

    def _look(self, user: Any, passed: float) -> str:
        """Read the status anew, and return in a line how the job goes."""
        try:
            self.status = status = describe(Scope().job(self.status.job_id), user=user)
            if status.status == Status.RUNNING:
                return f"{status.job_id} {status.status} {status.progress} % {status.progress_message}".rstrip()
            waits = f", it waits: {status.waiting_for}" if status.waiting_for else ""
            if status.status in WAITING and passed >= PATIENCE and not live_workers():
                waits += ". No worker is alive: the job waits until one is (manage.py jobs_worker)."
            return f"{status.job_id} {status.status}{waits}"
        except (InterfaceError, OperationalError) as error:
            database.mend_connections()
            return f"The database cannot be used ({type(error).__name__}); waiting for it."


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords of the submission."""
    found = {name: options[name] for name in OPTIONS if options[name] is not None}
    if JOB_TIMEOUT in found:
        found["timeout"] = found.pop(JOB_TIMEOUT)
    if "metadata" in found:
        found["metadata"] = read_object(found["metadata"], "The metadata")
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
