"""Which jobs each part of a filter finds, and how a value is told to people."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, TypeAlias, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.db.models.functions import Length
from django.db.models.lookups import LessThanOrEqual
from django.utils.translation import gettext as _

from django_jobs.engine.insight.filter_values import Id, Pair, made_in
from django_jobs.engine.insight.parameter_values import having, holding
from django_jobs.engine.store import organization_ids
from django_jobs.engine.store.submission_times import created_between
from django_jobs.models import JobType, get_organization_model
from django_jobs.statuses import IN_FLIGHT, WITH_ERRORS, Status
from django_jobs.texts import listed

Rows = TypeVar("Rows", bound=QuerySet[Any])
#: A condition of a value, or what narrows rows by it.
Condition: TypeAlias = Callable[[Any], "Q | Narrowing"]
Narrowing: TypeAlias = Callable[[Any], Any]

#: Values of one field that are told to people; of more it is said how many.
SHOWN: Final = 5


def apply(rows: Rows, condition: Condition, value: Any) -> Rows:
    """Return those of the rows for which the condition of this value holds."""
    found = condition(value)
    return rows.filter(found) if isinstance(found, Q) else found(rows)


def all_jobs(_value: bool) -> Q:
    """Return the condition that holds for every job."""
    return Q()


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


def read_organization_pk(value: Any) -> Any:
    """Return the primary key of an organization that a stored value stands for."""
    try:
        return get_organization_model()._meta.pk.to_python(value)
    except ValidationError as error:
        raise ValueError(_("This is no key of an organization.")) from error


def write_organization_pks(pks: Iterable[Any]) -> list[Any]:
    """Return primary keys as JSON has them: numbers as they are, others as text."""
    return [pk if isinstance(pk, int) else str(pk) for pk in pks]


def tell_organizations(pks: Collection[Any]) -> list[str]:
    """Return the ids that these organizations have now; of a deleted one its primary key."""
    known = organization_ids.current_ids(pks)
    return [known.get(pk, str(pk)) for pk in pks]


def in_words(texts: list[str]) -> str:
    """Return the values of a filter in one text, of many the first."""
    if not texts:
        return _("(none)")
    text = listed(texts[:SHOWN])
    more = len(texts) - SHOWN
    return _("%(values)s and %(count)s more") % {"values": text, "count": more} if more > 0 else text
