"""The lines of ``jobs_status`` about breakers that hold jobs, and about types at their limits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final

from django_jobs.engine.insight.inspection import (
    MAX_ERROR,
    MAX_FULL,
    FullType,
    LimitsInUse,
    OpenBreaker,
    for_whom,
    open_breakers,
    read_full_types,
    waiting_in_words,
)
from django_jobs.engine.store import database

#: Breakers that are told one by one.
MAX_BREAKERS: Final = 5


def hindrances() -> list[str]:
    """Return the lines, read now; none where nothing is held, and no type is at a limit while jobs of it wait."""
    lines = [*_breaker_lines(), *_limit_lines()]
    return [*lines, ""] if lines else []


def _breaker_lines() -> Iterator[str]:
    found = open_breakers(most=MAX_BREAKERS + 1)
    if not found:
        return
    now = database.now()
    yield "Breakers     jobs of these types are held since their last attempts failed"
    for item in found[:MAX_BREAKERS]:
        error = " ".join(item.error_message.split())[:MAX_ERROR]
        held = f"{item.job_type} {item.state.upper()}{for_whom(item)}"
        yield f"  {held}, {_next_try(item, now)}; {waiting_in_words(item)} wait: {error}"
    if len(found) > MAX_BREAKERS:
        yield "  and more; jobs_check names all"


def _next_try(item: OpenBreaker, now: dt.datetime) -> str:
    if item.next_try_at is None:
        return "its jobs start at a growing rate"
    left = (item.next_try_at - now).total_seconds()
    return f"next try in {left:.0f} s" if left > 0 else "next try now"


def _limit_lines() -> Iterator[str]:
    found = read_full_types()
    if found:
        yield "At limits    jobs of these types wait until others have ended"
    for item in found[:MAX_FULL]:
        yield f"  {item.in_use.flow.type_name}: {_limits(item.in_use)}; {_waiting(item)} wait"
    if len(found) > MAX_FULL:
        yield "  and more"


def _limits(in_use: LimitsInUse) -> str:
    if in_use.is_full:
        return f"{in_use.total:,} of {in_use.flow.max_running:,} run or are queued"
    organizations, keys = len(in_use.full_organizations()), len(in_use.full_keys())
    told = [
        f"{count:,} {name}{'' if count == 1 else 's'} at {limit}"
        for count, name, limit in (
            (organizations, "organization", in_use.flow.max_running_per_organization),
            (keys, f"{in_use.flow.concurrency_key} key", in_use.flow.max_running_per_key),
        )
        if count
    ]
    return " and ".join(told)


def _waiting(item: FullType) -> str:
    return f"{item.waiting:,}{'+' if item.has_more else ''}"
