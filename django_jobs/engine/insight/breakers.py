"""Which job types are held by their breakers, for which organization, and since when."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import QuerySet

from django_jobs.engine.dispatch.breaker_rules import state_of
from django_jobs.engine.dispatch.breakers import is_holding
from django_jobs.engine.insight.findings import WARNING, Finding
from django_jobs.engine.insight.inspection import waiting
from django_jobs.engine.store import database
from django_jobs.engine.store.organization_ids import current_ids
from django_jobs.models import Breaker, Job
from django_jobs.statuses import BreakerState
from django_jobs.texts import say

#: Waiting jobs of a type are counted up to so many.
MAX_WAITING: Final = 10_000
#: Characters of an error in a finding.
MAX_ERROR: Final = 200
#: What to do about a breaker that holds jobs.
ADVICE: Final = "Mend what they call; it closes by itself then. To let all go at once, close it on the admin's monitor."


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBreaker:
    """A breaker that holds the jobs of its type: all, or those of one ``organization``. Times are aware, in UTC.

    Of that, ``organization`` is the id that it has now, or its key where it is gone; "" is all, without a key.
    ``since`` is when it opened, also while it recovers; ``failures`` is how many attempts in a row have failed.
    ``next_try_at`` is None while it recovers. ``waiting`` counts up to MAX_WAITING and one more; None if nobody asked.
    """

    job_type: str
    state: BreakerState
    since: dt.datetime
    error_message: str
    failures: int
    next_try_at: dt.datetime | None
    waiting: int | None = None
    organization_pk: Any = None
    organization: str = ""


def open_breakers(
    types: Collection[str] | None = None, *, most: int | None = None, counts_waiting: bool = True
) -> list[OpenBreaker]:
    """Return the breakers that hold jobs now, the one that opened first in front: of these types, or of all.

    At most ``most`` are returned. Counting what waits takes a statement for each; without ``counts_waiting`` it is
    left out.
    """
    rows = _holding(types)[:most]
    ids = current_ids({row.organization_id for _, row in rows} - {None})
    found = [_describe(row, now, ids) for now, row in rows]
    return [dataclasses.replace(item, waiting=count_waiting(item)) for item in found] if counts_waiting else found


def held_types(types: Collection[str] | None = None) -> dict[str, Any]:
    """Return the job types whose jobs are held now, of these types or of all, each with whose jobs are.

    That is the key of one organization, or None for all.
    """
    return {row.pk: row.organization_id for _, row in _holding(types)}


def is_held(held: Mapping[str, Any], job_type: str, organization_pk: Any) -> bool:
    """Return whether the jobs of a type and an organization are among those ``held``."""
    return job_type in held and held[job_type] in {None, organization_pk}


def examine_breakers() -> Iterator[Finding]:
    """Yield a finding for each breaker that holds jobs."""
    for item in open_breakers():
        when, advice = "its jobs start at a growing rate", ""
        if item.next_try_at is not None:
            when, advice = f"next try at {item.next_try_at:%Y-%m-%d %H:%M:%S} UTC", f"{ADVICE} "
        text = say(
            "of %(job_type)s is %(state)s%(for_whom)s since %(since)s UTC, %(when)s; jobs that wait: %(waiting)s. "
            "%(advice)sIts attempts failed with: %(error)s",
            code=f"breaker_{item.state.lower()}",
            job_type=item.job_type,
            state=item.state.lower(),
            for_whom=for_whom(item),
            organization=item.organization,
            since=f"{item.since:%Y-%m-%d %H:%M:%S}",
            when=when,
            next_try_at=item.next_try_at,
            waiting=waiting_in_words(item),
            advice=advice,
            error=item.error_message[:MAX_ERROR],
        )
        yield Finding(level=WARNING, subject="breaker", text=text)


def for_whom(item: OpenBreaker) -> str:
    """Return whose jobs alone are held, as the end of a clause; empty where all are."""
    return f" for {item.organization} alone" if item.organization else ""


def waiting_in_words(item: OpenBreaker) -> str:
    """Return how many jobs wait, with a plus sign where that is the least."""
    count = item.waiting or 0
    return f"{MAX_WAITING:,}+" if count > MAX_WAITING else f"{count:,}"


def _holding(types: Collection[str] | None = None) -> list[tuple[dt.datetime, Breaker]]:
    rows = Breaker.primary.exclude(state=BreakerState.CLOSED).select_related("job_type").order_by("opened_at", "pk")
    found = list(rows if types is None else rows.filter(pk__in=types))
    if not found:
        return []
    now = database.now()
    return [(now, row) for row in found if is_holding(row, now)]


def _describe(row: Breaker, now: dt.datetime, ids: Mapping[Any, str]) -> OpenBreaker:
    pk = row.organization_id
    return OpenBreaker(
        job_type=row.pk,
        state=state_of(row, now),
        since=row.opened_at or now,
        error_message=row.error_message,
        failures=row.failures,
        next_try_at=row.next_try_at,
        organization_pk=pk,
        organization="" if pk is None else ids.get(pk, str(pk)),
    )


def waiting_by_organization(item: OpenBreaker) -> Counter[Any]:
    """Return how many jobs a breaker holds, by their organizations' keys; MAX_WAITING and one more of them are read."""
    return Counter(_waiting(item).values_list("organization_id", flat=True)[: MAX_WAITING + 1])


def count_waiting(item: OpenBreaker) -> int:
    """Return how many jobs a breaker holds, counted up to MAX_WAITING and one more."""
    return _waiting(item)[: MAX_WAITING + 1].count()


def _waiting(item: OpenBreaker) -> QuerySet[Job]:
    rows = waiting().filter(job_type_id=item.job_type)
    return rows if item.organization_pk is None else rows.filter(organization_id=item.organization_pk)
