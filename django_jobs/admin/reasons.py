"""Why jobs wait, and what is wrong, in words."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from django.http import HttpRequest
from django.middleware.csrf import get_token
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs import pools
from django_jobs.admin.jobs import type_of
from django_jobs.admin.pages import Button, Links, Notice, is_system_admin
from django_jobs.admin.writing import NOTHING, brief_duration, format_duration, format_number, line
from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.alerts.rules import BREAKER_OPEN, NO_WORKER, one_line
from django_jobs.engine.dispatch.window import live_workers
from django_jobs.engine.insight import reasons
from django_jobs.engine.insight.inspection import (
    OpenBreaker,
    count_waiting,
    held_types,
    is_held,
    read_in_use,
)
from django_jobs.engine.insight.problems import PROBLEM, examine_pools, why_unserved
from django_jobs.engine.insight.reasons import HOLDING, REASONS
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
from django_jobs.texts import listed

# What the monitor says where scheduler, workers, broker or charts are not as they should be, and what to do then.


#: How many paused job types are named.
PAUSED_SHOWN: Final = 5
#: The charts are called late if more events than this are still to be counted.
LATE_EVENTS: Final = 100_000


def notice(
    code: str,
    *,
    subject: str = "",
    level: str = "warning",
    facts: Mapping[str, Any] = MappingProxyType({}),
    **more: Any,
) -> Notice:
    """Return what is so with a subject, and what to do, as a notice."""
    told = reasons.told(code, facts)
    text = f"{subject}: {told}" if subject else told
    return Notice(level=level, code=code, text=text, advice=reasons.advice_on(code, facts), **more)


def about_broker(tickets: int | None) -> list[Notice]:
    """Return a notice if the broker did not tell how many ``tickets`` it holds."""
    return [notice("broker_unavailable")] if tickets is None else []


def about_set_aside() -> list[Notice]:
    """Return a notice if workers set foreign entries aside."""
    try:
        aside = get_broker().set_aside()
    except BrokerUnavailable:
        return []
    return [notice("foreign_jobs", facts={"count": str(aside)})] if aside.count else []


def about_workers(alive: Sequence[Worker]) -> list[Notice]:
    """Return a notice if no worker is alive."""
    # An alarm of another pool alone does not tell that nothing at all runs.
    return [] if alive else [notice("no_worker", alarm=f"{NO_WORKER}:{DEFAULT_POOL}")]


def about_pools(alive: Sequence[Worker], types: Collection[str] | None) -> list[Notice]:
    """Return a notice for each pool whose jobs wait in vain, as `jobs_check` finds them."""
    found = [(item.code, item.facts) for item in examine_pools(alive, types) if item.level == PROBLEM]
    return [
        notice(code, subject=facts["pool"], facts=facts, alarm=f"{NO_WORKER}:{facts['pool']}") for code, facts in found
    ]


def about_charts(*, is_empty: bool) -> list[Notice]:
    """Return a notice if the charts cannot be trusted, since counting follows the history by more than some seconds."""
    count = rollups_behind()
    lease = EngineLease.primary.filter(pk=LEASE).first()
    if is_empty:
        return []
    if lease is None or not lease.state.get("done"):
        return [notice("nothing_counted")]
    return [notice("counts_late", facts={"events": count})] if count > LATE_EVENTS else []


def about_types(types: Collection[str] | None) -> list[Notice]:
    """Return a notice that names the paused job types, with ``types`` those among them."""
    rows = JobType.primary.filter(is_enabled=True, is_paused=True).order_by("pk")
    if types is not None:
        rows = rows.filter(pk__in=list(types))
    names = list(rows.values_list("pk", flat=True)[: PAUSED_SHOWN + 1])
    shown = [*names[:PAUSED_SHOWN], *(["…"] if len(names) > PAUSED_SHOWN else [])]
    return [notice("type_paused", subject=listed(shown))] if names else []


# Breakers that hold the jobs of their types: on the monitor, and on a type's page.


#: Breakers that the monitor tells one by one.
SHOWN: Final = 5
CLOSE: Final = gettext_lazy("Close now")
MORE: Final = gettext_lazy("There are more.")


def monitor_notices(
    moment: dt.datetime, found: Sequence[OpenBreaker], links: Links, *, is_system_admin: bool
) -> list[Notice]:
    """Return a notice for each of the first of these breakers, which hold jobs.

    Others than system admins are told no errors and counts, which may be of other tenants, and no links.
    """
    shown = found[:SHOWN]
    notices = [_with_pages(item, moment, links) if is_system_admin else _plain(item) for item in shown]
    if len(found) > SHOWN:
        notices.append(Notice(level="warning", code="more_breakers", text=str(MORE)))
    return notices


def _with_pages(item: OpenBreaker, moment: dt.datetime, links: Links) -> Notice:
    counted = dataclasses.replace(item, waiting=count_waiting(item))
    found = notice_of(counted, moment, links.page("jobtype_close_breaker", item.job_type))
    return dataclasses.replace(found, links=((item.job_type, links.change("jobtype", item.job_type)),))


def notice_of(item: OpenBreaker, moment: dt.datetime, close_url: str = "") -> Notice:
    """Return what system admins should know of a breaker. Its button leads to ``close_url``, if that is given."""
    left = (item.next_try_at - moment).total_seconds() if item.next_try_at else 0.0
    facts = {
        "organization": item.organization,
        "failed": item.failures,
        "waiting": item.waiting_words,
        "since": _("%(duration)s ago") % {"duration": brief_duration((moment - item.since).total_seconds())},
        "next_try": _("in %(duration)s") % {"duration": brief_duration(max(0.0, left))},
        "error": one_line(item.error_message),
    }
    return dataclasses.replace(_plain(item, facts), buttons=((str(CLOSE), close_url),) if close_url else ())


def _plain(item: OpenBreaker, facts: Mapping[str, Any] = MappingProxyType({})) -> Notice:
    is_recovering = item.state == BreakerState.RECOVERING
    return notice(
        "breaker_recovering" if is_recovering else BREAKER_OPEN,
        subject=item.job_type,
        level="info" if is_recovering else "warning",
        facts=facts,
        alarm=f"{BREAKER_OPEN}:{item.job_type}",
    )


# Why a job waits, in words; of one at a limit, which limit that is, and how many run.


#: The reasons that take for granted that the job's pool is configured.
IN_POOL: Final = frozenset({"window", "broker"})


def waits_in_words(
    job: Job, reason: str, names: Names, type_url: str = "", *, is_for_system_admin: bool = False
) -> tuple[str, SafeString | str]:
    """Return why a job waits, in a code and in words. What lies under one of these ``names`` is masked.

    The code is the reason, ``waiting_for``, or a closer one: the type's field that limits it, ``unknown_pool``,
    ``no_worker`` or ``workers_quiet``.

    ``type_url`` is the address of the page of its type, for a reader who may change that. System admins read, besides,
    that no worker serves the job's pool, where several are configured, and which handler a worker could not load.
    """
    kind = type_of(job)
    if reason in IN_POOL and kind is not None:
        return _in_pool(kind, reason, type_url, is_for_system_admin=is_for_system_admin)
    code, limit = limit_of(job, names) if reason == "concurrency" else (reason, "")
    said = handlers.unloadable_reasons([job]).get(job.pk, "") if reason == "handler" and is_for_system_admin else ""
    more = limit or said
    return code, format_html("{} {}", _sentence(code, reason), more) if more else _sentence(code, reason)


def _sentence(code: str, reason: str) -> str:
    found = REASONS.get(code) or REASONS.get(reason)
    return str(found.long if found else NOTHING)


def _in_pool(kind: JobType, reason: str, type_url: str, *, is_for_system_admin: bool) -> tuple[str, SafeString | str]:
    code = "" if kind.pool in pools.names() else "unknown_pool"
    if not code and is_for_system_admin and pools.configured():
        code = why_unserved(kind.pool, live_workers())
    if not code:
        return reason, str(REASONS[reason].long)
    pool = format_html('<a href="{}">{}</a>', type_url, line(kind.pool, 60)) if type_url else line(kind.pool, 60)
    advice = reasons.advice_on(code, {"pool": kind.pool})
    return code, format_html("{}: {} {}", pool, REASONS[code].long, advice)


def limit_of(job: Job, names: Names) -> tuple[str, SafeString | str]:
    """Return which limit a job waits for, as the type's field, and how much of it is in use: ``max running: 3 of 3``.

    Where it has waited for one that was reached a moment ago, return the reason alone.
    """
    kind = job.job_type
    if not is_rekeyed(kind):
        return "rekeying", ""
    reached = read_in_use(kind).reached_by(Lane(job.organization_id, kind.pk, job.lane_key))
    key = key_words(kind, job.input_parameters, names) if kind.concurrency_key else ""
    if reached is not None:
        value = reasons.of_all(reached.number, reached.limit)
        return reached.field, _limit(reached.field, value, key if reached.field == "max_running_per_key" else "")
    rates = {name: getattr(kind, name) for name in ("max_starts", "max_starts_per_key") if getattr(kind, name)}
    window = format_duration(kind.max_starts_window)
    told = [
        _limit(name, f"{format_number(most)} / {window}", key if name == "max_starts_per_key" else "")
        for name, most in rates.items()
    ]
    return next(iter(rates), "concurrency"), format_html_join(" ", "{}", ((text,) for text in told))


def _limit(field: str, value: str, key: SafeString | str) -> SafeString:
    column: Any = JobType._meta.get_field(field)
    label = capfirst(str(column.verbose_name))
    return format_html("{} ({}): {}.", label, key, value) if key else format_html("{}: {}.", label, value)


def key_words(kind: JobType, parameters: Mapping[str, Any], names: Names) -> SafeString | str:
    """Return the concurrency key of a job with its value, such as ``account 42``."""
    key = kind.concurrency_key
    value = masked({key: parameters.get(key)}, names)[key]
    return line(f"{key} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}", 60)


# Why a job that was retried waits: somebody or a breaker holds its type; and the button that ends that.


PAUSED: Final = "type_paused"
DISABLED: Final = "type_disabled"
BREAKER: Final = "breaker"
#: The button of a type's page that ends it, and its words.
ENDS: Final[Mapping[str, tuple[str, Any]]] = {
    PAUSED: ("jobtype_resume", gettext_lazy("Resume the type")),
    DISABLED: ("jobtype_enable", gettext_lazy("Enable the type")),
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
    page, words = ENDS[reason]
    return Button(words=str(words), url=links.page(page, job_type), fields={"next": back})


def retried(request: HttpRequest, links: Links, job: Job, link: Any, back: str) -> tuple[SafeString, str]:
    """Return what to say of a job that was retried just now, and the reason why it waits; "" where nothing holds it.

    ``link`` names the job. The message has the button that lets it go; that leads ``back``.
    """
    reason = describe(job).waiting_for or ""
    text = format_html("{}: {}", _("Retry"), link)
    if reason not in HOLDING:
        return text, ""
    text = format_html("{} {}", text, REASONS[reason].long)
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
    return format_html("{} {}", REASONS[reason].long, "" if button is None else drawn(request, button)), reason


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
