"""What the monitor says where scheduler, workers, broker or charts are not as they should be, and what to do then."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobs.admin.capped_counts import CappedCount
from django_jobs.admin.news import Notice
from django_jobs.admin.numbers import format_number
from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.alerts.rules import NO_WORKER
from django_jobs.engine.insight.inspection import PROBLEM, Finding
from django_jobs.engine.insight.problems import examine_pools
from django_jobs.engine.insight.rollups import LEASE, rollups_behind
from django_jobs.engine.ports import get_broker
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import EngineLease, JobType, Worker
from django_jobs.texts import listed, translated

#: How many paused job types are named.
PAUSED_SHOWN: Final = 5
#: The charts are called late if more events than this are still to be counted.
LATE_EVENTS: Final = 100_000


def about_broker(tickets: int | None) -> list[Notice]:
    """Return a notice if the broker did not tell how many ``tickets`` it holds."""
    if tickets is not None:
        return []
    text = _("Redis cannot be reached. Jobs are still accepted and wait in the database; none starts until it is back.")
    advice = _("Start Redis, or correct the URL in RQ_QUEUES.")
    return [Notice(level="warning", code="broker_unavailable", text=text, advice=advice)]


def about_set_aside() -> list[Notice]:
    """Return a notice if workers set foreign entries aside."""
    try:
        aside = get_broker().set_aside()
    except BrokerUnavailable:
        return []
    if not aside.count:
        return []
    text = ngettext(
        "Set aside from our queues, and not run: %(count)s entry that is no ticket.",
        "Set aside from our queues, and not run: %(count)s entries that are no tickets.",
        aside.count,
    ) % {"count": CappedCount(count=aside.count, is_cut=aside.is_capped)}
    advice = _(
        "Give RQ jobs of yours queues of their own, and see who may write to Redis. “manage.py jobs_check” names the "
        "newest; “Entries that are not ours” in docs/operations.md says how to look at them and forget them."
    )
    return [Notice(level="warning", code="set_aside", text=text, advice=advice)]


def about_workers(alive: Sequence[Worker], waiting: int) -> list[Notice]:
    """Return a notice if no worker is alive; ``waiting`` is how many jobs wait."""
    if alive:
        return []
    text = _("No worker is alive: what is submitted waits.")
    if waiting:
        text = _("No worker is alive: nothing runs, and jobs wait.")
    advice = _("Start “manage.py jobs_worker”, and look at its log if it ends.")
    # An alarm of another pool alone does not tell that nothing at all runs.
    alarm = f"{NO_WORKER}:{DEFAULT_POOL}"
    return [Notice(level="warning", code="no_worker", alarm=alarm, text=text, advice=advice)]


def about_pools(alive: Sequence[Worker], types: Collection[str] | None) -> list[Notice]:
    """Return a notice for each pool whose jobs wait in vain, as `jobs_check` finds them."""
    found = [(item, item.subject.removeprefix("pool ")) for item in examine_pools(alive, types)]
    return [
        Notice(level="warning", code=item.code, alarm=f"{NO_WORKER}:{pool}", text=pool_in_words(pool, item))
        for item, pool in found
        if item.level == PROBLEM
    ]


def pool_in_words(pool: str, found: Finding) -> str:
    """Return what is wrong with a pool, as a finding of `jobs_check` says it, in the active language."""
    told = re.sub("`([^`]*)`", r"“\1”", translated(found.text))
    # Translators: a pool, and what is wrong with it.
    return _("Pool %(pool)s: %(problem)s") % {"pool": pool, "problem": told}


def about_charts(*, is_empty: bool) -> list[Notice]:
    """Return a notice if the charts cannot be trusted, since counting follows the history by more than some seconds."""
    count = rollups_behind()
    lease = EngineLease.primary.filter(pk=LEASE).first()
    if is_empty:
        return []
    if lease is None or not lease.state.get("done"):
        text = _(
            "Nothing is counted yet: the charts and the table of job types stay empty until the scheduler has done it."
        )
        advice = _("That takes some seconds once a scheduler runs.")
        return [Notice(level="warning", code="nothing_counted", text=text, advice=advice)]
    if count > LATE_EVENTS:
        text = ngettext(
            "The charts are late: %(count)s event is still to be counted. What waits and runs is up to date.",
            "The charts are late: %(count)s events are still to be counted. What waits and runs is up to date.",
            count,
        ) % {"count": format_number(count)}
        advice = _("The scheduler catches up by itself; a transaction that stays open for long can hold it up.")
        return [Notice(level="warning", code="counts_late", text=text, advice=advice)]
    return []


def about_types(types: Collection[str] | None) -> list[Notice]:
    """Return a notice that names the paused job types, with ``types`` those among them."""
    rows = JobType.primary.filter(is_enabled=True, is_paused=True).order_by("pk")
    if types is not None:
        rows = rows.filter(pk__in=list(types))
    names = list(rows.values_list("pk", flat=True)[: PAUSED_SHOWN + 1])
    if not names:
        return []
    text = ngettext(
        "Paused on purpose: %(types)s. Their jobs wait until the type is resumed.",
        "Paused on purpose: %(types)s. Their jobs wait until the type is resumed.",
        len(names),
    )
    if len(names) > PAUSED_SHOWN:
        text = _("Paused on purpose: %(types)s and others. Their jobs wait until the type is resumed.")
    text %= {"types": listed(names[:PAUSED_SHOWN])}
    return [Notice(level="warning", code="types_paused", text=text)]
