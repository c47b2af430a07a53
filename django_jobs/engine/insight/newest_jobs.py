"""Narrows a search that no index serves to the newest jobs, so that its cost does not grow with the history.

It counts the jobs of the organizations in question, so that a neighbor's million jobs hides nobody's. To find the bound
of a large organization takes the longest, and a page asks for it several times, so a process remembers it for seconds.
"""

from __future__ import annotations

import time
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
#: Seconds for which a bound is remembered. With an old one, a few more jobs are searched.
MAX_AGE: Final = 10.0
MAX_REMEMBERED: Final = 10_000

#: Until when each bound is good, by database, organization and how many jobs are searched; None where none is older.
_remembered: dict[tuple[str, Any, int], tuple[float, int | None]] = {}


def newest_pk() -> int:
    """Return the primary key of the newest job of all; 0 if there is none."""
    return Job.primary.order_by("-pk").values_list("pk", flat=True).first() or 0


def oldest_key(model: Any, most: int) -> int | None:
    """Return the key up to which rows of one of our models are too old to be among the newest; None where none is.

    Keys may begin anywhere, since old rows are deleted.
    """
    keys = model.primary.values_list("pk", flat=True)
    bound = (keys.order_by("-pk").first() or 0) - most
    # The first of all, by the primary key: where nothing is older, EXISTS might be looked for in the whole table.
    first = keys.order_by("pk").first() if bound > 0 else None
    return bound if first is not None and first <= bound else None


class Newest(NamedTuple):
    """The jobs to search, and whether older ones were left out."""

    rows: QuerySet[Any]
    is_bounded: bool


def among_newest(rows: QuerySet[Any], organizations: Collection[Any] | None, most: int = RECENT) -> Newest:
    """Return those of the jobs that are among the newest of these organizations, given by primary key; None: of all.

    ``rows`` must be jobs of these organizations already: the bound leaves out what is too old, not what is others'.
    """
    if organizations is None or len(organizations) > MAX_ORGANIZATIONS:
        too_old = _bound_of_all(most)
        return Newest(rows.filter(pk__gt=too_old or 0, pk__lt=LAST_KEY), too_old is not None)
    bounds = _bounds(organizations, max(1, most // len(organizations))) if organizations else {}
    if len(organizations) == 1:
        return Newest(rows.filter(pk__gt=next(iter(bounds.values()), 0), pk__lt=LAST_KEY), bool(bounds))
    wanted = Q(organization_id__in=[pk for pk in organizations if pk not in bounds])
    for pk, too_old in bounds.items():
        wanted |= Q(organization_id=pk, pk__gt=too_old, pk__lt=LAST_KEY)
    return Newest(rows.filter(wanted), bool(bounds))


def forget() -> None:
    """Forget the bounds that are remembered."""
    _remembered.clear()


def _bounds(organizations: Collection[Any], share: int) -> dict[Any, int]:
    """Return the primary key of the newest job that is too old, for each organization with more than ``share`` jobs."""
    alias, now, to_python = database.alias(), time.monotonic(), get_organization_model()._meta.pk.to_python
    organizations = [to_python(pk) for pk in organizations]  # an address gives them as text
    known = {pk: found[1] for pk in organizations if (found := _remembered.get((alias, pk, share))) and found[0] > now}
    unknown = [pk for pk in organizations if pk not in known]
    if unknown:
        read = dict.fromkeys(unknown) | _read_bounds(unknown, share)
        if len(_remembered) + len(read) > MAX_REMEMBERED:
            _remembered.clear()
        _remembered.update({(alias, pk, share): (now + MAX_AGE, too_old) for pk, too_old in read.items()})
        known |= read
    return {pk: too_old for pk, too_old in known.items() if too_old is not None}


def _bound_of_all(most: int) -> int | None:
    """Return the primary key up to which jobs are too old; None where none is, because they were deleted."""
    key, now = (database.alias(), None, most), time.monotonic()
    known = _remembered.get(key)
    if known is None or known[0] <= now:
        known = _remembered[key] = now + MAX_AGE, oldest_key(Job, most)
    return known[1]


def _read_bounds(organizations: Collection[Any], share: int) -> dict[Any, int | None]:
    mine = Job.objects.filter(organization_id=OuterRef("pk")).order_by("-pk").values("pk")
    rows = get_organization_model()._base_manager.using(database.alias()).filter(pk__in=organizations)
    wanted = rows.annotate(too_old=Subquery(mine[share : share + 1])).values_list("pk", "too_old")
    return dict(store().read_behind(wanted, share))
