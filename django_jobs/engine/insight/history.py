"""Reads what happened to a job: its Execution Log."""

from __future__ import annotations

from itertools import accumulate
from typing import Any, Final, NamedTuple

from django_jobs.engine.lookup import find_job
from django_jobs.models import ExecutionLog, Job

#: The most rows of a page, and the most characters of messages in it: a page of long messages has fewer rows.
MAX_ROWS: Final = 1_000
MAX_CHARACTERS: Final = 250_000

Row = dict[str, Any]


class HistoryPage(NamedTuple):
    """Some rows, in order. ``after`` is the id of the last one if more rows follow, else None."""

    rows: list[Row]
    after: int | None


def get_job_history(job_id: str | Job, *, user: Any = None) -> list[Row]:
    """Return the job's whole Execution Log, in order, as dicts.

    Their keys are ``id``, ``from_status`` (empty in the first), ``to_status``, ``timestamp``, ``actor``,
    ``actor_kind``, ``message`` and ``attempt``. Raises JobNotFound.
    """
    return list(_rows(find_job(job_id, user)))


def history_page(job: Job, after: int = 0) -> HistoryPage:
    """Return the rows that follow the one with the id ``after``: as many as an answer should hold, at least one."""
    rows = list(_rows(job).filter(id__gt=after)[: MAX_ROWS + 1])
    lengths = accumulate(len(row["message"]) for row in rows[:MAX_ROWS])
    count = max(1, sum(length <= MAX_CHARACTERS for length in lengths))
    return HistoryPage(rows[:count], rows[count - 1]["id"] if len(rows) > count else None)


def _rows(job: Job) -> Any:
    names = ("id", "from_status", "to_status", "timestamp", "actor", "actor_kind", "message", "attempt")
    return ExecutionLog.primary.filter(job=job).order_by("id").values(*names)
