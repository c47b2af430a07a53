"""Searches that no index serves, at a bounded cost."""

from __future__ import annotations

import difflib
import json
import math
import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from django.db import OperationalError
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.fields.json import KeyTransform
from django.utils.translation import gettext as _

from django_jobs.engine import timing
from django_jobs.engine.job_types.masking import Names, masked
from django_jobs.engine.memory import Memory
from django_jobs.engine.store import database
from django_jobs.engine.store.counting import LAST_KEY, capped_count
from django_jobs.engine.store.database import store
from django_jobs.exceptions import InvalidFilter
from django_jobs.models import Job, JobType, get_organization_model
from django_jobs.texts import say

# Bounds the time of a search that no index serves, and counts jobs exactly, as far as a short time allows.
#
# To count, the keys are looked through from the newest on, stretch by stretch. Each statement reads a bounded part,
# however rare or old the counted jobs are, and the clock is read between two of them.


#: Keys that the first statement looks through. The next one doubles them if an index made it fast.
STRETCH: Final = 100_000


@contextmanager
def walked_in_time(name: str, *, is_walked: bool) -> Iterator[None]:
    """Bound the time of each statement of the block, where no index finds the jobs. Only read in the block.

    Raises InvalidFilter, with what to do by this name, where a statement takes longer.
    """
    if not is_walked:
        yield
        return
    began = time.monotonic()
    try:
        with store().limited(timing.SEARCH_STATEMENT_SECONDS):
            yield
    except OperationalError as error:
        if time.monotonic() - began < timing.SEARCH_STATEMENT_SECONDS:
            raise
        text = _("It takes too long to find these jobs. Narrow them to an organization, a type or a period.")
        raise InvalidFilter({name: [say(text, code="too_slow")]}) from error


def count_in_time(rows: QuerySet[Any], *, is_walked: bool) -> tuple[int, bool]:
    """Return how many jobs there are, and whether there may be more, since the time was too short to count all.

    ``is_walked`` says that no index finds them, so that even a few could take long to find.
    """
    least = 0
    if not is_walked:
        least, has_more = capped_count(rows)
        if not has_more:
            return least, False
    oldest = Job.primary.order_by("pk").values_list("pk", flat=True).first() or 0
    count, end, stretch, until = 0, newest_pk(), STRETCH, time.monotonic() + timing.SEARCH_SECONDS
    while end >= oldest:
        started = time.monotonic()
        count += rows.order_by().filter(pk__gt=end - stretch, pk__lte=end).count()
        end -= stretch
        now = time.monotonic()
        if now >= until and end >= oldest:
            return max(count, least), True
        stretch = _next(stretch, now - started)
    return count, False


def _next(stretch: int, seconds: float) -> int:
    if seconds < timing.FAST_SEARCH_SECONDS:
        return stretch * 2
    return max(1, stretch // 2) if seconds > timing.SLOW_SEARCH_SECONDS else stretch


# Narrows a search that no index serves to the newest jobs, so that its cost does not grow with the history.
#
# It counts the jobs of the organizations in question, so that a neighbor's million jobs hides nobody's. To find the
# bound of a large organization takes the longest: as many entries of an index are walked, and a database that was not
# vacuumed reads the row of each. So a process keeps a bound for SEARCH_BOUND_SECONDS: what comes meanwhile is searched
# besides.


#: How many jobs are searched in all; of several organizations, the same share of each.
RECENT: Final = 100_000
#: For more organizations than this, the newest jobs of all are searched: a condition for each would be too many.
MAX_ORGANIZATIONS: Final = 200
#: The key up to which jobs are too old (0: none is), by database, organization (None: all) and how many are searched.
_bounds: Final[Memory[tuple[str, Any, int], int]] = Memory(10_000)


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
    bounds = _bounds_of(organizations, max(1, most // len(organizations))) if organizations else {}
    if len(organizations) == 1:
        return Newest(rows.filter(pk__gt=next(iter(bounds.values()), 0), pk__lt=LAST_KEY), bool(bounds))
    wanted = Q(organization_id__in=[pk for pk in organizations if pk not in bounds])
    for pk, too_old in bounds.items():
        wanted |= Q(organization_id=pk, pk__gt=too_old, pk__lt=LAST_KEY)
    return Newest(rows.filter(wanted), bool(bounds))


def _bounds_of(organizations: Collection[Any], share: int) -> dict[Any, int]:
    """Return the primary key of the newest job that is too old, for each organization with more than ``share`` jobs."""
    alias, to_python = database.alias(), get_organization_model()._meta.pk.to_python
    pks = [to_python(pk) for pk in organizations]  # an address gives them as text
    bounds = {pk: too_old for pk in pks if (too_old := _bounds.fresh((alias, pk, share))) is not None}
    unknown = [pk for pk in pks if pk not in bounds]
    found = _keys_behind(share, unknown) if unknown else {}
    for pk in unknown:
        bounds[pk] = _bounds.put((alias, pk, share), found.get(pk) or 0, timing.SEARCH_BOUND_SECONDS)
    return {pk: too_old for pk, too_old in bounds.items() if too_old}


def _bound_of_all(most: int) -> int | None:
    """Return the primary key up to which jobs are too old; None where none is, because they were deleted."""
    key = (database.alias(), None, most)
    too_old = _bounds.fresh(key)
    if too_old is None:
        too_old = _bounds.put(key, oldest_key(Job, most) or 0, timing.SEARCH_BOUND_SECONDS)
    return too_old or None


def _keys_behind(most: int, organizations: Collection[Any]) -> dict[Any, int | None]:
    """Return the key of each organization's job behind so many that are newer; None, or nothing, where it has fewer."""
    jobs = Job.objects.filter(organization_id=OuterRef("pk")).order_by("-pk").values("pk")
    rows = get_organization_model()._base_manager.using(database.alias()).filter(pk__in=organizations)
    wanted = rows.annotate(key_behind=Subquery(jobs[most : most + 1])).values_list("pk", "key_behind")
    return dict(store().read_behind(wanted, most))


# Finds jobs by the values of their parameters. No index serves that, so the caller bounds how many are looked at.


#: Levels of a path such as ``customer.id``.
MAX_LEVELS: Final = 5
#: Digits of a path's part, which is then a place in a list. Databases refuse larger ones.
MAX_PLACE: Final = 6
MAX_NUMBER: Final = 30
_NAME: Final = re.compile(r"[^\s.:\"\\\x00-\x1f]{1,100}")
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?", re.ASCII)


def path_of(text: str) -> tuple[str, ...] | None:
    """Return the names that lead to a value, such as ``("customer", "id")`` of ``customer.id``; None if it is no path.

    A part of ASCII digits is a place in a list, counted from 0.
    """
    parts = tuple(text.split("."))
    return parts if len(parts) <= MAX_LEVELS and all(map(_is_part, parts)) else None


def _is_part(text: str) -> bool:
    if _NAME.fullmatch(text) is None:
        return False
    try:
        int(text)  # as Django does, to tell a place from a name
    except ValueError:
        return True
    return text.isascii() and text.isdecimal() and len(text) <= MAX_PLACE


def meanings_of(text: str) -> list[Any]:
    """Return the JSON values that a typed text may mean: itself, and the number or truth value that it spells.

    In double quotation marks it means the text between them alone.
    """
    if len(text) > 1 and text[0] == text[-1] == '"':
        return [text[1:-1]]
    meanings: list[Any] = [text]
    if text in {"true", "false"}:
        meanings.append(text == "true")
    elif len(text) <= MAX_NUMBER and _NUMBER.fullmatch(text):
        number = json.loads(text)
        meanings += [number] if math.isfinite(number) else []
    return meanings


def asks_for_hidden(path: Sequence[str], text: str, names: Names) -> bool:
    """Return whether this asks for a value under one of these keys: by its path, or within the text of an object or a
    list, which some databases take for equal to the object or list itself.
    """
    is_named = not names.isdisjoint(name.casefold() for name in path)
    return is_named or any(masked(value, names) != value for value in map(_in_json, meanings_of(text)))


def _in_json(value: Any) -> Any:
    """Return what a text says as JSON; None where it is none."""
    try:
        return json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return None


def having(rows: QuerySet[Any], path: Sequence[str], text: str) -> QuerySet[Any]:
    """Return those of the jobs whose parameter at this path has a value that the text may mean."""
    return holding(rows, "input_parameters", path, meanings_of(text))


def holding(rows: QuerySet[Any], column: str, path: Sequence[str], values: Sequence[Any]) -> QuerySet[Any]:
    """Return those of the jobs that have one of these values at this path in a column of JSON."""
    place: Any = column
    for part in path:
        place = KeyTransform(part, place)
    # One name for each condition, so that several may stand beside each other.
    name = f"value_{len(rows.query.annotations)}"
    wanted = Q()
    for value in values:
        wanted |= Q((name, value))
    matching: QuerySet[Any] = rows.alias(**{name: place}).filter(wanted)
    return matching


# Names of job types and options that look like one that is not there.


#: Names that are suggested at most.
MAX_SUGGESTED: Final = 3
#: How alike they must be, from 0 to 1 (the ratio of ``difflib``).
CUTOFF: Final = 0.6
#: So many names of job types are compared.
MAX_COMPARED: Final = 5_000
#: A longer text is nobody's typing error.
MAX_TEXT: Final = 200


def similar(text: str, names: Iterable[str]) -> list[str]:
    """Return up to MAX_SUGGESTED of the names that look like the text, the most alike first; case does not count."""
    if len(text) > MAX_TEXT:
        return []
    by_lower: dict[str, str] = {}
    for name in names:
        by_lower.setdefault(name.lower(), name)
    matches = difflib.get_close_matches(text.lower(), by_lower, MAX_SUGGESTED, CUTOFF)
    begun = [low for low in by_lower if len(text) > 1 and low.startswith(text.lower())]
    return [by_lower[low] for low in dict.fromkeys([*matches, *sorted(begun)])][:MAX_SUGGESTED]


def similar_job_types(text: str) -> list[str]:
    """Return the names of job types that look like this one."""
    return similar(text, JobType.primary.order_by("pk").values_list("pk", flat=True)[:MAX_COMPARED])
