"""What is wrong with a batch, or what it waits for, in words that say what to do: on its page, and on the monitor."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobs.admin.batch_actions import ACTIONS, count_in
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.news import Notice
from django_jobs.admin.numbers import format_number
from django_jobs.engine.insight.problems import is_tried_again, reason_of, troubled_batches
from django_jobs.statuses import RETRYABLE_BY_HAND, BatchState, Status


def notices_of(batch: Any) -> list[Notice]:
    """Return what people should know of a batch that has its status as ``told``, the most urgent first."""
    return [*_missing(batch), *_expired(batch), *_failed(batch), *_open(batch)]


def _missing(batch: Any) -> list[Notice]:
    if not batch.fault or batch.completed_at is None:
        return []
    reason = reason_of(batch.fault)
    can_submit = ACTIONS["follow-up"].fits(batch)
    if is_tried_again(batch.fault):
        text = _("What should follow this batch waits, and is tried again every few seconds. %(reason)s")
        advice = _("Mend the cause; “Submit what follows” tries it at once.") if can_submit else _("Mend the cause.")
        return [Notice(level="warning", code="follow_up_waits", text=text % {"reason": reason}, advice=advice)]
    text = _("What should follow this batch was not submitted. %(reason)s")
    advice = _("Mend the cause, then press “Submit what follows”.") if can_submit else _("Mend the cause.")
    return [Notice(level="error", code="follow_up_missing", text=text % {"reason": reason}, advice=advice)]


def _expired(batch: Any) -> list[Notice]:
    if batch.expired_at is None:
        return []
    text = _("Nobody closed this batch in time, so it was closed, and it counts as failed.")
    advice = _(
        "Have the code that makes it close it: “with create_batch(…) as batch:” does, also where the block raises."
    )
    return [Notice(level="warning", code="expired", text=text, advice=advice)]


def _failed(batch: Any) -> list[Notice]:
    if batch.told.state != BatchState.FAILED:
        return []
    failed, canceled = count_in(batch, RETRYABLE_BY_HAND), batch.told.by_status[Status.CANCELED]
    notices = []
    if failed:
        text = ngettext("%(count)s job did not complete.", "%(count)s jobs did not complete.", failed) % _count(failed)
        advice = _("Mend the cause, which is told below, then press “Retry failed”: only these run again.")
        notices.append(Notice(level="error", code="jobs_failed", text=text, advice=advice))
    if canceled:
        text = ngettext(
            "%(count)s job was canceled, and so the batch stays failed.",
            "%(count)s jobs were canceled, and so the batch stays failed.",
            canceled,
        )
        advice = _("A canceled job is not retried; “Run again” on its page submits a new one, outside this batch.")
        notices.append(Notice(level="warning", code="jobs_canceled", text=text % _count(canceled), advice=advice))
    return notices


def _open(batch: Any) -> list[Notice]:
    if batch.told.state != BatchState.OPEN:
        return []
    if batch.total and batch.ended >= batch.total:
        text = _("All its jobs have ended, but the batch is still open: it ends once it is closed.")
        advice = _("Press “Close” if no more jobs are to come.")
        return [Notice(level="warning", code="all_ended", text=text, advice=advice)]
    text = _("The batch is open: more jobs may be added until it is closed.")
    return [Notice(level="info", code="open", text=text)]


def _count(count: int) -> dict[str, str]:
    return {"count": format_number(count)}


def monitor_notices(moment: dt.datetime, organizations: Collection[Any] | None, links: Links) -> list[Notice]:
    """Return a notice for each batch of these tenants that expired or lacks its follow-up since a day ago."""
    found, has_more = troubled_batches(moment, organizations)
    notices = [_troubled(batch, links) for batch in found]
    if not has_more:
        return notices
    return [*notices, Notice(level="warning", code="more_batches", text=_("There are more such batches."))]


def _troubled(batch: Any, links: Links) -> Notice:
    code, text = "expired", _("%(batch)s: nobody closed it in time, and so it counts as failed.")
    if is_tried_again(batch.fault):
        code, text = "follow_up_waits", _("%(batch)s: what should follow it waits (%(reason)s).")
    elif batch.fault:
        code, text = "follow_up_missing", _("%(batch)s: what should follow it was not submitted (%(reason)s).")
    text %= {"batch": batch, "reason": reason_of(batch.fault).rstrip(".")}
    return Notice(level="warning", code=code, text=text, links=_link(links, batch.pk))


def _link(links: Links, pk: int) -> tuple[tuple[str, str], ...]:
    address = links.batch(pk)
    return ((_("See what to do"), address),) if address else ()
