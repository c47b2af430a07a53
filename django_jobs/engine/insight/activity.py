"""The activity rows: reading them, and adding sums to them."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from django.db.models import QuerySet

from django_jobs.engine.store import database
from django_jobs.engine.store.aggregates import COUNTERS, HISTOGRAMS, SUMS, Place, Tally, start_of
from django_jobs.models import OrganizationActivity, Span, TypeActivity

CHUNK: Final = 2_000
_MEASURES: Final = (*COUNTERS, *SUMS, *HISTOGRAMS)


def add(minutes: Mapping[Place, Tally]) -> None:
    """Add sums by minute, type and organization to what is stored, in all spans."""
    ours: dict[Place, Tally] = defaultdict(Tally)
    everybodys: dict[Place, Tally] = defaultdict(Tally)
    for place, tally in minutes.items():
        for span in Span:
            wider = place._replace(span=int(span), starts_at=start_of(span, place.starts_at))
            ours[wider].add(tally)
            ours[wider].organization_name = tally.organization_name
            everybodys[wider._replace(organization=None)].add(tally)
    _store_for_types(everybodys)
    _store_for_organizations(ours)


def activities(organizations: Collection[Any] | None, span: Span, since: dt.datetime) -> QuerySet[Any]:
    """The rows of one span that start at ``since`` or later, in no order: of these organizations' primary keys, or
    (None) of all together.
    """
    if organizations is None:
        rows: QuerySet[Any] = TypeActivity.primary.all()
    else:
        rows = OrganizationActivity.primary.filter(organization_id__in=organizations)
    return rows.filter(span=int(span), starts_at__gte=since)


def types_started_since(since: dt.datetime, job_types: Collection[str]) -> set[str]:
    """Return those of these types of which an attempt has begun since, as far as that is counted."""
    rows = activities(None, Span.MINUTE, since).filter(job_type__in=job_types, started__gt=0)
    return set(rows.order_by().values_list("job_type", flat=True)) if job_types else set()


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def _store_for_types(tallies: dict[Place, Tally]) -> None:
    rows = TypeActivity.primary.all()
    for row in rows.filter(**_near(tallies)):
        _add_stored(tallies, row, None)
    fresh = [TypeActivity(**_fields(place), **_measures(tally)) for place, tally in tallies.items()]
    rows.bulk_create(fresh, **_on_conflict("span", "starts_at", "job_type"))


def _store_for_organizations(tallies: dict[Place, Tally]) -> None:
    rows = OrganizationActivity.primary.all()
    for chunk in _chunks(sorted({place.organization for place in tallies}, key=str)):
        for row in rows.filter(organization_id__in=chunk, **_near(tallies)):
            _add_stored(tallies, row, row.organization_id)
    fresh = [
        OrganizationActivity(
            organization_id=place.organization,
            organization_name=tally.organization_name,
            **_fields(place),
            **_measures(tally),
        )
        for place, tally in tallies.items()
    ]
    rows.bulk_create(fresh, **_on_conflict("organization", "span", "starts_at", "job_type"))


def _near(places: Iterable[Place]) -> dict[str, Any]:
    """A filter for the stored rows of these places, and few others."""
    places = list(places)
    return {
        "span__in": sorted({place.span for place in places}),
        "starts_at__in": sorted({place.starts_at for place in places}),
        "job_type__in": sorted({place.job_type for place in places}),
    }


def _add_stored(tallies: dict[Place, Tally], row: Any, organization: Any) -> None:
    place = Place(row.span, row.starts_at, row.job_type, organization)
    tally = tallies.get(place)
    if tally is not None:
        tally.add(row)


def _fields(place: Place) -> dict[str, Any]:
    return {"span": place.span, "starts_at": place.starts_at, "job_type": place.job_type}


def _measures(tally: Tally) -> dict[str, Any]:
    return {name: getattr(tally, name) for name in _MEASURES}


def _on_conflict(*unique: str) -> dict[str, Any]:
    """How a row that is there gets the new sums. MariaDB finds out by itself which of its keys it met."""
    options: dict[str, Any] = {"update_conflicts": True, "update_fields": list(_MEASURES), "batch_size": CHUNK}
    if database.connection().features.supports_update_conflicts_with_target:
        options["unique_fields"] = list(unique)
    return options
