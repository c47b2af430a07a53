"""New jobs in one statement, with all that belongs to them."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from operator import itemgetter
from typing import Any, ClassVar, Final

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from django_jobs.engine import timing
from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.store.base_jobs import MAX_ROWS, chunks
from django_jobs.engine.store.postgresql_core import (
    LOGGED,
    OLDEST_OPEN,
    OWN_TRANSACTION,
    Slot,
    array,
    columns_of,
    insert,
    next_key,
    sending_ahead,
    slot,
    unnested,
)
from django_jobs.engine.store.postgresql_lanes import PostgreSQLLanes
from django_jobs.engine.store.values import Moved, NewJob, TargetRows, Versions
from django_jobs.models import DuplicateKey, ExecutionLog, Job, JobType, get_organization_model
from django_jobs.statuses import UNSUCCESSFUL, Status

#: In the order of :class:`Versions`.
_VERSIONS: Final = ("t.ctid", "t.xmin", "o.ctid", "o.xmin")
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
#: Who waited for another transaction that has the same work goes by what was true before.
_STILL: Final = (
    f"at_once AND clock_timestamp() < statement_timestamp() + interval '{timing.STORED_QUEUED_SECONDS} second'"
)
_LOG: Final = LOGGED | {
    "to_status": f"'{Status.PENDING}'",
    "actor": "%(submitter)s",
    "actor_kind": "%(submitter_kind)s",
}
#: What differs in the second row of a job that is queued at once.
_LOG_AT_ONCE: Final = {
    "id": "queued_log_id",
    "from_status": f"'{Status.PENDING}'",
    "to_status": f"'{Status.QUEUED}'",
    "actor": f"'{SYSTEM.name}'",
    "actor_kind": f"'{SYSTEM.kind}'",
}
#: Statements that are sent before the answer to the first is read. What the server does not take yet fills memory.
AHEAD: Final = 8
#: Statements that are kept. Callers that mix the fields of their jobs in ever new ways could have millions made.
SHAPES: Final = 200


class PostgreSQLInserts(PostgreSQLLanes):
    """New jobs."""

    # Reading what a submission names, together with the versions of the rows, so that it need not be read each time:
    # ``ctid`` and ``xmin`` name one version of a row.

    def read_targets(self, type_name: str, field: str, tenant: Any) -> TargetRows | None:
        model = get_organization_model()
        with self.connection.cursor() as cursor:
            cursor.execute(_targets_sql(model, field), [type_name, tenant])
            row = cursor.fetchone()
        if row is None:
            return None
        values = iter(row)
        kind_values = {name: next(values) for name in _kind_columns()}
        tenant_values = {column.attname: next(values) for column in model._meta.concrete_fields}
        return TargetRows(kind_values, tenant_values, Versions(*values))

    def holds(self, versions: Versions | None) -> bool:
        if versions is None:
            return True
        return bool(self.fetch(f"SELECT {sql_holds()}", versions._asdict())[0][0])

    # One new job in one statement: its key, its row and its log rows, and only while what it was made for still
    # holds.

    queues_new_jobs: ClassVar[bool] = True
    #: The columns of which some job so far held something else than the default. The others are constants in the
    #: statement: most columns of a new job hold their default, and to send them all costs a third more.
    _sent: frozenset[str] = frozenset()

    def keep_new_jobs_out(self) -> bool:
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
        params = {name: given[name] for name in sent}
        columns = columns_of(Job, self.alias)
        params |= {name: new.encoded.get(name) or _as_json(given[name]) for name in sent if columns[name].is_json}
        params |= {name: prepare(given[name], self.connection) for name, prepare in preparations() if name in sent}
        params |= {"waits": bool(new.parents), "window": new.window, "run_at": job.run_at, "job_hash": job.job_hash}
        params |= {"submitter": submitter.name, "submitter_kind": submitter.kind}
        if new.versions is not None:
            params |= new.versions._asdict()
        at_once = None
        if new.at_once is not None:
            at_once = new.at_once.sql
            params |= {f"if_{number}": value for number, value in enumerate(new.at_once.params)}
        rows = self.fetch(_insert_sql(self.alias, new.versions is not None, new.window > 0, sent, at_once), params)
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
        special = [name for name, default in _defaults().items() if given[name] != default and name not in COMPUTED]
        sent = self._sent
        if not sent.issuperset(special):
            sent = self._sent = sent.union(special)
        return sent

    # Many new jobs and their first log rows in one statement, made of those columns alone that hold something
    # special.

    def _insert_all(self, news: Sequence[NewJob], now: dt.datetime) -> None:
        todo = chunks(news, now)
        if len(news) > MAX_ROWS:
            while self._insert_ahead(itertools.islice(todo, AHEAD)):
                pass
        # For a single statement, to wait for the server once more would cost more than it saves.
        for chunk in todo:
            [keys] = self.fetch(*self._statement(chunk), rows=len(chunk))
            self._take(chunk, keys)

    def _insert_ahead(self, some: Iterable[list[NewJob]]) -> bool:
        """Make the statement of each chunk while the server runs those before; return whether there may be more."""
        with sending_ahead(self.connection), ExitStack() as stack:
            sent: list[tuple[list[NewJob], Any]] = []
            for chunk in some:
                cursor = stack.enter_context(self.connection.cursor())
                cursor.execute(*self._statement(chunk))
                sent.append((chunk, cursor))
            for chunk, cursor in sent:
                self._take(chunk, cursor.fetchone())
        return len(sent) == AHEAD

    def _statement(self, news: Sequence[NewJob]) -> tuple[str, dict[str, Any]]:
        params: dict[str, Any] = {"count": len(news)}
        slots = self._job_slots(news, params) | self._actor_slots(news, params)
        return _bulk_sql(self.alias, tuple(slots.items())), params

    def _take(self, news: Sequence[NewJob], keys: Sequence[str]) -> None:
        """Fill in the keys of the jobs and of their log rows."""
        pks, log_ids = (map(int, text.split(",")) for text in keys)
        for new, pk, log_id in zip(news, pks, log_ids, strict=True):
            new.log_id = log_id
            new.job.id = pk
            state = new.job._state
            state.adding, state.db = False, self.alias

    def _job_slots(self, news: Sequence[NewJob], params: dict[str, Any]) -> dict[str, Slot]:
        """Return how each column travels in which some job holds something else than the default."""
        defaults = _defaults()
        slots: dict[str, Slot] = {}
        rows = map(itemgetter(*defaults), [new.job.__dict__ for new in news])
        for (name, default), values in zip(defaults.items(), zip(*rows, strict=True), strict=True):
            if values.count(default) < len(values):
                slots[name] = self._job_slot(name, values, news, params)
        return slots

    def _job_slot(self, name: str, values: Sequence[Any], news: Sequence[NewJob], params: dict[str, Any]) -> Slot:
        column = columns_of(Job, self.alias)[name]
        if column.is_json:
            values = [new.encoded.get(name) or _encode(value) for new, value in zip(news, values, strict=True)]
        elif (prepare := dict(preparations()).get(name)) is not None:  # a key of the host's, of whatever kind
            prepared = {value: prepare(value, self.connection) for value in set(values)}
            values = [prepared[value] for value in values]
        return slot(f"v_{name}", column.sql_type, values, params, is_json=column.is_json)

    def _actor_slots(self, news: Sequence[NewJob], params: dict[str, Any]) -> dict[str, Slot]:
        # A submitter is known by the owner's name, and nearly always the same one.
        actors = {name: new.submitter for name, new in {new.job.owner_name: new for new in news}.items()}
        rows = [actors[new.job.owner_name] for new in news]
        return {
            "actor": slot("actor", "text", [actor.name for actor in rows], params),
            "actor_kind": slot("actor_kind", "text", [str(actor.kind) for actor in rows], params),
        }

    def keep_out(self, accepted: Sequence[NewJob], now: dt.datetime) -> bool:
        """Insert or take over, in the order of the keys, waiting for others who hold one."""
        sql = f"""
            INSERT INTO "{DuplicateKey._meta.db_table}" AS k (key, job_id, expires_at)
            SELECT key, job_id, %s + seconds * interval '1 second'
            FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS new(key, job_id, seconds)
            ORDER BY key {take_over()}
        """
        jobs = [new.job for new in accepted]
        columns: list[list[Any]] = [
            [job.job_hash for job in jobs],
            [job.pk for job in jobs],
            [new.window for new in accepted],
        ]
        with self.connection.cursor() as cursor:
            cursor.execute(sql, [now, *(array(column) for column in columns)])
            return int(cursor.rowcount) == len(accepted)

    def _keeping_out(self, keys: Iterable[str]) -> dict[int, str]:
        sql = f"""
            SELECT job_id, key FROM "{DuplicateKey._meta.db_table}"
            WHERE key = ANY(%s::text[]) AND expires_at > statement_timestamp()
        """
        wanted = list(keys)
        return dict(self.fetch(sql, [array(wanted)], rows=len(wanted)))


# Duplicates: SQL that refuses equal work, or takes over the key of work that keeps nobody out any more.


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


def sql_holds() -> str:
    """Return whether rows are as they were read, for a statement with :class:`Versions` among its parameters.

    They are found by their place, so that it costs little.
    """
    read: dict[str, Any] = {"kind": JobType, "tenant": get_organization_model()}
    return " AND ".join(
        f'EXISTS (SELECT 1 FROM "{model._meta.db_table}" '
        f"WHERE ctid = %({name}_ctid)s::tid AND xmin = %({name}_xmin)s::xid)"
        for name, model in read.items()
    )


@functools.cache
def _kind_columns() -> dict[str, str]:
    """What is read of a job type; JSON stays deferred."""
    fields = [field for field in JobType._meta.concrete_fields if not isinstance(field, models.JSONField)]
    return {field.attname: str(field.column) for field in fields}


@functools.cache
def _targets_sql(model: type[models.Model], field: str) -> str:
    columns = [f't."{column}"' for column in _kind_columns().values()]
    columns += [f'o."{column.column}"' for column in model._meta.concrete_fields]
    columns += [f"{column}::text" for column in _VERSIONS]
    by: Any = model._meta.pk if field == "pk" else model._meta.get_field(field)
    return (
        f'SELECT {", ".join(columns)} FROM "{JobType._meta.db_table}" t, "{model._meta.db_table}" o '
        f'WHERE t.type_name = %s AND o."{by.column}" = %s'
    )


@functools.cache
def preparations() -> tuple[tuple[str, Callable[[Any, Any], Any]], ...]:
    """Return, by column, what makes of a key of another model, such as the host's, a value that the driver takes."""
    return tuple((field.attname, field.get_db_prep_save) for field in Job._meta.concrete_fields if field.is_relation)


def _as_json(value: Any) -> str | None:
    return None if value is None else _encode(value)


@functools.cache
def _insert_sql(alias: str, has_versions: bool, has_window: bool, sent: frozenset[str], at_once: str | None) -> str:
    """The statement, for targets whose versions are known or not, and for work that is unique for a while or not.

    ``sent`` are the columns that are parameters. ``at_once`` is the condition under which the job is queued, None where
    it may not be.
    """
    conditions = [*([sql_holds()] if has_versions else ()), *([is_new()] if has_window else ())]
    columns = columns_of(Job, alias)
    computed = COMPUTED if at_once is None else COMPUTED_AT_ONCE
    if "head_start" in sent:
        computed = computed | (_AHEAD if at_once is None else _AHEAD_AT_ONCE)
    given = computed | {name: f"%({name})s::{columns[name].sql_type}" for name in sent}
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


def sql_lock(suffix: str = "") -> str:
    """Return SQL that takes the lock of who may queue a new job until its transaction ends; false if another has it.

    With ``_shared`` it is that of those who keep new jobs out.
    """
    return f"pg_try_advisory_xact_lock{suffix}({LOCK} + '\"{Job._meta.db_table}\"'::regclass::oid::bigint)"


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


@functools.cache
def _defaults() -> dict[str, Any]:
    """Return the default of each column but the key."""
    fields = [field for field in Job._meta.concrete_fields if not field.primary_key]
    return {field.attname: field.get_default() for field in fields}


@functools.lru_cache(SHAPES)
def _bulk_sql(alias: str, slots: tuple[tuple[str, Slot], ...]) -> str:
    """The statement. Keys are drawn in the order of the jobs before anything is inserted, so that no step is joined."""
    given = {name: str(slot) for name, slot in slots}
    log = {
        "id": "log_id",
        "job_id": "id",
        "to_status": f"'{Status.PENDING}'",
        "timestamp": given["created_at"],
        "actor": given.pop("actor"),
        "actor_kind": given.pop("actor_kind"),
        "organization_id": given["organization_id"],
        # Asked once, not for each row.
        "transaction_id": f"(SELECT {OWN_TRANSACTION})",
        "oldest_open_id": f"(SELECT {OLDEST_OPEN})",
    }
    return f"""
        WITH new AS (
            SELECT {next_key(Job, alias)} AS id, {next_key(ExecutionLog, alias)} AS log_id, given.*
            FROM (SELECT * FROM {unnested(slot for _, slot in slots)} ORDER BY place) AS given
        ), job AS (
            {insert(Job, given | {"id": "id"}, "FROM new")}
        ), logged AS (
            {insert(ExecutionLog, log, "FROM new")}
        )
        SELECT {", ".join(f"string_agg({key}::text, ',' ORDER BY place)" for key in ("id", "log_id"))} FROM new
    """
