"""Walking the waiting jobs lane by lane, so that the cost follows what is taken and not what waits.

Lanes are hopped over by the store, page by page, starting behind the organization that was served last. The caller
skips paused types and inactive organizations as whole lanes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.lane_values import Lane

LANES_AT_ONCE = 50


def lanes(priority: int, after: Any) -> Iterator[Lane]:
    """Yield every lane of a priority with a due job, once: those behind the organization ``after`` first."""
    found = store().lanes(priority, after, LANES_AT_ONCE)
    if after is None or len(found) < LANES_AT_ONCE:
        yield from (step.lane for step in found if step.is_due and step.is_behind)
        yield from (step.lane for step in found if step.is_due and not step.is_behind)
        if len(found) == LANES_AT_ONCE:
            yield from _lanes_from(priority, after, found[-1].lane)
        return
    yield from _lanes_from(priority, after, None, behind=True)
    yield from _lanes_from(priority, after, None)


def lanes_page(priority: int, last: Lane | None) -> list[Lane]:
    """Return up to LANES_AT_ONCE lanes of a priority, due or not, in order, behind the lane ``last``."""
    return [step.lane for step in store().lanes(priority, None, LANES_AT_ONCE, last=last)]


def _lanes_from(priority: int, after: Any, last: Lane | None, *, behind: bool = False) -> Iterator[Lane]:
    """Yield the lanes with due jobs that are, or are not, behind ``after``, page by page."""
    while True:
        found = store().lanes(priority, after, LANES_AT_ONCE, last=last, behind=behind)
        for step in found:
            if step.is_behind and not behind:
                return
            if step.is_due:
                yield step.lane
        if len(found) < LANES_AT_ONCE:
            return
        last = found[-1].lane
