"""What the claim reads: jobs and their types in one statement, because every job passes here.

The same through the ORM took three times as long, most of it spent before the database was asked.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Sequence
from typing import Any, ClassVar

from django_jobs.engine.store.base.transactions import Params, Transactions, as_moment
from django_jobs.engine.store.claim_rows import Row
from django_jobs.engine.store.tenant_column import TenantColumn, tenant_column
from django_jobs.engine.store.transition_values import Move, Moved, Terms
from django_jobs.models import Job, JobType

#: What of a row is not simply a column of the job or of its type.
_MADE = frozenset({"seconds_left", "organization", "starts_before", "is_limited", "starts_count"})
#: The limits of a type by which every start counts, as SQL.
_STARTS_COUNT = " OR ".join(
    f"t.{name} IS NOT NULL"
    for name in ("max_running", "max_running_per_organization", "max_starts", "max_starts_per_key")
)


class Claims(Transactions):
    """Reading what a worker is about to run."""

    #: Whether :meth:`claim_known` claims anything.
    claims_known: ClassVar[bool] = False
    #: SQL that locks the jobs that are read, and leaves out those whose rows are in use; a store may have none.
    sql_locks_jobs: ClassVar[str] = ""

    def claim_rows(self, pks: Sequence[int], *, locks: bool = False) -> list[Row]:
        """Return the jobs with these primary keys, in no order; with ``locks``, see :attr:`sql_locks_jobs`."""
        if not pks:
            return []
        tenant, where, params = tenant_column(), *self._by_keys(pks)
        columns = claim_columns(tenant, self.sql_now())
        sql = _sql(tenant, self.sql_now()) + where + (self.sql_locks_jobs if locks else "")
        asked = time.monotonic()
        found = self.fetch(sql, params, rows=len(pks), newest=max(pks))
        return [claim_row(dict(zip(columns, values, strict=True)), tenant, asked) for values in found]

    def claim_known(self, item: Move, terms: Terms, known: Sequence[Row]) -> tuple[Moved, Row] | None:
        """Move a job, and return what happened and what :meth:`claim_rows` tells of it; in one statement.

        It moves only if it has the type, its pool, the organization, the owner and so on of one of the ``known`` rows,
        its type is open, and it has not expired. None where it did not move.
        """
        return None

    def _by_keys(self, pks: Sequence[int]) -> tuple[str, Params]:
        """Return SQL that a column's value is one of these keys, and its parameters."""
        return f"IN ({', '.join(['%s'] * len(pks))})", list(pks)


def claim_row(values: dict[str, Any], tenant: TenantColumn, asked: float) -> Row:
    """Return the row of values that were read by the names of :func:`claim_columns` at a moment or later."""
    now, expires_at = values.pop("now"), values.pop("expires_at")
    left = None if expires_at is None else (as_moment(expires_at) - as_moment(now)).total_seconds()
    values |= {
        "organization_id": _tenant_key().to_python(values["organization_id"]),
        "input_parameters": _json(values["input_parameters"]),
        "metadata": _json(values["metadata"]),
        "created_at": as_moment(values["created_at"]),
        "queued_at": as_moment(values["queued_at"]),
        "organization": tenant.read(values["organization"]),
        "seconds_left": left,
        "starts_before": None if left is None else asked + left,
    }
    return Row(**values)


def _json(text: str) -> Any:
    return {} if text == "{}" else json.loads(text)


@functools.cache
def _tenant_key() -> Any:
    return Job._meta.get_field("organization").target_field


@functools.cache
def claim_columns(tenant: TenantColumn, now: str) -> dict[str, str]:
    """Return what is read, as SQL by its name: of the job ``j`` what it has, of its type ``t`` the rest."""
    jobs = {field.attname: field.column for field in Job._meta.concrete_fields} | {"pk": Job._meta.pk.column}
    types = {field.attname: field.column for field in JobType._meta.concrete_fields}
    names = [name for name in Row._fields if name not in _MADE]
    read = {name: f"j.{jobs[name]}" if name in jobs else f"t.{types[name]}" for name in names}
    expires_at = f"j.{jobs['expires_at']}"
    # The moment only where it is needed: reading a time takes its time, and few jobs expire.
    now = f"CASE WHEN {expires_at} IS NOT NULL THEN {now} END"
    # Looked up for each job: for a join with many jobs a database may read all organizations.
    organization = f"(SELECT o.{tenant.column} FROM {tenant.table} o WHERE o.{tenant.key} = j.organization_id)"
    limits = {"starts_count": f"({_STARTS_COUNT})", "is_limited": f"({_STARTS_COUNT} OR t.concurrency_key <> '')"}
    return read | limits | {"expires_at": expires_at, "now": now, "organization": organization}


@functools.cache
def _sql(tenant: TenantColumn, now: str) -> str:
    return (
        f"SELECT {', '.join(claim_columns(tenant, now).values())} FROM {Job._meta.db_table} j "
        f"LEFT JOIN {JobType._meta.db_table} t ON t.type_name = j.job_type_id WHERE j.id "
    )
