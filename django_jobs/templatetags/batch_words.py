"""The state of a batch in words for the people who wait for it, in the language of the page.

``batch_progress.js`` takes them as ``job_facts.js`` does.
"""

from __future__ import annotations

from functools import reduce
from typing import Final

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_jobs.statuses import AWAITING_RETRY, BatchState, Status
from django_jobs.templatetags.job_words import Plurals, Words, percent_in_words
from django_jobs.values import BatchStatus

WORDS: Final[Words] = {
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
PLURALS: Final[Plurals] = {
    "done": lambda count: ngettext("{done} of {count} done", "{done} of {count} done", count),
    "failed": lambda count: ngettext("{count} failed", "{count} failed", count),
    "canceled": lambda count: ngettext("{count} canceled", "{count} canceled", count),
}


def state_in_words(batch: BatchStatus) -> str:
    """Return what the batch does, such as ``Running``."""
    return str(WORDS[batch.state])


def failed_of(batch: BatchStatus) -> int:
    """Return how many of its jobs failed, those included that will be tried again."""
    return sum(batch.by_status[status] for status in (Status.DEAD_LETTER, *AWAITING_RETRY))


def counts_in_words(batch: BatchStatus) -> str:
    """Return what became of its jobs, such as ``120 of 200 done, 3 failed``."""
    if not batch.total:
        return str(WORDS["empty"]) if batch.state == BatchState.OPEN else ""
    failed, canceled = failed_of(batch), batch.by_status[Status.CANCELED]
    parts = [PLURALS["done"](batch.total).format(done=batch.by_status[Status.COMPLETED], count=batch.total)]
    parts += [PLURALS["failed"](failed).format(count=failed)] if failed else []
    parts += [PLURALS["canceled"](canceled).format(count=canceled)] if canceled else []
    return _listed(parts)


def spoken(batch: BatchStatus) -> str:
    """Return all that a screen reader says of the bar: the state, the percentage, the counts."""
    parts = (state_in_words(batch), percent_in_words(batch.progress), counts_in_words(batch))
    return _listed([part for part in parts if part])


def _listed(parts: list[str]) -> str:
    return reduce(lambda done, item: WORDS["list"].format(list=done, item=item), parts)
