"""Narrows a search that no index serves to the newest jobs, so that its cost does not grow with the history.

It counts the jobs of the organizations in question, so that a neighbor's million jobs hides nobody's. To find the bound
of a large organization takes the longest: as many entries of an index are walked, and a database that was not vacuumed
reads the row of each. It moves slowly, so a process keeps it while few jobs have come since, which is cheap to see.
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
#: Seconds for which a bound is taken as it is. Then it is kept where few jobs have come since it was found.
MAX_AGE: Final = 10.0
#: Seconds after which a bound is found anew all the same: jobs may have been deleted among those that it leaves.
MAX_KEPT: Final = 300.0
#: The share of the jobs to search by which they may have become more before a bound is found anew.
FEW: Final = 0.1
MAX_REMEMBERED: Final = 10_000


class _Bound(NamedTuple):
    """The key up to which jobs are too old (None: none is), the newest of all keys then, and when that was seen."""

    too_old: int | None
    newest: int
    found_at: float
    seen_at: float

    def is_fresh(self, now: float) -> bool:
        return now < self.seen_at + MAX_AGE

    def may_be_kept(self, now: float) -> bool:
        return now < self.found_at + MAX_KEPT


#: The bounds by database, organization (None: all) and how many jobs are searched.
_remembered: dict[tuple[str, Any, int], _Bound] = {}


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


def doubt() -> None:
    """Look at the next use of each bound that is remembered whether many jobs have come since."""
    for key, bound in _remembered.items():
        _remembered[key] = bound._replace(seen_at=-MAX_AGE)


def _bounds(organizations: Collection[Any], share: int) -> dict[Any, int]:
    """Return the primary key of the newest job that is too old, for each organization with more than ``share`` jobs.

    A bound that is kept leaves some jobs more than ``share``, never fewer but for those that are deleted meanwhile.
    """
    alias, now, to_python = database.alias(), time.monotonic(), get_organization_model()._meta.pk.to_python
    organizations = [to_python(pk) for pk in organizations]  # an address gives them as text
    known = {pk: found for pk in organizations if (found := _remembered.get((alias, pk, share)))}
    old = {pk: bound for pk, bound in known.items() if not bound.is_fresh(now)}
    if old and _are_kept(old, share, now):
        read = {pk: bound._replace(seen_at=now) for pk, bound in old.items()}
    else:
        read = _found(old, share, now)
    read |= _found([pk for pk in organizations if pk not in known], share, now)
    if len(_remembered) + len(read) > MAX_REMEMBERED:
        _remembered.clear()
    _remembered.update({(alias, pk, share): bound for pk, bound in read.items()})
    return {pk: bound.too_old for pk, bound in (known | read).items() if bound.too_old is not None}


def _bound_of_all(most: int) -> int | None:
    """Return the primary key up to which jobs are too old; None where none is, because they were deleted."""
    key, now = (database.alias(), None, most), time.monotonic()
    known = _remembered.get(key)
    if known is None or not known.is_fresh(now):
        known = _remembered[key] = _Bound(oldest_key(Job, most), 0, now, now)
    return known.too_old


def _are_kept(bounds: dict[Any, _Bound], share: int, now: float) -> bool:
    """Return whether few jobs have come since these were found. All are found anew together, so that all are as old."""
    if not all(bound.may_be_kept(now) for bound in bounds.values()):
        return False
    few, since = int(share * FEW), min(bound.newest for bound in bounds.values())
    newer = Q(pk__gt=since, pk__lt=LAST_KEY)
    return not any(_keys_behind(few, bounds, newer).values())


def _found(organizations: Collection[Any], share: int, now: float) -> dict[Any, _Bound]:
    """Return the bounds of these organizations as they are now."""
    if not organizations:
        return {}
    newest = newest_pk()
    found = _keys_behind(share, organizations, Q())
    return {pk: _Bound(found.get(pk), newest, now, now) for pk in organizations}


def _keys_behind(most: int, organizations: Collection[Any], among: Q) -> dict[Any, int | None]:
    """Return the key of each organization's job behind so many that are newer, of those that match; else None."""
    jobs = Job.objects.filter(among, organization_id=OuterRef("pk")).order_by("-pk").values("pk")
    rows = get_organization_model()._base_manager.using(database.alias()).filter(pk__in=organizations)
    wanted = rows.annotate(key_behind=Subquery(jobs[most : most + 1])).values_list("pk", "key_behind")
    return dict(store().read_behind(wanted, most))
