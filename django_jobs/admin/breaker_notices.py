"""Breakers that hold the jobs of their types, in words that say what to do: on the monitor, and on a type's page."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection
from typing import Final

from django_jobs.admin.durations import brief_duration
from django_jobs.admin.monitor_health import Notice
from django_jobs.admin.monitor_links import Links
from django_jobs.engine.insight.breakers import MAX_ERROR, OpenBreaker, open_breakers, waiting_in_words
from django_jobs.statuses import BreakerState

#: Breakers that the monitor tells one by one.
SHOWN: Final = 5
CLOSE: Final = "Close now"


def monitor_notices(moment: dt.datetime, types: Collection[str] | None, links: Links) -> list[Notice]:
    """Return a notice for each of the first breakers that hold jobs.

    With ``types``, the reader is nobody who runs the system: only these types are told, without errors and counts,
    which may be of other tenants, and without links.
    """
    found = open_breakers(types, most=SHOWN + 1, counts_waiting=types is None)
    shown = found[:SHOWN]
    notices = [_plain(item) if types is not None else _with_pages(item, moment, links) for item in shown]
    more = Notice(level="error", text="There are more types that are held; “manage.py jobs_check” names them all.")
    return [*notices, more] if len(found) > SHOWN else notices


def _with_pages(item: OpenBreaker, moment: dt.datetime, links: Links) -> Notice:
    page = links.job_type(item.job_type)
    notice = notice_of(item, moment, links.close_breaker(item.job_type))
    return dataclasses.replace(notice, links=((item.job_type, page),) if page else ())


def notice_of(item: OpenBreaker, moment: dt.datetime, close_url: str) -> Notice:
    """Return what system admins should know of a breaker, with a button for the page that closes it."""
    buttons = ((CLOSE, close_url),) if close_url else ()
    since = brief_duration((moment - item.since).total_seconds())
    count = "1 job waits" if item.waiting == 1 else f"{waiting_in_words(item)} jobs wait"
    if item.state == BreakerState.RECOVERING:
        text = f"Recovering: {item.job_type}. A job got through, so that more and more of its jobs start. {count}."
        return Notice(level="info", text=text, buttons=buttons)
    failed = f"The last {item.failures:,} attempts" if item.failures > 1 else "The last attempt"
    text = (
        f"Held by its breaker: {item.job_type}, since {since}. {failed} failed with: {cut(item.error_message)} "
        f"{count}; {next_try(item, moment)}."
    )
    return Notice(
        level="error", text=text, advice="Mend what they call: the breaker closes by itself then.", buttons=buttons
    )


def next_try(item: OpenBreaker, moment: dt.datetime) -> str:
    """Return when the next job tries, in words."""
    left = (item.next_try_at - moment).total_seconds() if item.next_try_at else 0.0
    return f"the next try is in {brief_duration(left)}" if left > 0 else "the next try is due now"


def cut(error: str) -> str:
    """Return an error in one line, as long as a notice can have it, with a full stop."""
    text = " ".join(error.split())
    return f"{text[:MAX_ERROR]}…" if len(text) > MAX_ERROR else f"{text.rstrip('.')}."


def _plain(item: OpenBreaker) -> Notice:
    if item.state == BreakerState.RECOVERING:
        return Notice(level="info", text=f"Recovering: {item.job_type}. More and more of its jobs start.")
    text = f"On hold: {item.job_type}. Its last attempts failed with one error; its jobs wait until one gets through."
    return Notice(level="warning", text=text)
