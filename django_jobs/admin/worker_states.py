"""What a supervisor does, in words: it works, was ordered something, is quiet, stops, or fell silent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobs.admin.durations import brief_duration
from django_jobs.admin.formatting import zone_of
from django_jobs.admin.monitor_health import WorkerLoad
from django_jobs.engine.control.switches import Order
from django_jobs.models import WorkerOrder
from django_jobs.texts import comma


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A word and its color, a sentence that says more, and the orders that can be given now.

    ``code`` tells states apart that have the same word. ``is_quiet``: it takes no new jobs.
    """

    code: str
    word: str
    slug: str
    text: str = ""
    verbs: tuple[str, ...] = ()
    is_quiet: bool = False

    @property
    def works(self) -> bool:
        """Return whether it takes new jobs, as far as is known."""
        return self.slug == "completed"


def state_of(loads: Sequence[WorkerLoad], order: WorkerOrder | None) -> State:
    """Return what a supervisor of these processes does, which was ordered this last."""
    alive = [load for load in loads if load.is_alive]
    if not alive:
        return _silent(min(load.seconds_since_beat for load in loads), order)
    if order is not None and order.order == Order.STOP:
        return _stopping(order, sum(len(load.jobs) + load.more for load in alive))
    quiet = [load.worker.quiet_since for load in alive if load.worker.quiet_since is not None]
    if len(quiet) == len(alive):
        running = sum(len(load.jobs) + load.more for load in alive)
        is_to_resume = order is not None and order.order == Order.RESUME
        return _quiet(min(quiet), running, order if is_to_resume else None)
    if order is not None and order.order == Order.QUIET:
        text = _("Ordered to take no new jobs by %(user)s at %(ordered)s. It has not obeyed yet.") % _facts(order)
        return State(code="quiet_ordered", word=_("works"), slug="completed", text=text, verbs=("resume", "stop"))
    return State(code="works", word=_("works"), slug="completed", verbs=("quiet", "stop"))


def _facts(order: WorkerOrder) -> dict[str, str]:
    return {"user": order.ordered_by, "ordered": clock(order.ordered_at), "order": str(order.get_order_display())}


def _silent(seconds: float, order: WorkerOrder | None) -> State:
    duration = brief_duration(seconds)
    code = "silent"
    text = _("No sign for %(duration)s: what it ran starts again elsewhere when its leases end.") % {
        "duration": duration
    }
    if order is not None and order.obeyed_at is None:
        code, facts = "silent_unobeyed", {**_facts(order), "duration": duration}
        text = _("No sign for %(duration)s. It has not obeyed “%(order)s”, ordered at %(ordered)s by %(user)s.") % facts
    return State(code=code, word=_("silent"), slug="dead-letter", text=text)


def _stopping(order: WorkerOrder, running: int) -> State:
    if order.obeyed_at is None:
        text = _("Ordered to stop by %(user)s at %(ordered)s. It has not obeyed yet.") % _facts(order)
        return State(code="stop_ordered", word=_("works"), slug="completed", text=text, verbs=("stop",))
    facts = {"since": clock(order.obeyed_at), "user": order.ordered_by, "running": running_in_words(running)}
    text = _("Since %(since)s, as %(user)s ordered; %(running)s.") % facts
    return State(code="stops", word=_("stops"), slug="timed-out", text=text, is_quiet=True)


def _quiet(since: dt.datetime, running: int, resume: WorkerOrder | None) -> State:
    if resume is not None:
        text = _("Ordered to take jobs again by %(user)s at %(ordered)s. It has not obeyed yet.") % _facts(resume)
        verbs = ("quiet", "stop")
        return State(code="resume_ordered", word=_("quiet"), slug="timed-out", text=text, verbs=verbs, is_quiet=True)
    facts = {"since": clock(since), "running": running_in_words(running)}
    text = _("Since %(since)s it takes no new jobs; %(running)s.") % facts
    return State(code="quiet", word=_("quiet"), slug="timed-out", text=text, verbs=("resume", "stop"), is_quiet=True)


def clock(moment: dt.datetime) -> str:
    """Return the time of a moment with its zone, and with its day if that is another one than today."""
    local, today = localtime(moment), localtime()
    time = f"{date_format(local, 'TIME_FORMAT')} {zone_of(local)}"
    return time if local.date() == today.date() else f"{date_format(local, 'SHORT_DATE_FORMAT')}{comma()}{time}"


def running_in_words(count: int) -> str:
    """Return how many jobs still run, as a sentence goes on."""
    if not count:
        return _("nothing runs")
    return ngettext("%(count)d job still runs", "%(count)d jobs still run", count) % {"count": count}
