"""The filter of an operation in words, with links to what it names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import ngettext

from django_jobs.admin.formatting import linked
from django_jobs.admin.open_pages import OpenPages
from django_jobs.engine.access import organizations_seen_by
from django_jobs.engine.control.operations import ids_seen_by
from django_jobs.engine.insight.filter import PK, SHOWN, TERMS, JobFilter, without_secrets
from django_jobs.engine.job_types.masking import hidden_from
from django_jobs.engine.schedules.definitions import visible_schedules
from django_jobs.engine.store.organization_ids import read_tenants
from django_jobs.exceptions import InvalidFilter
from django_jobs.models import Batch, Job, JobType, Operation, Schedule
from django_jobs.texts import comma

BREAK: Final = mark_safe("<br>")
#: The values of a term by the addresses of what they name; what has none is missing.
Addresses = Mapping[Any, str]


def linked_words(operation: Operation, pages: OpenPages) -> SafeString | str:
    """Return the filter of an operation in words, a line for each part of it."""
    try:
        asked = without_secrets(JobFilter.from_json(operation.filters), hidden_from(pages.user)).asked()
    except InvalidFilter as error:
        return str(error)
    return format_html_join(
        BREAK, "{}: {}", ((TERMS[name].label, _values(name, value, pages)) for name, value in asked.items())
    )


def _values(name: str, value: Any, pages: OpenPages) -> SafeString:
    """Return the first values of a field, as links where there is something to open, and how many more there are."""
    term = TERMS[name]
    texts = term.tell(value, ids_seen_by(pages.user, set(value)) if name == PK else {})
    keys = term.values_of(value)[:SHOWN]
    find = FINDERS.get(name)
    addresses = find(keys, pages) if find is not None else {}
    items = [
        (linked(addresses.get(key, ""), format_html("<bdi>{}</bdi>", text)),)
        for key, text in zip(keys, texts[:SHOWN], strict=True)
    ]
    shown, more = format_html_join(comma(), "{}", items), len(texts) - len(items)
    if more <= 0:
        return shown
    return format_html("{} {}", shown, ngettext("and %(more)s more", "and %(more)s more", more) % {"more": more})


def _types(names: list[str], pages: OpenPages) -> Addresses:
    kinds = JobType.primary.in_bulk(names)
    return {name: pages.job_type(kind) or pages.links.jobs_of_type(name) for name, kind in kinds.items()}


def _organizations(pks: list[Any], pages: OpenPages) -> Addresses:
    seen = organizations_seen_by(pages.user)
    there = read_tenants(pks) if seen is None else set(seen.filter(pk__in=pks).values_list("pk", flat=True))
    opened = pages.organizations(there)
    return {pk: opened.get(pk) or pages.links.jobs_of_organization(pk) for pk in there}


def _jobs(ids: list[tuple[int, int]], pages: OpenPages) -> Addresses:
    found = _jobs_by_number([pk for pk, _year in ids], pages)
    return {(pk, year): found.get(pk, "") for pk, year in ids}


def _jobs_by_number(pks: list[int], pages: OpenPages) -> Addresses:
    return {job.pk: pages.job(job) for job in Job.primary.visible_to(pages.user).filter(pk__in=pks)}


def _batches(ids: list[tuple[int, int]], pages: OpenPages) -> Addresses:
    rows = Batch.primary.visible_to(pages.user).filter(pk__in=[pk for pk, _year in ids])
    return {(batch.pk, batch.created_at.year): pages.links.batch(batch.pk) for batch in rows}


def _schedules(names: list[str], pages: OpenPages) -> Addresses:
    """Return the addresses of schedules; none where several organizations have one of that name."""
    found = list(visible_schedules(pages.user).filter(name__in=names)) if pages.opens(Schedule) else []
    counts = Counter(schedule.name for schedule in found)
    return {row.name: pages.links.schedule(row.pk) for row in found if counts[row.name] == 1}


#: By the name of a term: what finds where its values lead to.
FINDERS: Final[dict[str, Callable[[list[Any], OpenPages], Addresses]]] = {
    "job_type": _types,
    PK: _organizations,
    "job_id": _jobs,
    "submitted_by": _jobs_by_number,
    "batch": _batches,
    "schedule": _schedules,
    "operation": lambda pks, pages: pages.operations(pks),
    "owner": lambda names, pages: {name: pages.links.jobs_of_owner(name) for name in names},
    "worker": lambda names, pages: {name: pages.links.jobs_of_worker(name) for name in names},
    "pool": lambda names, pages: {name: pages.links.types_of_pool(name) for name in names if pages.opens(JobType)},
}
