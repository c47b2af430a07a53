"""Duplicates: SQL that refuses equal work, or takes over the key of work that keeps nobody out any more."""

from __future__ import annotations

from django_jobs.models import DuplicateKey, Job
from django_jobs.statuses import UNSUCCESSFUL


def _is_dead() -> str:
    """Return SQL that the job of a key ``k`` refuses nobody."""
    dead = ", ".join(f"'{status}'" for status in sorted(UNSUCCESSFUL))
    return f'EXISTS (SELECT 1 FROM "{Job._meta.db_table}" j WHERE j.id = k.job_id AND j.status IN ({dead}))'


def is_new() -> str:
    """Return SQL of the common refusal, without a lock: false if the key is there, and its job keeps others out."""
    return (
        f'NOT EXISTS (SELECT 1 FROM "{DuplicateKey._meta.db_table}" k WHERE k.key = %(job_hash)s '
        f"AND k.expires_at > statement_timestamp() AND NOT {_is_dead()})"
    )


def take_over() -> str:
    """Return SQL that takes over a key that keeps nobody out.

    It decides between simultaneous submissions and waits for open ones.
    """
    return (
        "ON CONFLICT (key) DO UPDATE SET job_id = excluded.job_id, expires_at = excluded.expires_at "
        f"WHERE k.expires_at <= statement_timestamp() OR {_is_dead()}"
    )


def kept() -> str:
    """Return the step that writes the key of the new job; it gives no row where another's key keeps the job out."""
    return f"""
        kept AS (
            INSERT INTO "{DuplicateKey._meta.db_table}" AS k (key, job_id, expires_at)
            SELECT %(job_hash)s, id, statement_timestamp() + %(window)s * interval '1 second' FROM new
            {take_over()} RETURNING job_id AS id
        ),"""
