"""Which jobs each part of a filter finds."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeAlias, TypeVar

from django.db.models import Q, QuerySet
from django.db.models.functions import Length
from django.db.models.lookups import LessThanOrEqual

from django_jobs.engine.insight.filter_values import Id, Pair
from django_jobs.engine.insight.parameter_values import having, holding
from django_jobs.engine.store.submission_times import created_between
from django_jobs.models import JobType
from django_jobs.statuses import IN_FLIGHT, WITH_ERRORS, Status

Rows = TypeVar("Rows", bound=QuerySet[Any])
#: A condition of a value, or what narrows rows by it.
Condition: TypeAlias = Callable[[Any], "Q | Narrowing"]
Narrowing: TypeAlias = Callable[[Any], Any]


def apply(rows: Rows, condition: Condition, value: Any) -> Rows:
    """Return those of the rows for which the condition of this value holds."""
    found = condition(value)
    return rows.filter(found) if isinstance(found, Q) else found(rows)


def all_jobs(_value: bool) -> Q:
    """Return the condition that holds for every job."""
    return Q()


def with_ids(ids: Iterable[Id]) -> Q:
    """Return the condition for jobs with one of these ids. The year is part of an id and must be right."""
    by_year: dict[int, list[int]] = defaultdict(list)
    for pk, year in ids:
        by_year[year].append(pk)
    found = Q(pk__in=[])
    for year, pks in by_year.items():
        found |= Q(pk__in=pks) & made_in(year)
    return found


def made_in(year: int, column: str = "created_at") -> Q:
    """Return the condition that a moment lies in this year, in UTC; that of no row for a year outside the calendar."""
    if not dt.MINYEAR <= year < dt.MAXYEAR:
        return Q(pk__in=[])
    begin, end = (dt.datetime(number, 1, 1, tzinfo=dt.UTC) for number in (year, year + 1))
    return Q(**{f"{column}__gte": begin, f"{column}__lt": end})


def in_statuses(statuses: Collection[str]) -> Q:
    """Return the condition that a job is in one of these statuses."""
    found = Q(status__in=sorted(statuses))
    # This condition is that of the partial index, which is used for no other wording.
    is_narrow = bool(statuses) and IN_FLIGHT.issuperset(map(Status, statuses))
    return found & Q(status__in=sorted(IN_FLIGHT)) if is_narrow else found


def of_batch(item: Id) -> Q:
    """Return the condition that a job counts for the batch with this id."""
    return Q(batch_id=item[0]) & made_in(item[1], "batch__created_at")


def created_after(moment: dt.datetime) -> Narrowing:
    """Narrow down to the jobs that were submitted at this moment or later."""
    return lambda rows: created_between(rows, after=moment)


def created_before(moment: dt.datetime) -> Narrowing:
    """Narrow down to the jobs that were submitted before this moment."""
    return lambda rows: created_between(rows, before=moment)


def with_error_text(text: str) -> Q:
    """Return the condition that a job failed, and its error contains the text."""
    return Q(status__in=sorted(WITH_ERRORS), error_message__icontains=text)


def with_error(has_error: bool) -> Q:
    """Return the condition that a job has an error, or has none."""
    # Not "equal to an empty text": a database that knows nothing of the texts would take these jobs for few. Nor "up to
    # an empty text": for MariaDB a line break comes before it.
    return ~Q(error_message="") if has_error else Q(LessThanOrEqual(Length("error_message"), 0))


def in_pool(pool: str) -> Q:
    """Return the condition that a job's type runs in this pool."""
    return Q(job_type_id__in=list(JobType.primary.filter(pool=pool).values_list("pk", flat=True)))


def of_schedule(name: str) -> Narrowing:
    """Narrow down to the jobs whose metadata say that this schedule submitted them."""
    return lambda rows: holding(rows, "metadata", ("schedule",), [name])


def like_errors(start: str) -> Q:
    """Return the condition that a job failed, with an error whose fingerprint begins so."""
    return Q(status__in=sorted(WITH_ERRORS), error_fingerprint__startswith=start)


def with_parameters(pairs: Iterable[Pair]) -> Narrowing:
    """Narrow down to the jobs with these values of parameters. ``5`` finds the number and the text."""

    def narrow(rows: Any) -> Any:
        for path, text in pairs:
            rows = having(rows, path, text)
        return rows

    return narrow
