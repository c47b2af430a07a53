"""Why jobs wait, and what is wrong, in words."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from django.http import HttpRequest
from django.middleware.csrf import get_token
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobs import pools
from django_jobs.admin.bar import Links
from django_jobs.admin.jobs import type_of
from django_jobs.admin.pages import Button, Notice, is_system_admin
from django_jobs.admin.writing import NOTHING, CappedCount, brief_duration, format_duration, format_number, line
from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.alerts.rules import BREAKER_OPEN, NO_WORKER
from django_jobs.engine.dispatch.window import live_workers
from django_jobs.engine.insight.inspection import (
    MAX_ERROR,
    MAX_WAITING,
    PROBLEM,
    Finding,
    OpenBreaker,
    count_waiting,
    held_types,
    is_held,
    read_in_use,
)
from django_jobs.engine.insight.problems import examine_pools, unserved, why_unserved
from django_jobs.engine.insight.rollups import LEASE, rollups_behind
from django_jobs.engine.insight.status import describe
from django_jobs.engine.job_types import handlers
from django_jobs.engine.job_types.masking import Names, masked
from django_jobs.engine.job_types.parameters import is_rekeyed
from django_jobs.engine.ports import get_broker
from django_jobs.engine.store.values import Lane
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import EngineLease, Job, JobType, Worker
from django_jobs.statuses import BreakerState
from django_jobs.texts import listed, translated

# What the monitor says where scheduler, workers, broker or charts are not as they should be, and what to do then.


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


# Breakers that hold the jobs of their types, in words that say what to do: on the monitor, and on a type's page.


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
    counted = dataclasses.replace(item, waiting=count_waiting(item))
    notice = notice_of(counted, moment, links.page("jobtype_close_breaker", item.job_type))
    return dataclasses.replace(notice, links=((item.job_type, links.change("jobtype", item.job_type)),))


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


# Why a job waits, in words; of one at a limit, which limit that is, and how many run.


#: Each value of ``JobStatus.waiting_for`` in words for people.
REASONS: Final[dict[str, Any]] = {
    "run_at": gettext_lazy("It is not due yet."),
    "dependency": gettext_lazy("It waits for other jobs; they are listed below."),
    "retry": gettext_lazy("Its next retry is not due yet."),
    "organization_inactive": gettext_lazy("Its organization is suspended."),
    "type_disabled": gettext_lazy("Its job type is disabled."),
    "type_paused": gettext_lazy("Its job type is paused."),
    "handler": gettext_lazy("No worker that tried could load its handler; after 10 minutes it ends as a Dead Letter."),
    "breaker": gettext_lazy("Jobs of its type failed one after the other; they start when one that tries completes."),
    "concurrency": gettext_lazy("Its type, organization, key or rate of starts is at its limit."),
    "limit": gettext_lazy("Its organization has as many jobs in flight as it may."),
    "window": gettext_lazy("Other jobs are before it."),
    "broker": gettext_lazy("It has a ticket; the next free worker takes it."),
}
#: How many of how many jobs run, by the job type's field that limits them. Those of a key are told by its value.
IN_USE: Final[dict[str, Callable[[int], str]]] = {
    "max_running": lambda limit: ngettext(
        "{count} of {limit} jobs of its type run or are queued.",
        "{count} of {limit} jobs of its type run or are queued.",
        limit,
    ),
    "max_running_per_organization": lambda limit: ngettext(
        "{count} of {limit} jobs of its type and organization run or are queued.",
        "{count} of {limit} jobs of its type and organization run or are queued.",
        limit,
    ),
}
#: The reasons that take for granted that the job's pool is configured.
IN_POOL: Final = frozenset({"window", "broker"})
REKEYING: Final[Any] = gettext_lazy("Jobs of its type are held until they are in the lanes of the new key.")


def waits_in_words(
    job: Job, reason: str, names: Names, type_url: str = "", *, is_for_system_admin: bool = False
) -> tuple[str, SafeString | str]:
    """Return why a job waits, in a code and in words. What lies under one of these ``names`` is masked.

    The code is the reason, ``waiting_for``, or a closer one: the type's field that limits it, or ``unknown_pool``.

    ``type_url`` is the address of the page of its type, for a reader who may change that. System admins read, besides,
    that no worker serves the job's pool, where several are configured, and which handler a worker could not load.
    """
    words = str(REASONS.get(reason, NOTHING))
    if reason in IN_POOL and (pool := _unknown_pool(job)):
        return "unknown_pool", no_pool_in_words(pool, type_url)
    if reason in IN_POOL and is_for_system_admin and pools.configured():
        return reason, f"{words} {_unserved_in_words(job)}".strip()
    if reason == "concurrency":
        return limit_in_words(job, names) or (reason, words)
    tells = reason == "handler" and is_for_system_admin
    said = handlers.unloadable_reasons([job]).get(job.pk, "") if tells else ""
    return reason, f"{words} {said}".strip()


def _unknown_pool(job: Job) -> str:
    """Return the pool of a job's type if it is not configured; "" if it is, or the type is gone."""
    kind = type_of(job)
    return "" if kind is None or kind.pool in pools.names() else kind.pool


def _unserved_in_words(job: Job) -> str:
    """Return that no worker serves the pool of a job's type, and what to do; "" where one does, or the type is gone."""
    kind = type_of(job)
    code = why_unserved(kind.pool, live_workers()) if kind is not None else ""
    return pool_in_words(kind.pool, unserved(kind.pool, code)) if kind is not None and code else ""


def no_pool_in_words(pool: str, type_url: str) -> SafeString:
    """Return that a job waits for a pool that is not configured, and what to do about it."""
    begin, end = (format_html('<a href="{}">', type_url), mark_safe("</a>")) if type_url else ("", "")
    # Translators: what stands between {begin} and {end} is a link.
    text = _(
        "The pool {pool} of its type is not configured, so that no worker takes it: add it to DJANGO_JOBS['POOLS'], "
        "or choose another pool for {begin}the type{end}."
    )
    return format_html(text, pool=line(pool, 60), begin=begin, end=end)


def limit_in_words(job: Job, names: Names) -> tuple[str, SafeString | str] | None:
    """Return which limit a job waits for, in a code and in words: ``3 of 3 jobs for account 42 run or are queued``.

    Return None where it has waited for one that was reached a moment ago.
    """
    kind = job.job_type
    if not is_rekeyed(kind):
        return "rekeying", str(REKEYING)
    reached = read_in_use(kind).reached_by(Lane(job.organization_id, kind.pk, job.lane_key))
    if reached is None:
        return _rate_in_words(kind)
    values = {"count": format_number(reached.number), "limit": format_number(reached.limit)}
    if reached.field in IN_USE:
        return reached.field, format_html(IN_USE[reached.field](reached.limit), **values)
    text = ngettext(
        "{count} of {limit} jobs for {key} run or are queued.",
        "{count} of {limit} jobs for {key} run or are queued.",
        reached.limit,
    )
    return reached.field, format_html(text, **values, key=key_words(kind, job.input_parameters, names))


def key_words(kind: JobType, parameters: Mapping[str, Any], names: Names) -> SafeString | str:
    """Return the concurrency key of a job with its value, such as ``account 42``."""
    key = kind.concurrency_key
    value = masked({key: parameters.get(key)}, names)[key]
    return line(f"{key} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}", 60)


def _rate_in_words(kind: JobType) -> tuple[str, str] | None:
    """Return the rates of starts of a type; None where it has none."""
    of_type, of_key = kind.max_starts, kind.max_starts_per_key
    if of_type is not None and of_key is not None:
        text = ngettext(
            "At most %(limit)s of its type and %(own)s for each %(key)s start in %(duration)s, evenly spread.",
            "At most %(limit)s of its type and %(own)s for each %(key)s start in %(duration)s, evenly spread.",
            of_type,
        )
    elif of_type is not None:
        text = ngettext(
            "At most %(limit)s of its type start in %(duration)s, evenly spread.",
            "At most %(limit)s of its type start in %(duration)s, evenly spread.",
            of_type,
        )
    elif of_key is not None:
        text = ngettext(
            "At most %(own)s for each %(key)s start in %(duration)s, evenly spread.",
            "At most %(own)s for each %(key)s start in %(duration)s, evenly spread.",
            of_key,
        )
    else:
        return None
    return "max_starts" if of_type is not None else "max_starts_per_key", text % {
        "limit": format_number(of_type or 0),
        "own": format_number(of_key or 0),
        "key": kind.concurrency_key,
        "duration": format_duration(kind.max_starts_window),
    }


# Why a job that was retried waits: somebody or a breaker holds its type; and the button that ends that.


PAUSED: Final = "type_paused"
DISABLED: Final = "type_disabled"
BREAKER: Final = "breaker"
#: By the reason why a job waits (``JobStatus.waiting_for``): what is told of one that was retried.
TOLD: Final[Mapping[str, Any]] = {
    PAUSED: gettext_lazy("{job} waits, because its type is paused: it starts once the type is resumed."),
    DISABLED: gettext_lazy("{job} waits, because its type is disabled: it starts once the type is enabled."),
    BREAKER: gettext_lazy(
        "{job} waits, because the breaker of its type is open: it starts once a job that tries gets through."
    ),
    "organization_inactive": gettext_lazy(
        "{job} waits, because its organization is suspended: it starts once that is active again."
    ),
}
#: By the reason why all jobs of a type wait: what is told of those that will be retried.
WILL_WAIT: Final[Mapping[str, Any]] = {
    PAUSED: gettext_lazy("The type is paused: what is retried waits until it is resumed."),
    DISABLED: gettext_lazy("The type is disabled: what is retried waits until it is enabled."),
    BREAKER: gettext_lazy(
        "The breaker of the type is open: what is retried waits until a job that tries gets through."
    ),
}
#: What the buttons of failures do about it, and their words.
ENDS: Final[Mapping[str, tuple[str, Any]]] = {
    PAUSED: ("resume_type", gettext_lazy("Resume the type")),
    DISABLED: ("enable_type", gettext_lazy("Enable the type")),
}


def reason_of(kind: JobType | None, *, is_held: bool) -> str:
    """Return why no job of a type starts, by the names above; empty where nothing holds them all."""
    if kind is None:
        return ""
    if not kind.is_enabled:
        return DISABLED
    return PAUSED if kind.is_paused else BREAKER if is_held else ""


def button_for(request: HttpRequest, links: Links, reason: str, job_type: str, back: str) -> Button | None:
    """Return the button that ends the reason, for who may press it; it leads back to this address."""
    if not is_system_admin(request):
        return None
    if reason == BREAKER:
        return Button(words=str(CLOSE), url=links.page("jobtype_close_breaker", job_type))
    if reason not in ENDS:
        return None
    action, words = ENDS[reason]
    return Button(
        words=str(words), url=links.page("failure_act"), fields={"job_type": job_type, "action": action, "next": back}
    )


def retried(request: HttpRequest, links: Links, job: Job, link: Any, back: str) -> tuple[SafeString, str]:
    """Return what to say of a job that was retried just now, and the reason why it waits; "" where nothing holds it.

    ``link`` names the job. The message has the button that lets it go; that leads ``back``.
    """
    reason = describe(job).waiting_for or ""
    if reason not in TOLD:
        return format_html(_("{job} starts over. Its page shows what becomes of it."), job=link), ""
    text = format_html(str(TOLD[reason]), job=link)
    button = button_for(request, links, reason, job.job_type_id, back)
    return (text if button is None else format_html("{} {}", text, drawn(request, button))), reason


def will_wait(request: HttpRequest, links: Links, job_type: str, back: str) -> tuple[SafeString, str] | None:
    """Return what to say of jobs of a type that will be retried, with the button, and why they wait; None where nothing
    holds them.
    """
    kind = JobType.primary.filter(pk=job_type).first()
    held = held_types([job_type]) if kind and kind.breaker_failures else {}
    reason = reason_of(kind, is_held=is_held(held, job_type, None))
    if not reason:
        return None
    button = button_for(request, links, reason, job_type, back)
    return format_html("{} {}", WILL_WAIT[reason], "" if button is None else drawn(request, button)), reason


def drawn(request: HttpRequest, button: Button) -> SafeString:
    """Return a button for a message, which no template draws."""
    if not button.fields:
        return format_html('<a role="button" class="button djobs-act" href="{}">{}</a>', button.url, button.words)
    fields = {"csrfmiddlewaretoken": get_token(request), **button.fields}
    hidden = format_html_join("", '<input type="hidden" name="{}" value="{}">', fields.items())
    return format_html(
        '<form method="post" action="{}" class="djobs-inline">{}'
        '<button type="submit" class="button djobs-act">{}</button></form>',
        button.url,
        hidden,
        button.words,
    )
