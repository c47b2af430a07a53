"""Diagnostics of batches: those that nobody closed in time, and those whose follow-up could not be submitted."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection
from typing import Any, Final

from django.db.models import Q

from django_jobs.engine.insight.findings import OK, WARNING, Finding
from django_jobs.engine.store.organization_ids import recent_ids
from django_jobs.models import Batch
from django_jobs.texts import say

#: How long it is told.
TOLD_FOR: Final = dt.timedelta(days=1)
#: Of the batches that ended in that time, so many of the newest are looked at.
LOOKED_AT: Final = 10_000
#: How many are named.
MAX_NAMED: Final = 5
_TROUBLED: Final = ~Q(fault="") | Q(expired_at__isnull=False)


def troubled_batches(now: dt.datetime, organizations: Collection[Any] | None = None) -> tuple[list[Batch], bool]:
    """Return the newest batches of the last day that expired or have a fault, and whether there are more.

    ``organizations`` are the primary keys of the tenants in question; None means all. What expired and has not ended
    is told once it has: that takes as long as its last job.
    """
    ended = Batch.primary.filter(completed_at__gte=now - TOLD_FOR).order_by("-completed_at", "-pk")
    if organizations is not None:
        ended = ended.filter(organization_id__in=organizations)
    bound = ended.values_list("completed_at", flat=True)[LOOKED_AT : LOOKED_AT + 1].first()
    found = ended.filter(_TROUBLED)
    rows = list((found if bound is None else found.filter(completed_at__gt=bound))[: MAX_NAMED + 1])
    return rows[:MAX_NAMED], len(rows) > MAX_NAMED


#: How a fault begins: the name of the submission, whether it is tried again, and the field that was refused.
_NAMES: Final = re.compile(r"(?:then|on_failure)(?P<waits> waits)?: (?:[a-z_.]+: )?")


def reason_of(fault: str) -> str:
    """Return why something could not be submitted, without the names of fields that it begins with."""
    return _NAMES.sub("", fault, count=1)


def is_tried_again(fault: str) -> bool:
    """Return whether the scheduler goes on trying to submit what is missing."""
    match = _NAMES.match(fault)
    return match is not None and match["waits"] is not None


def trouble(batch: Batch) -> str:
    """Return what is wrong with such a batch, in words."""
    if batch.fault:
        verb = "waits" if is_tried_again(batch.fault) else "was not submitted"
        return f"what should follow it {verb} ({reason_of(batch.fault).rstrip('.')})"
    return "nobody closed it in time, and so it counts as failed"


def examine_batches(now: dt.datetime) -> Finding:
    """Return the finding for batches."""
    found, has_more = troubled_batches(now)
    if not found:
        return Finding(
            level=OK, subject="batches", text=say("none expired or lacks its follow-up since a day ago.", code="none")
        )
    names = recent_ids({batch.organization_id: batch.organization_name for batch in found})
    told = [f"{batch.batch_id} of {names[batch.organization_id]}: {trouble(batch)}" for batch in found]
    more = "; and more" if has_more else ""
    text = say(
        "%(batches)s%(more)s. Their pages in the admin tell more, and submit what is missing.",
        code="troubled",
        batches="; ".join(told),
        more=more,
    )
    return Finding(level=WARNING, subject="batches", text=text)
