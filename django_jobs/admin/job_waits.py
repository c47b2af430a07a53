"""Why a job waits, in words; of one at a limit, which limit that is, and how many run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

from django_jobs.admin.durations import format_duration
from django_jobs.admin.formatting import NOTHING, line
from django_jobs.engine.insight.limits_in_use import read_in_use
from django_jobs.engine.job_types import unloadable
from django_jobs.engine.job_types.lane_keys import is_rekeyed
from django_jobs.engine.job_types.masking import Names, masked
from django_jobs.engine.store.lane_values import Lane
from django_jobs.models import Job, JobType

#: Each value of ``JobStatus.waiting_for`` in words for people.
REASONS: Final = {
    "run_at": "It is not due yet.",
    "dependency": "It waits for other jobs; they are listed below.",
    "retry": "Its next retry is not due yet.",
    "organization_inactive": "Its organization is suspended.",
    "type_disabled": "Its job type is disabled.",
    "type_paused": "Its job type is paused.",
    "handler": "No worker that tried could load its handler; after 10 minutes it ends as a Dead Letter.",
    "breaker": "Jobs of its type failed one after the other; they start when one that tries completes.",
    "concurrency": "Its type, organization, key or rate of starts is at its limit.",
    "limit": "Its organization has as many jobs in flight as it may.",
    "window": "Other jobs are before it.",
    "broker": "It has a ticket; the next free worker takes it.",
}
#: Whose jobs a limit counts, by the job type's field. Those of a key are told by its value.
WHOSE: Final = {
    "max_running": "of its type",
    "max_running_per_organization": "of its type and organization",
}
REKEYING: Final = "Jobs of its type are held until they are in the lanes of the new key."


def waits_in_words(job: Job, reason: str, names: Names) -> SafeString | str:
    """Return why a job waits. What lies under one of these ``names`` is masked."""
    words = REASONS.get(reason, NOTHING)
    if reason == "concurrency":
        return limit_in_words(job, names) or words
    said = unloadable.reasons([job]).get(job.pk, "") if reason == "handler" else ""
    return f"{words} {said}".strip()


def limit_in_words(job: Job, names: Names) -> SafeString | str:
    """Return which limit a job waits for, such as ``3 of 3 jobs for account 42 run or are queued``.

    Return "" where it has waited for one that was reached a moment ago.
    """
    kind = job.job_type
    if not is_rekeyed(kind):
        return REKEYING
    reached = read_in_use(kind).reached_by(Lane(job.organization_id, kind.pk, job.lane_key))
    if reached is None:
        return _rate_in_words(kind)
    whose = WHOSE.get(reached.field) or format_html("for {}", key_words(kind, job.input_parameters, names))
    return format_html("{} of {} jobs {} run or are queued.", f"{reached.number:,}", f"{reached.limit:,}", whose)


def key_words(kind: JobType, parameters: Mapping[str, Any], names: Names) -> SafeString | str:
    """Return the concurrency key of a job with its value, such as ``account 42``."""
    key = kind.concurrency_key
    value = masked({key: parameters.get(key)}, names)[key]
    return line(f"{key} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}", 60)


def _rate_in_words(kind: JobType) -> str:
    """Return the rates of starts of a type. "" where it has none."""
    rates = [(kind.max_starts, "of its type"), (kind.max_starts_per_key, f"for each {kind.concurrency_key}")]
    most = [f"{limit:,} {whose}" for limit, whose in rates if limit is not None]
    return (
        f"At most {' and '.join(most)} start in {format_duration(kind.max_starts_window)}, evenly spread."
        if most
        else ""
    )
