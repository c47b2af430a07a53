"""Storing a step or a checkpoint in one statement, which locks the job's row and asks who owns it."""

from __future__ import annotations

import functools
import json
from typing import Any, Final

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.postgresql.columns import insert
from django_jobs.engine.store.step_values import Attempt, NewStep, StoredStep
from django_jobs.models import Job, JobCheckpoint, JobStep
from django_jobs.statuses import Status

#: The lock makes the statement wait for a rescue that is under way; the conditions are asked again after that.
_OWNED: Final = f"""FROM (
        SELECT id FROM "{Job._meta.db_table}"
        WHERE id = %(pk)s AND attempt = %(attempt)s AND worker_name = %(worker_name)s
            AND status = '{Status.RUNNING}' AND lease_expires_at > statement_timestamp()
        FOR NO KEY UPDATE
    ) AS owned"""


class Steps(Store):
    """One round trip, and one commit, for each step."""

    def insert_step(self, attempt: Attempt, step: NewStep) -> StoredStep | None:
        params = _params(attempt) | step._asdict()
        rows = self.retried(lambda: self.fetch(_step_sql(), params, newest=attempt.pk))
        # The database writes some JSON in its own way: 1e22 as a whole number, the keys of an object in its order.
        return StoredStep(step.position, rows[0][0], json.loads(rows[0][1]), rows[0][2]) if rows else None

    def save_checkpoint(self, attempt: Attempt, data: str) -> bool:
        params = _params(attempt) | {"data": data}
        return bool(self.retried(lambda: self.fetch(_checkpoint_sql(), params, newest=attempt.pk)))


def _params(attempt: Attempt) -> dict[str, Any]:
    return {"pk": attempt.pk, "attempt": attempt.number, "worker_name": attempt.worker_name}


@functools.cache
def _step_sql() -> str:
    given = {
        "job_id": "owned.id",
        "position": "%(position)s::integer",
        "name": "%(name)s::text",
        "result": "%(result)s::jsonb",
        "attempt": "%(attempt)s::integer",
        "done_at": "statement_timestamp()",
        "seconds": "%(seconds)s::double precision",
        "digest": "%(digest)s::text",
    }
    # There is a row only where this attempt has stored the step before, and the answer was lost.
    return f"""{insert(JobStep, given, _OWNED)}
        ON CONFLICT (job_id, position) DO UPDATE SET attempt = EXCLUDED.attempt
        RETURNING name, result::text, digest"""


@functools.cache
def _checkpoint_sql() -> str:
    given = {
        "job_id": "owned.id",
        "data": "%(data)s::jsonb",
        "attempt": "%(attempt)s::integer",
        "saved_at": "statement_timestamp()",
    }
    return f"""{insert(JobCheckpoint, given, _OWNED)}
        ON CONFLICT (job_id) DO UPDATE
            SET data = EXCLUDED.data, attempt = EXCLUDED.attempt, saved_at = EXCLUDED.saved_at
        RETURNING job_id"""
