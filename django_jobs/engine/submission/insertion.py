"""Writing new jobs with their first log rows: one statement on PostgreSQL, a transaction elsewhere or for many.

Beside the row of a job stand, where they are needed, its duplicate key and its links to the jobs that it waits for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from django_jobs.engine.store import database
from django_jobs.engine.submission import duplicates, portable_insertion, postgresql_insertion
from django_jobs.engine.submission.building import Request
from django_jobs.engine.submission.targets import TargetsChanged
from django_jobs.engine.transitions import relatives

__all__ = ["insert", "insert_all"]

MAX_TRIES = 5


def insert(request: Request) -> None:
    """Write one job, and fill in what the database gave: id, times.

    Where the same work is there, the request gets it as ``existing`` or is refused with DuplicateJob. Raises
    TargetsChanged when type or organization are no longer what the request was made for.
    """
    if not database.is_postgresql():
        insert_all([request])
    elif request.parents:
        database.in_transaction(lambda: _insert_with_parents(request))
    else:
        postgresql_insertion.insert(request)


def _insert_with_parents(request: Request) -> None:
    postgresql_insertion.insert(request)
    if request.existing is None:
        relatives.link([(request.job.pk, request.parents)])


def insert_all(requests: Sequence[Request]) -> None:
    """Write many jobs, all or nothing. Raises DuplicateJob with the index of the first that is refused."""
    for _ in range(MAX_TRIES):
        with contextlib.suppress(duplicates.LostRace):
            database.in_transaction(lambda: portable_insertion.insert_all(requests))
            return
        duplicates.release_missing(request.job.job_hash for request in requests if request.window)
    raise TargetsChanged
