"""Why a job waits, in words; of one at a limit, which limit that is, and how many run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobs import pools
from django_jobs.admin.durations import format_duration
from django_jobs.admin.formatting import NOTHING, line
from django_jobs.admin.job_columns import type_of
from django_jobs.admin.monitor_notices import pool_in_words
from django_jobs.admin.numbers import format_number
from django_jobs.engine.dispatch.window import live_workers
from django_jobs.engine.insight.inspection import read_in_use
from django_jobs.engine.insight.problems import unserved, why_unserved
from django_jobs.engine.job_types import handlers
from django_jobs.engine.job_types.masking import Names, masked
from django_jobs.engine.job_types.parameters import is_rekeyed
from django_jobs.engine.store.values import Lane
from django_jobs.models import Job, JobType

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
