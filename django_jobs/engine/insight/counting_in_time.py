"""Bounds the time of a search that no index serves, and counts jobs exactly, as far as a short time allows.

To count, the keys are looked through from the newest on, stretch by stretch. Each statement reads a bounded part,
however rare or old the counted jobs are, and the clock is read between two of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db import OperationalError
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from django_jobs.engine.insight.newest_jobs import newest_pk
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.counting import capped_count
from django_jobs.exceptions import InvalidFilter
from django_jobs.models import Job
from django_jobs.texts import say

#: How long a statement may take that looks through jobs while somebody waits for the answer.
WALK_SECONDS: Final = 5.0

#: No further statement begins after so many seconds.
SECONDS: Final = 1.0
#: Keys that the first statement looks through. The next one doubles them if an index made it fast.
STRETCH: Final = 100_000
#: A statement that took less than so many seconds was fast.
FAST_SECONDS: Final = 0.05
#: Of one that took longer than so many seconds, the next one looks through half as many keys.
SLOW_SECONDS: Final = 0.2


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
        with store().limited(WALK_SECONDS):
            yield
    except OperationalError as error:
        if time.monotonic() - began < WALK_SECONDS:
            raise
        text = _("It takes too long to find these jobs. Narrow them to an organization, a type or a period.")
        raise InvalidFilter({name: [say(text, code="too_slow")]}) from error


def count_in_time(rows: QuerySet[Any], *, is_walked: bool) -> tuple[int, bool]:
    """Return how many jobs there are, and whether there may be more, since the time was too short to count all.

    ``is_walked`` says that no index finds them, so that even a few could take long to find.
    """
    known = 0
    if not is_walked:
        known, has_more = capped_count(rows)
        if not has_more:
            return known, False
    oldest = Job.primary.order_by("pk").values_list("pk", flat=True).first() or 0
    count, end, stretch, until = 0, newest_pk(), STRETCH, time.monotonic() + SECONDS
    while end >= oldest:
        started = time.monotonic()
        count += rows.order_by().filter(pk__gt=end - stretch, pk__lte=end).count()
        end -= stretch
        now = time.monotonic()
        if now >= until and end >= oldest:
            return max(count, known), True
        stretch = _next(stretch, now - started)
    return count, False


def _next(stretch: int, seconds: float) -> int:
    if seconds < FAST_SECONDS:
        return stretch * 2
    return max(1, stretch // 2) if seconds > SLOW_SECONDS else stretch
