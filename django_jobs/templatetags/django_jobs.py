"""Live progress in hosts' templates: ``{% load django_jobs %}{% job_progress job %}``, ``{% batch_progress batch %}``.

What the server renders stands by itself; ``jobs.js``, which ``{% job_progress_script %}`` includes once a page, keeps
it up to date. Nothing is inline, so that a strict Content-Security-Policy may stay.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

from django import template
from django.core.serializers.json import DjangoJSONEncoder
from django.middleware.csrf import get_token
from django.urls import NoReverseMatch, get_script_prefix, reverse
from django.utils import timezone
from django.utils.formats import date_format, time_format
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_jobs.engine.batches import get_batch_status
from django_jobs.engine.control.acts import Action, is_offered
from django_jobs.engine.insight.reasons import HOLDING, REASONS
from django_jobs.engine.insight.status import describe, get_job_status
from django_jobs.engine.scope import Scope
from django_jobs.engine.submission.targets import may_cancel_batch, may_manage_batch
from django_jobs.models import Batch, Job
from django_jobs.statuses import AWAITING_RETRY, FINAL, WITH_ERRORS, BatchState, Status
from django_jobs.texts import in_current_zone
from django_jobs.values import BatchStatus, JobStatus

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

register = template.Library()

#: The fields of a job's status that ``jobs.js`` reads.
STATE: Final = (
    "job_id",
    "status",
    "attempt",
    "progress",
    "progress_message",
    "output_reference",
    "error_type",
    "waiting_for",
    "cancel_requested",
    "run_at",
    "next_retry_at",
    "queued_at",
    "started_at",
    "completed_at",
    "canceled_at",
)
#: Characters of an error that are sent with the page. It shows fewer of them.
MAX_ERROR: Final = 2_000


@register.inclusion_tag("django_jobs/job_progress.html", takes_context=True)
def job_progress(
    context: template.Context,
    job: Job | JobStatus | str,
    *,
    room: str = "",
    label: str = "",
    ws_url: str = "",
    waits_for: str = "",
    words: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """Render a ``<job-progress>`` element that shows a job and follows it. ``job`` is a Job, a JobStatus or a job id.

    ``room`` is where the element listens, by default the job's own room; many jobs of one organization share a
    subscription with ``org:<organization>``. ``label`` is what a screen reader says before the job's state, by default
    its id. ``ws_url`` is needed where the host mounts the websocket elsewhere. ``waits_for`` names the jobs that it
    depends on, in words for people; without it the element says that it waits for other jobs. ``words`` are what it
    says of states in the place of the usual words, by status or by ``ready``, ``stopping`` and ``expired``.

    An id that the request's user may not know of raises JobNotFound. A Job or JobStatus that is handed in is shown.
    """
    request = context.get("request")
    user = getattr(request, "user", None)
    status = _status(job, user)
    api_url = _address("job-list")
    now = timezone.now()
    rights = _rights(job, status, user) if api_url and user is not None else {}
    file = _file(status) if api_url else ""
    told = status_in_words(status, now, waits_for=waits_for, is_ready=bool(file), own=words)
    percent = percent_in_words(status.progress)
    return {
        "job": status,
        "label": label or status.job_id,
        "room": room,
        "waits_for": waits_for,
        "words": json.dumps({key: str(text) for key, text in words.items()}) if words else "",
        "state": json.dumps(_state(status, now), cls=DjangoJSONEncoder),
        "status": told,
        "percent": percent,
        "spoken": WORDS["spoken"].format(status=told, percent=percent),
        "message": message_in_words(status),
        "time": _time(status, now),
        "file": file,
        "output": WORDS["output"].format(file=file),
        "api_url": api_url,
        "ws_url": ws_url or _ws_url(request),
        "csrf_token": get_token(request) if request is not None else "",
        **rights,
    }


@register.inclusion_tag("django_jobs/batch_progress.html", takes_context=True)
def batch_progress(
    context: template.Context, batch: Batch | BatchStatus | str, *, label: str = "", ws_url: str = ""
) -> dict[str, Any]:
    """Render a ``<batch-progress>`` element that shows a batch and follows it.

    ``batch`` is a Batch, a BatchStatus or a batch id. ``label`` is what a screen reader says before the state, by
    default the batch's name or its id. ``ws_url`` is needed where the host mounts the websocket elsewhere.

    An id that the request's user may not know of raises BatchNotFound. A Batch or BatchStatus that is handed in is
    shown.
    """
    request = context.get("request")
    user = getattr(request, "user", None)
    status = _batch_status(batch, user)
    api_url = _address("batch-list")
    return {
        "batch": status,
        "label": label or status.name or status.batch_id,
        "state": json.dumps(status.as_dict(), cls=DjangoJSONEncoder),
        "status": state_in_words(status),
        "percent": percent_in_words(status.progress),
        "message": counts_in_words(status),
        "spoken": spoken(status),
        "is_amiss": failed_of(status) > 0,
        "api_url": api_url,
        "ws_url": ws_url or _ws_url(request),
        "csrf_token": get_token(request) if request is not None else "",
        **(_batch_rights(batch, status, user) if api_url and user is not None else {}),
    }


@register.inclusion_tag("django_jobs/job_progress_script.html")
def job_progress_script() -> Mapping[str, Any]:
    """Render the style sheet and the script of both elements, and their words in the page's language.

    A page needs them once.
    """
    return {
        "words": {
            "job": words_for_script(WORDS, PLURALS),
            "batch": words_for_script(BATCH_WORDS, BATCH_PLURALS),
        }
    }


def _status(job: Job | JobStatus | str, user: Any) -> JobStatus:
    if isinstance(job, JobStatus):
        return job
    return describe(job, user=user) if isinstance(job, Job) else get_job_status(job, user=user)


def _batch_status(batch: Batch | BatchStatus | str, user: Any) -> BatchStatus:
    if isinstance(batch, BatchStatus):
        return batch
    return get_batch_status(batch, user=None if isinstance(batch, Batch) else user)


def _batch_rights(batch: Batch | BatchStatus | str, status: BatchStatus, user: Any) -> dict[str, bool]:
    """What the user may do now, or once a job has failed. The policy is not asked where nothing can be done."""
    if status.state in {BatchState.COMPLETED, BatchState.CANCELED}:
        return {}
    row = batch if isinstance(batch, Batch) else Scope().batch(status.batch_id)
    return {"can_cancel": may_cancel_batch(user, row), "can_retry": may_manage_batch(user, row)}


def _address(name: str) -> str:
    """The address of a list in REST; empty where the host does not mount it, so that there is only the socket."""
    try:
        return reverse(f"django_jobs:{name}")
    except NoReverseMatch:
        return ""


def _ws_url(request: Any) -> str:
    host = "" if request is None else f"{'wss' if request.is_secure() else 'ws'}://{request.get_host()}"
    return f"{host}{get_script_prefix()}ws/jobs/"


def _state(status: JobStatus, now: dt.datetime) -> dict[str, Any]:
    """The job as it stands, and the time of the server's clock, from which the script counts seconds."""
    state = {name: getattr(status, name) for name in STATE}
    return {**state, "error_message": status.error_message[:MAX_ERROR], "rendered_at": now}


def _rights(job: Job | JobStatus | str, status: JobStatus, user: Any) -> dict[str, bool]:
    """What the user may do now, or once the job has failed. The policy is not asked where nothing can be done."""
    may_cancel, may_retry = is_offered(Action.CANCEL, status.status), status.status not in FINAL
    if not may_cancel and not may_retry:
        return {}
    scope, row = Scope(user), job if isinstance(job, Job) else Scope().job(status.job_id)
    return {
        "can_cancel": may_cancel and scope.may("can_cancel", row),
        "can_retry": may_retry and scope.may("can_retry", row),
    }


def _file(status: JobStatus) -> str:
    """The name of the file that the handler saved, if it did. Any other reference is mere text."""
    pattern = rf"django_jobs/[^/]+/{re.escape(status.job_id)}/[^/]+/([^/]+)"
    match = re.fullmatch(pattern, status.output_reference or "")
    return match[1] if match else ""


def _time(status: JobStatus, now: dt.datetime) -> str:
    """How long the job has run, or took: ``1:05``."""
    end = now if status.status == Status.RUNNING else status.completed_at or status.canceled_at
    if status.started_at is None or end is None:
        return ""
    seconds = int(max(end - status.started_at, dt.timedelta()).total_seconds())
    return f"{seconds // 60}:{seconds % 60:02}"


# The state of a job in words for the people who wait for it, in the language of the page.
#
# ``job_facts.js`` takes them from what ``job_progress_script`` renders.


Words = Mapping[str, "_StrPromise"]
Plurals = Mapping[str, Callable[[int], str]]

#: Said while no job of its type or of its organization runs, by the reason of ``JobStatus.waiting_for``.
HELD: Final[Words] = {code: REASONS[code].short for code in HOLDING}
#: Said of a job that is not held, and waits for others.
AFTER_OTHERS: Final[Words] = {code: REASONS[code].short for code in ("dependency", "concurrency", "limit")}
WORDS: Final[Words] = {
    Status.PENDING.value: _("Waiting for its turn"),
    Status.QUEUED.value: _("Waiting for its turn"),
    Status.RUNNING.value: _("Running"),
    Status.COMPLETED.value: _("Completed"),
    Status.FAILED.value: _("Trying again soon"),
    Status.TIMED_OUT.value: _("Trying again soon"),
    Status.CANCELED.value: _("Canceled"),
    Status.DEAD_LETTER.value: _("Did not complete"),
    "ready": _("Ready to download"),
    "gone": _("Not available"),
    "stopping": _("Being canceled"),
    "expired": _("Canceled: it did not start in time"),
    **HELD,
    **AFTER_OTHERS,
    "waits_for": _("Waiting for: {names}"),
    "run_at": _("Waiting until {time}"),
    "again_at": _("Trying again at {time}"),
    "again_on": _("Trying again on {time}"),
    # Facts beside the state. The times are clocks, such as 1:05.
    "percent": _("{number} %"),
    "left": _("{time}, about {left} left"),
    "spoken": _("{status}, {percent}"),
    "news": _("{label}: {status}"),
    "news_why": _("{label}: {status}. {reason}"),
    # Buttons and links. A screen reader says the action and what it is about.
    "cancel": _("Cancel"),
    "canceling": _("Canceling"),
    "retry": _("Try again"),
    "retrying": _("Starting again"),
    "button": _("{action}: {label}"),
    "output": _("Download {file}"),
    # What may go wrong. The reasons are those sentences that end with a full stop.
    "offline": _("No connection: this may have changed since."),
    "signed_out": _("You are logged out: log in to see how it goes on."),
    "no_cancel": _("It could not be canceled: {reason}"),
    "no_retry": _("It could not be started again: {reason}"),
    "unreachable": _("there is no connection, try again."),
    "forbidden": _("you may not do that, or you are logged out."),
    "busy": _("too many requests, try again in a minute."),
    "broken": _("the server has a problem, try again later."),
}
#: By number, since languages have up to six forms.
PLURALS: Final[Plurals] = {
    "again_seconds": lambda count: ngettext("Trying again in {count} second", "Trying again in {count} seconds", count),
    "again_minutes": lambda count: ngettext("Trying again in {count} minute", "Trying again in {count} minutes", count),
}
#: Each plural form of any language gets at least one of these numbers. The script looks for the one like its own.
SAMPLES: Final = (0, 1, 2, 3, 5, 11, 20, 100, 1_000_000)
MINUTE: Final = dt.timedelta(minutes=1)
#: A retry that is further away is told by its time.
SOON: Final = dt.timedelta(hours=1)
#: Characters of an error or a message.
LONGEST: Final = 300


def words_for_script(words: Words, plurals: Plurals) -> dict[str, object]:
    """Return the words in the active language as the script takes them: a plural by sample numbers."""
    forms = {key: {str(number): choose(number) for number in SAMPLES} for key, choose in plurals.items()}
    return {**{key: str(text) for key, text in words.items()}, **forms}


def status_in_words(
    status: JobStatus,
    now: dt.datetime,
    *,
    waits_for: str = "",
    is_ready: bool = False,
    own: Mapping[str, object] | None = None,
) -> str:
    """Return what the job does, such as ``Trying again in 2 minutes``.

    ``waits_for`` names the work before it, and ``is_ready`` says that there is a file to download. ``own`` are words
    in the place of WORDS for states of this job.
    """
    reason, words = status.waiting_for or "", {**WORDS, **(own or {})}
    if status.status in AWAITING_RETRY:
        return str(HELD[reason]) if reason in HELD else _again(status, now, str(words[status.status]))
    if reason == "run_at" and status.run_at is not None:
        return WORDS["run_at"].format(time=moment_in_words(status.run_at, now))
    if reason == "dependency" and waits_for:
        return WORDS["waits_for"].format(names=waits_for)
    if reason in HELD or reason in AFTER_OTHERS:
        return str(WORDS[reason])
    return str(words[_word_of(status, is_ready)])


def _word_of(status: JobStatus, is_ready: bool) -> str:
    if status.status == Status.RUNNING and status.cancel_requested:
        return "stopping"
    # Each error of an attempt has a type; a canceled job has an error without one only if it did not start in time.
    if status.status == Status.CANCELED and status.error_message and not status.error_type:
        return "expired"
    return "ready" if status.status == Status.COMPLETED and is_ready else status.status


def message_in_words(status: JobStatus) -> str:
    """Return the error of a job that failed, else what its handler said last; at most LONGEST characters of it."""
    text = (status.status in WITH_ERRORS and status.error_message) or status.progress_message
    return f"{text[:LONGEST]}…" if len(text) > LONGEST else text


def percent_in_words(progress: int) -> str:
    """Return the progress as it is written in this language, such as ``42 %``."""
    return WORDS["percent"].format(number=progress)


def moment_in_words(moment: dt.datetime, now: dt.datetime) -> str:
    """Return the moment in the active time zone with the zone's name, without the date if it is today.

    The script shows the reader's own zone instead.
    """
    local, today = in_current_zone(moment), timezone.localtime(now)
    clock = f"{time_format(local.time(), 'TIME_FORMAT')} {local.tzname()}"
    if local.date() == today.date():
        return clock
    day = date_format(local, "MONTH_DAY_FORMAT" if local.year == today.year else "DATE_FORMAT")
    return _("{date}, {time}").format(date=day, time=clock)


def _again(status: JobStatus, now: dt.datetime, plain: str) -> str:
    due = status.next_retry_at
    if due is None or due <= now:
        return plain
    wait = due - now
    if wait < MINUTE:
        seconds = max(int(wait.total_seconds()), 1)
        return PLURALS["again_seconds"](seconds).format(count=seconds)
    if wait < SOON:
        minutes = wait // MINUTE
        return PLURALS["again_minutes"](minutes).format(count=minutes)
    is_today = timezone.localtime(due).date() == timezone.localtime(now).date()
    return WORDS["again_at" if is_today else "again_on"].format(time=moment_in_words(due, now))


# The state of a batch in words for the people who wait for it, in the language of the page.
#
# ``batch_progress.js`` takes them as ``job_facts.js`` does.


BATCH_WORDS: Final[Words] = {
    BatchState.OPEN.value: _("Open"),
    BatchState.RUNNING.value: _("Running"),
    BatchState.COMPLETED.value: _("Completed"),
    BatchState.FAILED.value: _("Did not all complete"),
    BatchState.CANCELED.value: _("Canceled"),
    "gone": _("Not available"),
    "canceling": _("Being canceled"),
    "retrying": _("Starting again"),
    "empty": _("No jobs yet"),
    "list": _("{list}, {item}"),
    "news": _("{label}: {status}"),
    "news_why": _("{label}: {status}, {counts}"),
    "cancel": _("Cancel"),
    "retry": _("Try again"),
    "offline": _("No connection: this may have changed since."),
    "signed_out": _("You are logged out: log in to see how it goes on."),
}
#: ``done`` by the number of all jobs of the batch, the others by their own.
BATCH_PLURALS: Final[Plurals] = {
    "done": lambda count: ngettext("{done} of {count} done", "{done} of {count} done", count),
    "failed": lambda count: ngettext("{count} failed", "{count} failed", count),
    "canceled": lambda count: ngettext("{count} canceled", "{count} canceled", count),
}


def state_in_words(batch: BatchStatus) -> str:
    """Return what the batch does, such as ``Running``."""
    return str(BATCH_WORDS[batch.state])


def failed_of(batch: BatchStatus) -> int:
    """Return how many of its jobs failed, those included that will be tried again."""
    return sum(batch.by_status[status] for status in (Status.DEAD_LETTER, *AWAITING_RETRY))


def counts_in_words(batch: BatchStatus) -> str:
    """Return what became of its jobs, such as ``120 of 200 done, 3 failed``."""
    if not batch.total:
        return str(BATCH_WORDS["empty"]) if batch.state == BatchState.OPEN else ""
    failed, canceled = failed_of(batch), batch.by_status[Status.CANCELED]
    parts = [BATCH_PLURALS["done"](batch.total).format(done=batch.by_status[Status.COMPLETED], count=batch.total)]
    parts += [BATCH_PLURALS["failed"](failed).format(count=failed)] if failed else []
    parts += [BATCH_PLURALS["canceled"](canceled).format(count=canceled)] if canceled else []
    return _listed(parts)


def spoken(batch: BatchStatus) -> str:
    """Return all that a screen reader says of the bar: the state, the percentage, the counts."""
    parts = (state_in_words(batch), percent_in_words(batch.progress), counts_in_words(batch))
    return _listed([part for part in parts if part])


def _listed(parts: list[str]) -> str:
    return reduce(lambda done, item: BATCH_WORDS["list"].format(list=done, item=item), parts)
