"""Django's 201 priorities and our four, and the order within these."""

from __future__ import annotations

from typing import Final

from django_jobs.statuses import Priority

#: From this one up a task is Critical, and from that one up High.
CRITICAL_FROM: Final = 51
HIGH_FROM: Final = 1
#: The lowest of them.
LOW_FROM: Final = -100


def priority_of(number: int) -> Priority | None:
    """Return the priority of a job: below 0 Low, 1 to 50 High, above that Critical; None, the type's own, for 0.

    A larger number never becomes a lower priority.
    """
    if number == 0:
        return None
    if number < 0:
        return Priority.LOW
    return Priority.CRITICAL if number >= CRITICAL_FROM else Priority.HIGH


def head_start_of(number: int) -> int:
    """Return by how many hours a job goes before jobs of its priority with the least number: one for each number more.

    So -1 has the most of the Low ones, and 0, the type's own priority, has none.
    """
    if number == 0:
        return 0
    if number < 0:
        return number - LOW_FROM
    return number - (CRITICAL_FROM if number >= CRITICAL_FROM else HIGH_FROM)
