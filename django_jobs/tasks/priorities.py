"""Django's 201 priorities and our four."""

from __future__ import annotations

from typing import Final

from django_jobs.statuses import Priority

#: From this one up a task is Critical.
CRITICAL_FROM: Final = 51


def priority_of(number: int) -> Priority | None:
    """Return the priority of a job: below 0 Low, 1 to 50 High, above that Critical; None, the type's own, for 0.

    A larger number never becomes a lower priority. Jobs of the same priority start in the order of their submission.
    """
    if number == 0:
        return None
    if number < 0:
        return Priority.LOW
    return Priority.CRITICAL if number >= CRITICAL_FROM else Priority.HIGH
