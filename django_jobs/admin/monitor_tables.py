"""The monitor's tables: what was read, in words, with the addresses of the pages that tell more."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from django_jobs.admin.charts_small import draw_spark
from django_jobs.admin.durations import brief_duration
from django_jobs.admin.formatting import NOTHING, ago, line
from django_jobs.admin.monitor_health import WorkerLoad
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.monitor_now import Tenant
from django_jobs.admin.monitor_pools import served_in_words
from django_jobs.admin.monitor_traffic import Times, Traffic, TypeTraffic
from django_jobs.admin.numbers import format_number, format_percent
from django_jobs.admin.open_pages import OpenPages
from django_jobs.models import JobType

#: Shares that differ by less than this are told as equal.
SAME: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeRow:
    """One job type's line."""

    name: Any
    url: str
    jobs_url: str
    failures_url: str
    ended: str
    failures: str
    #: The failures in words, such as ``863 of 863 failed``.
    told: str
    rate: str
    trend: Any
    spark: Any
    p95: str
    state: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRow:
    """One organization's line."""

    name: Any
    url: str
    jobs_url: str
    is_active: bool
    waiting: Any
    running: str
    share: float
    percent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """One worker process' line."""

    name: Any
    slots: int
    serves: Any
    beat: str
    is_alive: bool
    is_quiet: bool
    jobs: list[tuple[str, str, Any, Any]]
    more: int


def duration(seconds: float | None) -> str:
    """Return a number of seconds for people; a dash for None."""
    return NOTHING if seconds is None else brief_duration(seconds)


def percent(share: float | None) -> str:
    """Return a share as a percentage; a dash for None."""
    return NOTHING if share is None else format_percent(share)


def time_rows(traffic: Traffic) -> list[tuple[str, str, str, str]]:
    """Return the lines of waiting and running: average, median and 95th percentile."""
    named: list[tuple[str, Times]] = [
        (pgettext("how long jobs waited", "Wait"), traffic.wait),
        (pgettext("how long jobs ran", "Run"), traffic.run),
    ]
    return [
        (name, duration(times.average), duration(times.percentile(0.5)), duration(times.percentile(0.95)))
        for name, times in named
    ]


def type_rows(
    request: HttpRequest, links: Links, traffic: Traffic, failing: Collection[str], held: Mapping[str, str]
) -> list[TypeRow]:
    """Return the lines of the job types: an alarm says of some that they are ``failing``, breakers hold others.

    Of what is ``held`` it is told for which organization alone; blank is for all.
    Only who may see job types gets links to them.
    """
    names = [item.name for item in traffic.types]
    kinds, pages = JobType.primary.in_bulk(names), OpenPages(request, links.site)
    return [
        _type_row(pages, item, kinds.get(item.name), held.get(item.name), is_failing=item.name in failing)
        for item in traffic.types
    ]


def _type_row(
    pages: OpenPages, item: TypeTraffic, kind: JobType | None, held: str | None, *, is_failing: bool
) -> TypeRow:
    links = pages.links
    return TypeRow(
        name=line(item.name, 60),
        url=pages.job_type(kind),
        jobs_url=links.jobs_of_type(item.name),
        failures_url=links.failures(item.name) if item.failures and kind is not None else "",
        ended=format_number(item.ended),
        failures=format_number(item.failures),
        told=_failures_in_words(item),
        rate=percent(item.failure_rate),
        trend=trend(item.failure_rate, item.earlier_rate),
        spark=draw_spark(item.rates) if item.failures else "",
        p95=duration(item.run.percentile(0.95)),
        state=_state(kind, item, held, is_failing=is_failing),
    )


def trend(now: float | None, earlier: float | None) -> SafeString | str:
    """Return the change of the failure rate since the time before, in words; "" if one of the rates is unknown."""
    if now is None or earlier is None:
        return ""
    if abs(now - earlier) < SAME:
        return _("as before")
    name, arrow = ("worse", "▲") if now > earlier else ("better", "▼")
    # Translators: a rate became better or worse; this is what it was before.
    text = _("from %(rate)s") % {"rate": percent(earlier)}
    return format_html('<span class="djobs-{}"><span aria-hidden="true">{}</span> {}</span>', name, arrow, text)


def _failures_in_words(item: TypeTraffic) -> str:
    """Return how many attempts failed, of how many; 0 if none did."""
    if not item.failures:
        return format_number(0)
    text = ngettext("%(failed)s of %(ended)s failed", "%(failed)s of %(ended)s failed", item.failures)
    return text % {"failed": format_number(item.failures), "ended": format_number(item.ended)}


def _state(kind: JobType | None, item: TypeTraffic, held: str | None, *, is_failing: bool) -> SafeString:
    """Return what may start of the type. One that fails, or that its breaker holds, is not called active in green."""
    code, words, name = "active", pgettext("job type", "active"), "completed"
    if item.failures and item.failures == item.ended:
        code, words, name = "all_fail", _("all fail"), "failed"
    elif is_failing:
        code, words, name = "failing", pgettext("job type", "failing"), "failed"
    if held is not None:
        code, words, name = "held", _("held by its breaker"), "failed"
    if held:
        words = _("held for %(organization)s alone") % {"organization": line(held, 60)}
    if kind is None:
        code, words, name = "deleted", _("deleted"), "canceled"
    elif not kind.is_enabled:
        code, words, name = "disabled", _("disabled"), "canceled"
    elif kind.is_paused:
        code, words, name = "paused", _("paused"), "timed-out"
    return format_html('<span class="djobs-badge djobs-{}" data-code="{}">{}</span>', name, code, words)


def tenant_rows(request: HttpRequest, links: Links, tenants: Collection[Tenant]) -> list[TenantRow]:
    """Return the lines of the organizations. Only who may see organizations gets links to them."""
    pks = [item.organization.pk for item in tenants if item.organization is not None]
    pages = OpenPages(request, links.site).organizations(pks)
    return [_tenant_row(links, item, pages) for item in tenants]


def _tenant_row(links: Links, item: Tenant, pages: Mapping[Any, str]) -> TenantRow:
    is_there = item.organization is not None
    return TenantRow(
        name=line(item.name, 60),
        url=pages.get(item.organization.pk, "") if is_there else "",
        jobs_url=links.jobs_of_organization(item.organization.pk) if is_there else "",
        is_active=item.is_active or not is_there,
        waiting=item.waiting,
        running=format_number(item.running),
        share=item.share,
        percent=percent(item.share),
    )


def worker_rows(links: Links, workers: Collection[WorkerLoad]) -> list[WorkerRow]:
    """Return the lines of the worker processes."""
    return [
        WorkerRow(
            name=line(item.worker.name, 60),
            slots=item.worker.slots,
            serves=served_in_words(item.worker.queues),
            beat=brief_duration(item.seconds_since_beat),
            is_alive=item.is_alive,
            is_quiet=item.worker.quiet_since is not None,
            jobs=[
                (
                    job.name,
                    links.page("django_jobs_job_change", job.pk),
                    line(job.job_type_id, 40),
                    ago(job.started_at) if job.started_at else "",
                )
                for job in item.jobs
            ],
            more=item.more,
        )
        for item in workers
    ]
