"""Breakers that hold the jobs of their types, in words that say what to do: on the monitor, and on a type's page."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobs.admin.capped_counts import CappedCount
from django_jobs.admin.durations import brief_duration
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.news import Notice
from django_jobs.admin.numbers import format_number
from django_jobs.engine.alerts.rules import BREAKER_OPEN
from django_jobs.engine.insight.inspection import MAX_ERROR, MAX_WAITING, OpenBreaker, count_waiting
from django_jobs.statuses import BreakerState

#: Breakers that the monitor tells one by one.
SHOWN: Final = 5
CLOSE: Final = gettext_lazy("Close now")


def monitor_notices(
    moment: dt.datetime, found: Sequence[OpenBreaker], links: Links, *, is_system_admin: bool
) -> list[Notice]:
    """Return a notice for each of the first of these breakers, which hold jobs.

    Others than system admins are told no errors and counts, which may be of other tenants, and no links.
    """
    shown = found[:SHOWN]
    notices = [_with_pages(item, moment, links) if is_system_admin else _plain(item) for item in shown]
    if len(found) <= SHOWN:
        return notices
    more = _("There are more types that are held; “manage.py jobs_check” names them all.")
    return [*notices, Notice(level="warning", code="more_breakers", text=more)]


def _with_pages(item: OpenBreaker, moment: dt.datetime, links: Links) -> Notice:
    page, counted = links.job_type(item.job_type), dataclasses.replace(item, waiting=count_waiting(item))
    notice = notice_of(counted, moment, links.close_breaker(item.job_type))
    return dataclasses.replace(notice, links=((item.job_type, page),) if page else ())


def notice_of(item: OpenBreaker, moment: dt.datetime, close_url: str) -> Notice:
    """Return what system admins should know of a breaker, with a button for the page that closes it."""
    buttons = ((str(CLOSE), close_url),) if close_url else ()
    if item.state == BreakerState.RECOVERING:
        begin = _("Recovering: %(type)s. A job got through, so that more and more of its jobs start.")
        text = " ".join([begin % {"type": item.job_type}, *alone(item), _jobs_wait(item)])
        return Notice(level="info", code="recovering", alarm=_alarm(item), text=text, buttons=buttons)
    since = brief_duration((moment - item.since).total_seconds())
    begin = _("Held by its breaker: %(type)s, for %(duration)s.") % {"type": item.job_type, "duration": since}
    text = " ".join([begin, *alone(item), _failed(item), _jobs_wait(item), next_try(item, moment)])
    advice = _("Mend what they call: the breaker closes by itself then.")
    return Notice(level="warning", code=BREAKER_OPEN, alarm=_alarm(item), text=text, advice=advice, buttons=buttons)


def alone(item: OpenBreaker) -> list[str]:
    """Return whose jobs alone are held, as a sentence; none where all are."""
    text = _("It holds the jobs of %(organization)s alone.") % {"organization": item.organization}
    return [text] if item.organization else []


def _alarm(item: OpenBreaker) -> str:
    return f"{BREAKER_OPEN}:{item.job_type}"


def _failed(item: OpenBreaker) -> str:
    text = ngettext(
        "The last attempt failed with: %(error)s", "The last %(count)s attempts failed with: %(error)s", item.failures
    )
    return text % {"count": format_number(item.failures), "error": cut(item.error_message)}


def _jobs_wait(item: OpenBreaker) -> str:
    text = ngettext("%(count)s job waits.", "%(count)s jobs wait.", item.waiting or 0)
    return text % {"count": waiting_count(item)}


def waiting_count(item: OpenBreaker) -> str:
    """Return how many jobs wait, with a plus sign where that is the least."""
    return str(CappedCount(count=min(item.waiting or 0, MAX_WAITING), is_cut=(item.waiting or 0) > MAX_WAITING))


def next_try(item: OpenBreaker, moment: dt.datetime) -> str:
    """Return when the next job tries, as a sentence."""
    left = (item.next_try_at - moment).total_seconds() if item.next_try_at else 0.0
    if left <= 0:
        return _("The next try is due now.")
    return _("The next try is in %(duration)s.") % {"duration": brief_duration(left)}


def cut(error: str) -> str:
    """Return an error in one line, as long as a notice can have it, with a full stop."""
    text = " ".join(error.split())
    return f"{text[:MAX_ERROR]}…" if len(text) > MAX_ERROR else f"{text.rstrip('.')}."


def _plain(item: OpenBreaker) -> Notice:
    if item.state == BreakerState.RECOVERING:
        text = _("Recovering: %(type)s. More and more of its jobs start.")
        return Notice(level="info", code="recovering", alarm=_alarm(item), text=text % {"type": item.job_type})
    text = _("On hold: %(type)s. Its last attempts failed with one error; its jobs wait until one gets through.")
    return Notice(level="warning", code=BREAKER_OPEN, alarm=_alarm(item), text=text % {"type": item.job_type})
