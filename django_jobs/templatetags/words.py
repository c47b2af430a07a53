"""Words for jobs and batches, as templates and the script use them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from functools import reduce
from typing import TYPE_CHECKING, Final

from django.utils import timezone
from django.utils.formats import date_format, time_format
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_jobs.engine.insight.reasons import HOLDING, REASONS
from django_jobs.statuses import AWAITING_RETRY, WITH_ERRORS, BatchState, Status
from django_jobs.texts import in_current_zone
from django_jobs.values import BatchStatus, JobStatus

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

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
