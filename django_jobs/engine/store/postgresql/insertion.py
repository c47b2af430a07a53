"""One new job in one statement: its key, its row and its log rows, and only while what it was made for still holds."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.store.base import Store
from django_jobs.engine.store.insertion_values import NewJob
from django_jobs.engine.store.postgresql.columns import OLDEST_OPEN, OWN_TRANSACTION, columns_of, insert, next_key
from django_jobs.engine.store.postgresql.duplicates import is_new, kept
from django_jobs.engine.store.postgresql.targets import sql_holds
from django_jobs.engine.store.transition_values import Moved
from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import Status

#: What the statement makes itself. Every other column holds what the instance says.
COMPUTED: Final = {
    "id": "new.id",
    "created_at": "statement_timestamp()",
    "ready_at": "CASE WHEN NOT %(waits)s THEN greatest(%(run_at)s::timestamptz, statement_timestamp()) END",
    "is_delayed": "NOT %(waits)s AND coalesce(%(run_at)s::timestamptz > statement_timestamp(), false)",
}
#: The same for one that may be queued at once, and waits for nothing.
COMPUTED_AT_ONCE: Final = {
    **COMPUTED,
    "status": f"CASE WHEN new.at_once THEN '{Status.QUEUED}' ELSE '{Status.PENDING}' END",
    "queued_at": "CASE WHEN new.at_once THEN statement_timestamp() END",
    "ready_at": "CASE WHEN NOT new.at_once THEN statement_timestamp() END",
    "is_delayed": "false",
}
#: Where jobs have head starts: what is due stands in its lane that much earlier.
_HOURS: Final = "%(head_start)s::smallint * interval '1 hour'"
_AHEAD: Final = {
    "ready_at": "CASE WHEN %(waits)s THEN NULL WHEN %(run_at)s::timestamptz > statement_timestamp() "
    f"THEN %(run_at)s::timestamptz ELSE statement_timestamp() - {_HOURS} END"
}
_AHEAD_AT_ONCE: Final = {"ready_at": f"CASE WHEN NOT new.at_once THEN statement_timestamp() - {_HOURS} END"}
#: It is added to the number of the table of jobs, which differs where a host gives each of its customers a schema.
LOCK: Final = 0x646A6F62 << 32


# Made once: ``json.dumps`` makes an encoder for each call that asks for one of its own.
_encode: Final = DjangoJSONEncoder().encode


class Insertion(Store):
    """Writing new jobs."""

    queues_new_jobs: ClassVar[bool] = True
    #: The columns of which some job so far held something else than the default. The others are constants in the
    #: statement: most columns of a new job hold their default, and to send them all costs a third more.
    _sent: frozenset[str] = frozenset()

    def keeps_new_jobs_out(self) -> bool:
        return bool(self.fetch(f"SELECT {sql_lock('_shared')}", [])[0][0])

    def insert(self, new: NewJob) -> bool:
        if new.parents:
            return self.in_transaction(lambda: self._insert_with_parents(new))
        return self._insert_alone(new)

    def _insert_with_parents(self, new: NewJob) -> bool:
        is_new = self._insert_alone(new)
        if is_new:
            self._link([new])
        return is_new

    def _insert_alone(self, new: NewJob) -> bool:
        job, submitter, given = new.job, new.submitter, new.job.__dict__
        sent = self._columns_to_send(given)
        params = {name: _as_json(given[name]) if name in _json_columns() else given[name] for name in sent}
        params |= {name: prepare(given[name], self.connection) for name, prepare in preparations() if name in sent}
        params |= {"waits": bool(new.parents), "window": new.window, "run_at": job.run_at, "job_hash": job.job_hash}
        params |= {"submitter": submitter.name, "submitter_kind": submitter.kind}
        if new.versions is not None:
            params |= new.versions._asdict()
        at_once = None
        if new.at_once is not None:
            at_once = new.at_once.sql
            params |= {f"if_{number}": value for number, value in enumerate(new.at_once.params)}
        rows = self.fetch(_sql(self.alias, new.versions is not None, new.window > 0, sent, at_once), params)
        if not rows:
            return False
        job.pk, job.created_at, job.ready_at, new.log_id, queued_log_id = rows[0]
        if queued_log_id is not None:
            job.ready_at = job.created_at
            new.queued = _queued(job, queued_log_id)
        job.is_delayed = job.ready_at is not None and job.ready_at > job.created_at
        job._state.adding = False
        job._state.db = self.alias
        return True

    def _columns_to_send(self, given: Mapping[str, Any]) -> frozenset[str]:
        """Return the columns to send: those of earlier jobs too, so that a few texts of the statement serve all."""
        special = [name for name, default in _defaults().items() if given[name] != default]
        sent = self._sent
        if not sent.issuperset(special):
            sent = self._sent = sent.union(special)
        return sent

    def transaction_ids(self) -> tuple[int | None, int | None]:
        own, oldest = self.fetch(f"SELECT {OWN_TRANSACTION}, {OLDEST_OPEN}", [])[0]
        return own, oldest


@functools.cache
def _defaults() -> dict[str, Any]:
    """Return the defaults of the columns that hold what the instance says."""
    fields = [field for field in Job._meta.concrete_fields if field.attname not in COMPUTED]
    return {field.attname: field.get_default() for field in fields}


@functools.cache
def _json_columns() -> frozenset[str]:
    return frozenset(field.attname for field in Job._meta.concrete_fields if isinstance(field, models.JSONField))


@functools.cache
def preparations() -> tuple[tuple[str, Callable[[Any, Any], Any]], ...]:
    """Return, by column, what makes of a key of another model, such as the host's, a value that the driver takes."""
    return tuple((field.attname, field.get_db_prep_save) for field in Job._meta.concrete_fields if field.is_relation)


def _as_json(value: Any) -> str | None:
    return None if value is None else _encode(value)


@functools.cache
def _sql(alias: str, has_versions: bool, has_window: bool, sent: frozenset[str], at_once: str | None) -> str:
    """The statement, for targets whose versions are known or not, and for work that is unique for a while or not.

    ``sent`` are the columns that are parameters. ``at_once`` is the condition under which the job is queued, None where
    it may not be.
    """
    conditions = [*([sql_holds()] if has_versions else ()), *([is_new()] if has_window else ())]
    columns = columns_of(Job, alias)
    computed = COMPUTED if at_once is None else COMPUTED_AT_ONCE
    if "head_start" in sent:
        computed = computed | (_AHEAD if at_once is None else _AHEAD_AT_ONCE)
    given = computed | {name: f"%({name})s::{columns[name].kind}" for name in sent}
    source = f"FROM (SELECT id, {_STILL} AS at_once FROM new JOIN kept USING (id)) new" if has_window else "FROM new"
    log_key = next_key(ExecutionLog, alias)
    queued_key = "NULL::bigint" if at_once is None else f"CASE WHEN status = '{Status.QUEUED}' THEN {log_key} END"
    logged_at_once = insert(ExecutionLog, _LOG | _LOG_AT_ONCE, "FROM numbered WHERE queued_log_id IS NOT NULL")
    return f"""
        WITH new AS (
            SELECT {next_key(Job, alias)} AS id, {_at_once(at_once)} AS at_once
            {"WHERE" if conditions else ""} {" AND ".join(conditions)}
        ), {kept() if has_window else ""} job AS (
            {insert(Job, given, source)} RETURNING id, created_at, ready_at, organization_id, status
        ), numbered AS (
            SELECT *, {log_key} AS log_id, {queued_key} AS queued_log_id FROM job
        ), logged AS (
            {insert(ExecutionLog, _LOG | {"id": "log_id"}, "FROM numbered")}
        ) {"" if at_once is None else f", logged_at_once AS ({logged_at_once})"}
        SELECT id, created_at, ready_at, log_id, queued_log_id FROM numbered
    """


#: Who waited for another transaction that has the same work goes by what was true before.
_STILL: Final = "at_once AND clock_timestamp() < statement_timestamp() + interval '0.1 second'"


def _at_once(condition: str | None) -> str:
    """Return SQL whether a new job is queued at once: where no other may be at this moment, and the condition holds.

    Of two that see neither each other wait nor in flight, one does not get the lock. It is asked for first: the
    condition goes by what was true when the statement began, and while it takes long, others would come and go unseen.
    """
    if condition is None:
        return "false"
    for number in range(condition.count("%s")):
        condition = condition.replace("%s", f"%(if_{number})s", 1)
    return f"CASE WHEN {sql_lock()} THEN {condition} ELSE false END"


def sql_lock(kind: str = "") -> str:
    """Return SQL that takes the lock of who may queue a new job until its transaction ends; false if another has it.

    With ``_shared`` it is that of those who keep new jobs out.
    """
    return f"pg_try_advisory_xact_lock{kind}({LOCK} + '\"{Job._meta.db_table}\"'::regclass::oid::bigint)"


def _queued(job: Job, log_id: int) -> Moved:
    """What happened to a job that was queued at once."""
    return Moved(
        pk=job.pk,
        from_status=Status.PENDING,
        to_status=Status.QUEUED,
        attempt=job.attempt,
        job_type=job.job_type_id,
        organization_name=job.organization_name,
        priority=job.priority,
        year=job.created_at.astimezone(dt.UTC).year,
        message="",
        actor=SYSTEM,
        worker_name="",
        log_id=log_id,
        organization_id=job.organization_id,
        queued_at=job.created_at,
    )


_LOG: Final = {
    "job_id": "id",
    "to_status": f"'{Status.PENDING}'",
    "timestamp": "statement_timestamp()",
    "actor": "%(submitter)s",
    "actor_kind": "%(submitter_kind)s",
    "organization_id": "organization_id",
    "transaction_id": OWN_TRANSACTION,
    "oldest_open_id": OLDEST_OPEN,
}
#: What differs in the second row of a job that is queued at once.
_LOG_AT_ONCE: Final = {
    "id": "queued_log_id",
    "from_status": f"'{Status.PENDING}'",
    "to_status": f"'{Status.QUEUED}'",
    "actor": f"'{SYSTEM.name}'",
    "actor_kind": f"'{SYSTEM.kind}'",
}
