"""Deleting jobs with all that is theirs, as the engine does it in sets."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from tests.support import verbs


def delete_jobs(pks: Sequence[int], *, release_children: bool = False) -> int:
    """Delete those that have ended, and their files after the commit; return how many went."""
    job_ids = verbs.delete_job_rows(pks, release_children=release_children).job_ids
    transaction.on_commit(lambda: verbs.delete_files_of(job_ids))
    return len(job_ids)
