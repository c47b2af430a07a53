"""Narrows a search that no index serves to the newest jobs, so that its cost does not grow with the history.

It counts the jobs of the organizations in question, so that a neighbor's million jobs hides nobody's.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from django.db.models import OuterRef, Q, QuerySet, Subquery

from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.submission_times import LAST_KEY
from django_jobs.models import Job, get_organization_model

#: How many jobs are searched in all; of several organizations, the same share of each.
RECENT: Final = 100_000
#: For more organizations than this, the newest jobs of all are searched: a condition for each would be too many.
MAX_ORGANIZATIONS: Final = 200


def newest_pk() -> int:
    """Return the primary key of the newest job of all; 0 if there is none."""
    return Job.primary.order_by("-pk").values_list("pk", flat=True).first() or 0


class Newest(NamedTuple):
    """The jobs to search, and whether older ones were left out."""

    rows: QuerySet[Any]
    is_bounded: bool


def among_newest(rows: QuerySet[Any], organizations: Collection[Any] | None, most: int = RECENT) -> Newest:
    """Return those of the jobs that are among the newest of these organizations, given by primary key; None: of all.

    ``rows`` must be jobs of these organizations already: the bound leaves out what is too old, not what is others'.
    """
    if organizations is None or len(organizations) > MAX_ORGANIZATIONS:
        oldest = newest_pk() - most
        # Where the older ones were deleted, nothing is left out.
        is_bounded = oldest > 0 and Job.primary.filter(pk__lte=oldest).exists()
        return Newest(rows.filter(pk__gt=oldest, pk__lt=LAST_KEY), is_bounded)
    bounds = _bounds(organizations, max(1, most // len(organizations))) if organizations else {}
    if len(organizations) == 1:
        return Newest(rows.filter(pk__gt=next(iter(bounds.values()), 0), pk__lt=LAST_KEY), bool(bounds))
    wanted = Q(organization_id__in=[pk for pk in organizations if pk not in bounds])
    for pk, too_old in bounds.items():
        wanted |= Q(organization_id=pk, pk__gt=too_old, pk__lt=LAST_KEY)
    return Newest(rows.filter(wanted), bool(bounds))


def _bounds(organizations: Collection[Any], share: int) -> dict[Any, int]:
    """Return the primary key of the newest job that is too old, for each organization with more than ``share`` jobs."""
    mine = Job.objects.filter(organization_id=OuterRef("pk")).order_by("-pk").values("pk")
    rows = get_organization_model()._base_manager.using(database.alias()).filter(pk__in=organizations)
    wanted = rows.annotate(too_old=Subquery(mine[share : share + 1])).values_list("pk", "too_old")
    return {pk: too_old for pk, too_old in store().read_behind(wanted, share) if too_old is not None}
