"""Why a job waits, and what is wrong with the system: by a code, in a few words, in a sentence, and what to do.

Pages, alarms, mails, commands and elements read these texts here, and code decides by the codes alone. Texts that only
``jobs_check`` prints, for those who run the system, are not translated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from django.utils.formats import number_format
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_jobs.conf import DEFAULT_POOL
from django_jobs.texts import in_clauses


class Reason(NamedTuple):
    """What is so.

    ``short`` names it: of a waiting job for the people who wait, of an alarm as its heading. ``long`` is a sentence,
    ``advice`` what those who run the system can do. Both may name facts. ``shown`` are facts that are listed behind the
    sentence, each with its label. ``mend`` is a command that ends it, where ``{type}`` is the job type.
    """

    short: Any = ""
    long: Any = ""
    advice: Any = ""
    shown: tuple[str, ...] = ()
    mend: str = ""


#: How facts are called where they are listed.
LABELS: Final[Mapping[str, Any]] = {
    "attempt": _("attempt"),
    "count": _("jobs"),
    "error": _("error"),
    "events": _("events"),
    "failed": _("failed"),
    "free": _("free slots"),
    "minutes": _("minutes"),
    "left": _("ended"),
    "next_try": _("next try"),
    "ordered": _("ordered"),
    "organization": _("organization"),
    "quiet": _("quiet"),
    "reason": _("reason"),
    "running": _("Running"),
    "scheduler": _("Scheduler"),
    "since": _("since"),
    "slots": _("Slots"),
    "type": _("type"),
    "user": _("user"),
    "waiting": _("Waiting"),
}
_HELD: Final = _(
    "The breaker of the job type is open: its last attempts failed alike, and its jobs wait until one that tries gets "
    "through."
)
_MEND: Final = _("Mend what they call: the breaker closes by itself then.")
_NEGLECTED: Final = _("Jobs have been due for long, and nothing holds them back.")
#: What holds all jobs of a type or of an organization, in the order in which it is told.
HOLDING: Final = ("organization_inactive", "type_disabled", "type_paused", "handler", "breaker")
REASONS: Final[Mapping[str, Reason]] = {
    # Why a job waits: the reasons of ``JobStatus.waiting_for``.
    "run_at": Reason(long=_("It is not due yet.")),
    "dependency": Reason(_("Waiting for other jobs"), _("It waits for other jobs.")),
    "retry": Reason(long=_("Its next retry is not due yet.")),
    "organization_inactive": Reason(
        _("On hold: the organization is suspended"),
        _("The organization is suspended: its jobs wait until it is active again."),
    ),
    "type_disabled": Reason(
        _("On hold: jobs of this kind are switched off"),
        _("The job type is disabled: it takes no submissions, and its jobs wait until it is enabled."),
    ),
    "type_paused": Reason(
        _("On hold: jobs of this kind are paused"),
        _("The job type is paused: its jobs wait until it is resumed."),
        mend="jobs_resume {type}",
    ),
    "handler": Reason(
        _("On hold: waiting for a worker that can run it"),
        _("No worker that tried could load its handler; after 10 minutes it ends as a Dead Letter."),
    ),
    "breaker": Reason(
        _("On hold: jobs of this kind fail at present"), _HELD, _MEND, mend="jobs_resume --breaker {type}"
    ),
    "concurrency": Reason(
        _("Waiting for others of its kind"), _("Its type, organization, key or rate of starts is at its limit.")
    ),
    "limit": Reason(
        _("Waiting for other jobs of your organization"), _("Its organization has as many jobs in flight as it may.")
    ),
    "window": Reason(long=_("Other jobs are before it.")),
    "broker": Reason(long=_("It has a ticket; the next free worker takes it.")),
    # Closer reasons.
    "rekeying": Reason(long=_("Jobs of its type are held until they are in the lanes of the new key.")),
    "unknown_pool": Reason(
        long=_("The pool is not in DJANGO_JOBS['POOLS'], so no worker takes its jobs."),
        advice=_("Add this pool to DJANGO_JOBS['POOLS'] and start its workers, or give its job types another pool."),
        shown=("waiting", "types"),
    ),
    "workers_quiet": Reason(
        long=_("All its workers are quiet: they were ordered to take no new jobs."),
        advice=_("Resume them on the admin's page of workers, or start another one."),
        shown=("waiting", "quiet"),
    ),
    # Why a job that failed is not tried again by itself.
    "parent_failed": Reason(
        long=_("A job that it waited for did not complete. Once that one is retried, this one comes to life with it.")
    ),
    "permanent": Reason(long=_("The error is permanent: the job is not tried again by itself.")),
    "no_retries": Reason(long=_("It is not tried again by itself: no retries are left.")),
    # What is wrong: the rules of alarms, and notices of the monitor.
    "no_scheduler": Reason(
        _("No scheduler"),
        _("Retries, delayed jobs, schedules, operations, the rescue of lost jobs and alarms stand still."),
        _("Run “manage.py jobs_worker”, which has one, or “manage.py jobs_scheduler”, and look at its log."),
        ("since",),
    ),
    "duty_stalled": Reason(
        _("A duty of the scheduler is stalled"),
        advice=_("The scheduler's log says where the duty hangs. Restart that process if the duty does not go on."),
        shown=("duty", "scheduler", "since"),
    ),
    "no_worker": Reason(
        _("No worker"),
        _("No live worker takes these jobs."),
        _("Start “manage.py jobs_worker%(option)s”, and look at its log if it ends."),
        ("waiting", "since"),
    ),
    "breaker_open": Reason(
        _("A breaker is open"), _HELD, _MEND, ("organization", "failed", "waiting", "since", "next_try", "error")
    ),
    "breaker_recovering": Reason(
        _("A breaker is open"),
        _("The breaker of the job type recovers: a job got through, and more and more of its jobs start."),
        _MEND,
        ("organization", "waiting", "since", "error"),
    ),
    "type_failing": Reason(_("A job type fails"), shown=("failed", "since")),
    "queue_waiting": Reason(
        _("A queue waits"),
        _NEGLECTED,
        _("Look whether Redis answers, at the workers' logs, and whether RQ is suspended (“rq resume”)."),
        ("waiting", "minutes", "slots", "free", "since"),
    ),
    "dead_letters": Reason(_("Many dead letters"), shown=("count", "minutes", "since")),
    "schedule_cannot_fire": Reason(_("A schedule cannot fire"), shown=("since",)),
    "broker_unavailable": Reason(
        long=_(
            "Redis cannot be reached. Jobs are still accepted and wait in the database; none starts until it is back."
        ),
        advice=_("Start Redis, or correct the URL in RQ_QUEUES."),
        shown=("error",),
    ),
    "foreign_jobs": Reason(
        long=_("Entries that are no tickets of ours were set aside from our queues, and not run."),
        advice=_(
            "Give RQ jobs of yours queues of their own, and see who may write to Redis. “manage.py jobs_check” names "
            "the newest; “Entries that are not ours” in docs/operations.md says how to look at them and forget them."
        ),
        shown=("count", "newest", "waiting"),
    ),
    "nothing_counted": Reason(
        long=_(
            "Nothing is counted yet: the charts and the table of job types stay empty until the scheduler has done it."
        ),
    ),
    "counts_late": Reason(
        long=_("The charts are late. What waits and runs is up to date."),
        advice=_("The scheduler catches up by itself; a transaction that stays open for long can hold it up."),
        shown=("events",),
    ),
    "jobs_failed": Reason(
        long=_("Jobs did not complete."),
        advice=_("Mend the cause, which is told below, then press “Retry failed”: only these run again."),
        shown=("count",),
    ),
    "jobs_canceled": Reason(
        long=_("Jobs were canceled, and so the batch stays failed."),
        advice=_("A canceled job is not retried; “Run again” on its page submits a new one, outside this batch."),
        shown=("count",),
    ),
    "all_ended": Reason(
        long=_("All its jobs have ended, but the batch is still open: it ends once it is closed."),
        advice=_("Press “Close” if no more jobs are to come."),
    ),
    "open": Reason(long=_("The batch is open: more jobs may be added until it is closed.")),
    "stopping": Reason(_("stopping")),
    "being_retried": Reason(_("being retried")),
    "expired": Reason(
        _("nobody closed it"),
        long=_("Nobody closed this batch in time, so it was closed, and it counts as failed."),
        advice=_(
            "Have the code that makes it close it: “with create_batch(…) as batch:” does, also where the block raises."
        ),
    ),
    "follow_up_waits": Reason(
        long=_("What should follow this batch waits, and is tried again every few seconds."),
        advice=_("Mend the cause, then press “Submit what follows”."),
        shown=("reason",),
    ),
    "follow_up_missing": Reason(
        _("what follows is missing"),
        long=_("What should follow this batch was not submitted."),
        advice=_("Mend the cause, then press “Submit what follows”."),
        shown=("reason",),
    ),
    # Why a schedule cannot fire, or why nothing comes of it.
    "unclear": Reason(
        long=_("The usual causes are mended or do not hold. Fire it now to see; else its next firing will tell.")
    ),
    "schedule_paused": Reason(long=_("It is paused: it fires only by hand, until it is resumed.")),
    "unknown_job_type": Reason(
        long=_("The job type is gone."),
        advice=_("Bring it back (declare it and run migrate or jobs_sync), or delete the schedule."),
        shown=("type",),
    ),
    "no_organization": Reason(long=_("There is no organization to fire for. Pause the schedule until there is one.")),
    "organization_gone": Reason(
        long=_("Its organization was deleted. Choose another one below, or delete the schedule.")
    ),
    "owner_gone": Reason(
        long=_("The owner is deactivated or gone."),
        advice=_("Take it over, so that it submits in your name."),
        shown=("user",),
    ),
    "permission_denied": Reason(
        long=_("The owner may not submit this there."),
        advice=_("Give the right, or take it over."),
        shown=("user", "type"),
    ),
    "invalid_parameters": Reason(
        long=_("The type refuses the parameters."), advice=_("Correct them below."), shown=("error",)
    ),
    # What jobs_check alone tells.
    "unreadable": Reason(
        long="The database cannot be read.",
        advice="Is it running, and has “manage.py migrate” been run?",
        shown=("error",),
    ),
    "migration_missing": Reason(
        long="The database lacks a migration.", advice="Run “manage.py migrate”.", shown=("migration", "more")
    ),
    "clock_set_back": Reason(
        long="The database's clock was set back: moments of rows are still to come.",
        advice="Wait until then, or go by the page on operations.",
        shown=("created", "running", "fired"),
    ),
    "hides_changes": Reason(long="Equal jobs may be accepted twice (django_jobs.E020)."),
    "swapped": Reason(
        long="The tables were made for another table of organizations (django_jobs.E019).",
        advice="Set DJANGO_JOBS_ORGANIZATION_MODEL back.",
        shown=("before",),
    ),
    "bad_answers": Reason(long="The access policy gives answers that do not count.", shown=("told", "more")),
    "policy_failed": Reason(
        long="The access policy cannot be asked. Until it can, all organizations weigh the same.", shown=("error",)
    ),
    "wrong_setting": Reason(long="A setting is wrong.", shown=("error",)),
    "no_owner": Reason(
        long="The broker has no owner yet, or was emptied; the first worker or scheduler claims it for this database."
    ),
    "foreign": Reason(long="The broker belongs to another installation.", shown=("installation", "advice")),
    "closed_config": Reason(
        long="The eviction policy may not be asked (CONFIG is closed).",
        advice="See to it that maxmemory-policy is noeviction.",
    ),
    "evicts": Reason(
        long="The broker drops tickets when memory is short.",
        advice="Set maxmemory-policy to noeviction.",
        shown=("policy",),
    ),
    "plain_workers": Reason(
        long="Only plain rqworkers serve it, which are for a trial.",
        advice="Run “manage.py jobs_worker”.",
        shown=("workers",),
    ),
    "neglected": Reason(
        long=_NEGLECTED,
        advice="Look at the workers' logs, and whether RQ is suspended (“rq resume”). Without slots, start workers.",
        shown=("pools",),
    ),
    "troubled": Reason(
        long="Batches of the last day expired or lack their follow-up.",
        advice="Their pages in the admin tell more, and submit what is missing.",
        shown=("batches", "more"),
    ),
    "not_up_to_date": Reason(
        long="Rows of declared job types are not up to date.",
        advice="Run “manage.py migrate” or “manage.py jobs_sync”.",
        shown=("types",),
    ),
    "without_row": Reason(
        long="Declared job types have no row.",
        advice="Run “manage.py migrate” or “manage.py jobs_sync”.",
        shown=("types",),
    ),
    "wrong_declarations": Reason(long="Declarations of job types are wrong.", shown=("error",)),
    # During a deployment that is normal for a moment.
    "put_back": Reason(
        long="A worker could not load the handler of jobs that wait for one that can.",
        advice="Restart workers of an older release, or mend the import; after 10 minutes these jobs end as Dead "
        "Letters.",
        shown=("jobs", "reasons"),
    ),
    "unloadable": Reason(
        long="Handlers cannot run here.",
        advice="Mend the import or the path, or disable the type.",
        shown=("types", "waiting"),
    ),
    "unknown_permission": Reason(
        long="Job types require permissions that do not exist: only system admins and code may submit them.",
        advice="Correct the names, or migrate their apps.",
        shown=("types",),
    ),
    "schedules_cannot_fire": Reason(
        long="Schedules cannot fire.", advice="Mend, pause or delete them.", shown=("schedules",)
    ),
}


def told(code: str, facts: Mapping[str, Any]) -> str:
    """Return what is so, in the active language: the sentence, and the facts that there are; without a sentence all."""
    reason = REASONS.get(code)
    names = [name for name in (reason.shown if reason else facts) if facts.get(name) not in (None, "")]
    listed = in_clauses(f"{capfirst(str(LABELS.get(name, name)))}: {_value(facts[name])}" for name in names)
    sentence = str(reason.long) if reason else ""
    return " ".join(part for part in (sentence, listed and _closed(listed)) if part)


def advice_on(code: str, facts: Mapping[str, Any]) -> str:
    """Return what those who run the system can do, in the active language; "" where the reason has nothing."""
    advice = str(REASONS[code].advice) if code in REASONS else ""
    pool = facts.get("pool", DEFAULT_POOL)
    return advice % {"option": "" if pool == DEFAULT_POOL else f" --pool {pool}"} if "%(" in advice else advice


def command_for(code: str | None, job_type: str) -> str:
    """Return the command that lets a job of this type go which waits for this reason; "" where none does."""
    mend = REASONS[code].mend if code else ""
    return mend and f"manage.py {mend.format(type=job_type)}"


def of_all(number: int, total: int) -> str:
    """Return how many of how many."""
    return gettext("%(count)s of %(most)s") % {"count": counted(number), "most": counted(total)}


def counted(number: float, *, has_more: bool = False) -> str:
    """Return a number as it is shown, with a plus sign where that is the least."""
    return f"{number_format(number, force_grouping=True)}{'+' if has_more else ''}"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_value(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(_value, value))
    return counted(value) if isinstance(value, int) else str(value)


def _closed(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
