"""Claiming a job in the statement that reads it, where the answers to all questions that it raises are known."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from django_jobs.engine.store.base.claims import claim_columns, claim_row
from django_jobs.engine.store.claim_rows import Row
from django_jobs.engine.store.postgresql.columns import columns_of
from django_jobs.engine.store.postgresql.insertion import preparations
from django_jobs.engine.store.postgresql.moves import Moves, moved_from
from django_jobs.engine.store.tenant_column import TenantColumn, tenant_column
from django_jobs.engine.store.transition_values import Condition, Move, Moved, Terms
from django_jobs.models import Breaker, Job, JobType
from django_jobs.statuses import BreakerState


class KnownClaims(Moves):
    """Claims without a question."""

    claims_known: ClassVar[bool] = True

    def claim_known(self, item: Move, terms: Terms, known: Sequence[Row]) -> tuple[Moved, Row] | None:
        tenant = tenant_column()
        columns = claim_columns(tenant, self.sql_now())
        terms = replace(terms, only_if=Condition(_guard(self.alias, tenant), self._arrays(known)))
        asked = time.monotonic()
        rows = self._fetch_moved([item], terms, told=_told(tenant, self.sql_now()), joined=_JOINED)
        if not rows:
            return None
        own = rows[0][-len(columns) :]
        return moved_from(rows[0], item, terms), claim_row(dict(zip(columns, own, strict=True)), tenant, asked)

    def _arrays(self, known: Sequence[Row]) -> tuple[Any, ...]:
        """Return the values of the guard, in the order of its columns."""
        prepare = dict(preparations())
        columns = [
            [row.job_type_id for row in known],
            [row.handler_method for row in known],
            [row.requires_permission for row in known],
            [row.submit_by for row in known],
            [row.pool for row in known],
            [prepare["organization_id"](row.organization_id, self.connection) for row in known],
            [row.organization for row in known],
            [prepare["owner_id"](row.owner_id, self.connection) for row in known],
            [row.owner_name for row in known],
            [row.submitted_by_id is not None for row in known],
        ]
        return tuple(columns)


#: What is read of the job and its type, as they were before the move.
_JOINED = f"""JOIN "{Job._meta.db_table}" j ON j.id = n.id
            LEFT JOIN "{JobType._meta.db_table}" t ON t.type_name = j.job_type_id"""


@functools.cache
def _told(tenant: TenantColumn, now: str) -> str:
    return "".join(f", {sql}" for sql in claim_columns(tenant, now).values())


@functools.cache
def _guard(alias: str, tenant: TenantColumn) -> str:
    """Return SQL that a row is like a known one, may start by its type and its breaker, and has not expired."""
    jobs, kinds = f'"{Job._meta.db_table}"', columns_of(Job, alias)
    arrays = [*["text"] * 5, kinds["organization_id"].kind, "text", kinds["owner_id"].kind, "text", "boolean"]
    slots = ", ".join(f"%s::{kind}[]" for kind in arrays)
    return f"""EXISTS (
                SELECT 1 FROM "{JobType._meta.db_table}" t JOIN unnest({slots}) AS k(
                    job_type, handler, permission, submit_by, pool, organization, tenant, owner, owner_name, by_job
                ) ON t.type_name = k.job_type AND t.handler_method = k.handler
                    AND t.requires_permission = k.permission AND t.submit_by = k.submit_by
                    AND t.pool = k.pool
                WHERE t.is_enabled AND NOT t.is_paused AND (
                    t.breaker_failures = 0 OR NOT EXISTS (
                        SELECT 1 FROM "{Breaker._meta.db_table}" b
                        WHERE b.job_type_id = t.type_name AND b.state = '{BreakerState.OPEN}'
                            AND (b.organization_id IS NULL OR b.organization_id = {jobs}.organization_id)
                            AND (b.tries_since <= {jobs}.queued_at) IS NOT TRUE
                    )
                ) AND {jobs}.job_type_id = k.job_type
                    AND {jobs}.organization_id = k.organization AND {jobs}.owner_id IS NOT DISTINCT FROM k.owner
                    AND {jobs}.owner_name = k.owner_name AND ({jobs}.submitted_by_id IS NOT NULL) = k.by_job
                    AND k.tenant = (
                        SELECT o.{tenant.column}::text FROM {tenant.table} o
                        WHERE o.{tenant.key} = {jobs}.organization_id
                    )
            ) AND ({jobs}.expires_at IS NULL OR {jobs}.expires_at > statement_timestamp())"""
