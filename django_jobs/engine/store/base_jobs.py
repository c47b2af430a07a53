"""What a store does with jobs: new ones, moves from status to status, claims, steps."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Final, TypeVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from django_jobs.engine.store.base_backlog import LANE_ORDER, StoreBacklog
from django_jobs.engine.store.base_core import Params, as_moment
from django_jobs.engine.store.values import (
    INCREMENT,
    After,
    Attempt,
    Condition,
    JobRow,
    LostRace,
    Move,
    Moved,
    NewJob,
    NewStep,
    StoredStep,
    TargetRows,
    TenantColumn,
    Terms,
    Versions,
    parts_of,
    place_in_lane,
    tenant_column,
)
from django_jobs.models import (
    Batch,
    BatchChange,
    DependencyTask,
    DuplicateKey,
    ExecutionLog,
    Job,
    JobCheckpoint,
    JobDependency,
    JobStep,
    JobType,
)
from django_jobs.models.batch import COUNTED
from django_jobs.statuses import TERMINAL, UNSUCCESSFUL, Status

#: A system is idle where less is in flight; to count more would take longer.
FEW_IN_FLIGHT: Final = 200
#: That of the index of what is in flight, which makes the database use it: where much was in flight when it counted, it
#: would sooner look for a few of them in the table. What can no longer be removed from the index lies at its beginning.
_LATEST_FIRST: Final = "ORDER BY queued_at DESC"
#: The limits of a type that are NULL where there is none.
_LIMITS: Final = ("max_running", "max_running_per_organization", "max_starts", "max_starts_per_key")
T = TypeVar("T")
KEYS_AT_ONCE: Final = 500
MAX_ROWS: Final = 2_000
#: Databases take a statement of some 16 MB without being told otherwise.
MAX_BYTES: Final = 4_000_000
#: What of a row is not simply a column of the job or of its type.
_MADE = frozenset({"seconds_left", "organization", "starts_before", "is_limited", "starts_count"})
#: The limits of a type by which every start counts, as SQL.
_STARTS_COUNT = " OR ".join(f"t.{name} IS NOT NULL" for name in _LIMITS)
#: A constraint compares these, so that one statement must write both.
_CHECKED_TOGETHER: Final = frozenset({"status", "ready_at"})
#: The counts of a batch and of a change.
COUNTS: Final = ("total", *COUNTED.values())


class Store(StoreBacklog):
    """All that the engine asks of a database, in a way that is right on every vendor: through the ORM and plain SQL.

    The store of a vendor overrides what its database does better, and what it cannot do in this way.
    """

    # What a move may ask of other rows, in the statement that moves the job where the database can do both at once.
    # Organizations are named by their keys as the database has them. Any value may be a mark that the caller replaces.

    def is_due(self, pk: Any) -> Condition:
        """Return the condition that a job waits and that its moment has come."""
        return Condition(f"(SELECT {self.sql_is_due()} FROM {self.jobs_table} WHERE id = %s)", (pk,))

    def needs_no_pass(self, type_name: Any) -> Condition:
        """Return the condition that a job type is not paused and has no limits, as it is now."""
        unlimited = " AND ".join(f"{name} IS NULL" for name in _LIMITS)
        sql = (
            f"EXISTS (SELECT 1 FROM {self.types_table} WHERE type_name = %s AND NOT is_paused AND {unlimited} "
            "AND concurrency_key = '' AND breaker_failures = 0)"
        )
        return Condition(sql, (type_name,))

    def nothing_else_waits(self, priority: int, pk: Any) -> Condition:
        """Return the condition that no job but this one waits with a priority, due or not."""
        return self._nothing_waits("id <> %s", (priority, pk))

    def nothing_waits(self, priority: int) -> Condition:
        """Return the condition that no job waits with a priority, due or not."""
        return self._nothing_waits("TRUE", (priority,))

    def nothing_waits_of(self, organization_key: Any, priority: int) -> Condition:
        """Return the condition that no job of an organization waits with a priority, due or not."""
        # Asked type by type, since the index has the type before the organization.
        first = (
            f"SELECT id FROM {self.jobs_table} WHERE {self.in_lane} AND job_type_id = kinds.type_name "
            f"AND organization_id = %s {LANE_ORDER} LIMIT 1"
        )
        sql = f"NOT EXISTS (SELECT 1 FROM {self.types_table} kinds WHERE ({first}) IS NOT NULL)"
        return Condition(sql, (priority, organization_key))

    def _nothing_waits(self, which: str, params: tuple[Any, ...]) -> Condition:
        first = f"SELECT id FROM {self.jobs_table} WHERE {self.in_lane} AND {which} {LANE_ORDER} LIMIT 1"
        return Condition(f"({first}) IS NULL", params)

    def has_fewer_in_flight(self, organization_key: Any, count: Any) -> Condition:
        """Return the condition that fewer jobs of an organization than ``count`` are queued or running."""
        sql = f"(SELECT COUNT(*) FROM {self.jobs_table} WHERE {self.in_flight} AND organization_id = %s) < %s"
        return Condition(sql, (organization_key, count))

    def is_idle(self, organization_key: Any, most_of_it: Any, priorities: Sequence[int], most_queued: Any) -> Condition:
        """Return the condition that fewer than FEW_IN_FLIGHT jobs are queued or running.

        Of the organization it is fewer than ``most_of_it``, and of these priorities fewer than ``most_queued`` are
        queued.
        """
        own = "CASE WHEN organization_id = %s THEN 1 ELSE 0 END"
        among = ", ".join(map(str, priorities))
        queued = f"CASE WHEN status = '{Status.QUEUED}' AND priority IN ({among}) THEN 1 ELSE 0 END"
        sql = (
            f"(SELECT COUNT(*) < {FEW_IN_FLIGHT} AND COALESCE(SUM({own}), 0) < %s AND COALESCE(SUM({queued}), 0) < %s "
            f"FROM (SELECT organization_id, status, priority FROM {self.jobs_table} WHERE {self.in_flight} "
            f"{_LATEST_FIRST} LIMIT {FEW_IN_FLIGHT}) AS found)"
        )
        return Condition(sql, (organization_key, most_of_it, most_queued))

    # Duplicates: a key row names the job that was accepted last, and until when equal work is refused. It tells who was
    # first, exactly, however many submit the same work at the same moment.

    def after_migrate(self) -> None:
        """Fill the tables whose rows are the same in every installation."""

    def lock_keys(self, keys: Iterable[str]) -> None:
        """Make others who submit the same work wait for the end of this transaction, where nothing else does."""

    def same_work(self, keys: Iterable[str]) -> dict[str, Job]:
        """Return, key by key, the job that keeps the same work out now. One that was canceled or died does not."""
        live = self._keeping_out(keys)
        found: dict[str, Job] = {}
        for pks in parts_of(live):
            jobs = Job.primary.filter(pk__in=pks).exclude(status__in=sorted(UNSUCCESSFUL))
            found |= {live[job.pk]: job for job in jobs}
        return found

    def _keeping_out(self, keys: Iterable[str]) -> dict[int, str]:
        """Return those of the keys whose time is not over, by the keys of their jobs."""
        live = DuplicateKey.primary.filter(expires_at__gt=self.now())
        found: dict[int, str] = {}
        for some in parts_of(keys):
            found |= dict(live.filter(pk__in=some).values_list("job_id", "key"))
        return found

    def keep_out(self, accepted: Sequence[NewJob], now: dt.datetime) -> bool:
        """Write the keys of these jobs. Return False where others got in between: then nothing is of use.

        The caller holds what :meth:`lock_keys` takes.
        """
        rows = [
            DuplicateKey(key=new.job.job_hash, job_id=new.job.pk, expires_at=now + dt.timedelta(seconds=new.window))
            for new in sorted(accepted, key=lambda new: new.job.job_hash)
        ]
        return self._write_keys(rows, now)

    def _write_keys(self, rows: list[DuplicateKey], now: dt.datetime) -> bool:
        keys = DuplicateKey.primary.all()
        for chunk in parts_of(rows, KEYS_AT_ONCE):
            self._dead(keys.filter(pk__in=[row.pk for row in chunk]), now).delete()
        try:
            with transaction.atomic(using=self.alias):
                keys.bulk_create(rows, batch_size=KEYS_AT_ONCE)
        except IntegrityError:
            return False
        return True

    def _dead(self, keys: QuerySet[DuplicateKey], now: dt.datetime) -> QuerySet[DuplicateKey]:
        """Return those of the keys that keep nobody out any more. The others stay, and a new row fails beside them."""
        dead = Job.primary.filter(pk=OuterRef("job_id"), status__in=sorted(UNSUCCESSFUL))
        return keys.filter(Q(expires_at__lte=now) | Exists(dead))

    # New jobs with all that is stored beside their rows: the first log row, the duplicate key, links to their
    # parents.

    #: Whether a new job may be stored as Queued.
    queues_new_jobs: ClassVar[bool] = False

    def keep_new_jobs_out(self) -> bool:
        """Have no new job stored as Queued until the open transaction ends; False where one may be at this moment."""
        return True

    def insert(self, new: NewJob) -> bool:
        """Insert one job, and fill in its key, its times and its ``log_id``.

        Return False, with nothing written, where the same work is there, or its ``versions`` are no longer valid.
        """
        with contextlib.suppress(LostRace):
            return self.in_transaction(lambda: self._insert(new))
        return False

    def _insert(self, new: NewJob) -> bool:
        if new.window:
            self.lock_keys([new.job.job_hash])
            if self.same_work([new.job.job_hash]):
                return False
        self.insert_many([new])
        return True

    def insert_many(self, news: Sequence[NewJob]) -> None:
        """Insert these jobs inside the open transaction, and fill in what the database gave.

        The caller has looked for the same work, after :meth:`lock_keys`. Raises LostRace where it came in between.
        """
        now = self.now()
        self._insert_all(news, now)
        guarded = [new for new in news if new.window]
        if guarded and not self.keep_out(guarded, now):
            raise LostRace
        self._link(news)

    def _insert_all(self, news: Sequence[NewJob], now: dt.datetime) -> None:
        """Insert the jobs in their order, and their first log rows in the same."""
        for chunk in chunks(news, now):
            Job.primary.bulk_create([new.job for new in chunk])
        self._log(news, now)

    def _log(self, news: Iterable[NewJob], now: dt.datetime) -> None:
        logs = [
            ExecutionLog(
                job_id=new.job.pk,
                to_status=Status.PENDING,
                timestamp=now,
                actor=new.submitter.name,
                actor_kind=new.submitter.kind,
                organization_id=new.job.organization_id,
            )
            for new in news
        ]
        ExecutionLog.primary.bulk_create(logs, batch_size=5 * MAX_ROWS)
        for new, log in zip(news, logs, strict=True):
            new.log_id = log.pk

    def _link(self, news: Iterable[NewJob]) -> None:
        """Note whose parents the jobs wait for, and that they are to be looked at."""
        links = [JobDependency(child_id=new.job.pk, parent_id=parent) for new in news for parent in new.parents]
        JobDependency.primary.bulk_create(links, batch_size=MAX_ROWS)
        tasks = [DependencyTask(job_id=pk) for pk in sorted({link.child_id for link in links})]
        DependencyTask.primary.bulk_create(tasks, batch_size=MAX_ROWS)

    def read_targets(self, type_name: str, field: str, tenant: Any) -> TargetRows | None:
        """Return the job type of this name, and the organization whose field has this value, to be remembered.

        None where one of them is missing, and where a database cannot tell whether a row has changed since.
        """
        return None

    def holds(self, versions: Versions | None) -> bool:
        """Return whether these are still the valid ones; of none that can be so."""
        return versions is None

    # What the claim reads: jobs and their types in one statement, because every job passes here.
    #
    # The same through the ORM took three times as long, most of it spent before the database was asked.

    #: SQL that locks the jobs that are read, and leaves out those whose rows are in use; a store may have none.
    sql_locks_jobs: ClassVar[str] = ""

    def claim_rows(self, pks: Sequence[int], *, locks: bool = False) -> list[JobRow]:
        """Return the jobs with these primary keys, in no order; with ``locks``, see :attr:`sql_locks_jobs`."""
        if not pks:
            return []
        tenant, where, params = tenant_column(), *self._by_keys(pks)
        columns = claim_columns(tenant, self.sql_now())
        sql = _sql(tenant, self.sql_now()) + where + (self.sql_locks_jobs if locks else "")
        asked = time.monotonic()
        found = self.fetch(sql, params, rows=len(pks), newest=max(pks))
        return [claim_row(dict(zip(columns, values, strict=True)), tenant, asked) for values in found]

    def _by_keys(self, pks: Sequence[int]) -> tuple[str, Params]:
        """Return SQL that a column's value is one of these keys, and its parameters."""
        return f"IN ({', '.join(['%s'] * len(pks))})", list(pks)

    # Moving a set of jobs to other statuses: lock and read, judge, update by id, log.

    #: Whether a move may pass a status on its way.
    passes_waypoints: ClassVar[bool] = False
    #: By how much a job may be found due before :meth:`now` says so, where the two clocks differ in their steps.
    clock_step: ClassVar[dt.timedelta] = dt.timedelta(0)

    def move(self, moves: Sequence[Move], terms: Terms) -> list[Moved]:
        """Move these jobs, each of them once in the set, and return those that moved. All of it or nothing.

        Rows are locked in ascending id before they are written, so that sets neither deadlock nor log a wrong source.
        """
        return self.in_transaction(lambda: self._move(moves, terms))

    def _move(self, moves: Sequence[Move], terms: Terms) -> list[Moved]:
        only_if = terms.only_if
        if only_if.sql and not self.fetch(f"SELECT {only_if.sql}", only_if.params)[0][0]:
            return []
        wanted = {item.pk: item for item in moves}
        now = self.now()
        # No filter on status here: on MariaDB it would lock ranges of that index, in another order than by id.
        rows = self.locked(Job.primary.filter(pk__in=list(wanted)), skip=terms.skip_locked)
        latest = now + self.clock_step
        changes = [_Change(job, wanted[job.pk], now) for job in rows if _may(job, wanted[job.pk], terms, latest)]
        _write(changes)
        logs = ExecutionLog.primary.bulk_create([change.log(terms, now) for change in changes])
        DependencyTask.primary.bulk_create([DependencyTask(job_id=change.job.pk) for change in changes if change.ends])
        _note_batches([change for change in changes if change.job.batch_id is not None], now)
        return [change.moved(terms, log.pk) for change, log in zip(changes, logs, strict=True)]

    # Storing steps and checkpoints in the name of an attempt, as long as it owns its job. What is stored here and the
    # end of the attempt exclude each other: both lock the job's row.

    def insert_step(self, attempt: Attempt, step: NewStep) -> StoredStep | None:
        """Store a step and return it as it will be read; None where the attempt owns its job no longer.

        Storing the same step of the same attempt again changes nothing: the answer to the first try may be lost.
        """

        def insert() -> StoredStep:
            row = JobStep(
                job_id=attempt.pk,
                position=step.position,
                name=step.name,
                result=json.loads(step.result),
                attempt=attempt.number,
                done_at=self.now(),
                seconds=step.seconds,
                digest=step.digest,
            )
            JobStep.primary.bulk_create([row], ignore_conflicts=True)
            stored = JobStep.primary.filter(job_id=attempt.pk, position=step.position)
            return StoredStep(*stored.values_list(*StoredStep._fields).get())

        return self.in_transaction(lambda: insert() if self._holds(attempt) else None)

    def save_checkpoint(self, attempt: Attempt, data: str) -> bool:
        """Store JSON as the job's checkpoint; return False where the attempt owns the job no longer."""

        def save() -> bool:
            self.write_checkpoint(attempt, data)
            return True

        return self.in_transaction(lambda: self._holds(attempt) and save())

    def write_checkpoint(self, attempt: Attempt, data: str) -> None:
        """Store JSON as the checkpoint of a job of which the caller has locked the row."""
        row = JobCheckpoint(job_id=attempt.pk, data=json.loads(data), attempt=attempt.number, saved_at=self.now())
        row.save(using=self.alias)

    def _holds(self, attempt: Attempt) -> bool:
        """Lock the job and return whether the attempt owns it by a lease that lasts."""
        rows = Job.primary.filter(
            pk=attempt.pk, attempt=attempt.number, worker_name=attempt.worker_name, status=Status.RUNNING
        )
        lasting = rows.extra(where=[f"lease_expires_at > {self.sql_now()}"])  # noqa: S610  (no value is in it)
        return bool(self.locked(lasting.only("pk")))

    # What batches need of a database beside rows: locks that those who add jobs share, and adding up what changed.
    # Where a database has no lock that can be shared so, those who add jobs wait for each other.

    def share_batches(self, pks: Sequence[int]) -> list[Batch]:
        """Return these batches, and let nobody close or end them until the transaction ends; counts may be written."""
        return list(self.locked(Batch.primary.filter(pk__in=pks)))

    def own_batches(self, pks: Sequence[int]) -> list[int]:
        """Lock these batches against those who add jobs too, and return which; nobody is waited for."""
        rows = self.locked(Batch.primary.filter(pk__in=pks), skip=True, excludes_all=True)
        return list(rows.values_list("pk", flat=True))

    def close_batch(self, pk: int) -> Batch | None:
        """Return the batch, locked against everybody; wait for those who add jobs. None where there is none."""
        return self.locked(Batch.primary.filter(pk=pk), excludes_all=True).first()

    def add_up_batches(self, pks: Sequence[int], now: dt.datetime) -> list[Batch]:
        """Add to these batches, which the transaction has locked, what changed; return those of which something did."""
        changes: defaultdict[int, list[BatchChange]] = defaultdict(list)
        for change in BatchChange.primary.filter(batch_id__in=pks):
            changes[change.batch_id].append(change)
        batches = list(Batch.primary.filter(pk__in=list(changes)).order_by("pk"))
        for batch in batches:
            _add(batch, changes[batch.pk], now)
            batch.save(using=self.alias, update_fields=[*COUNTS, "started_at", "counted_at"])
        BatchChange.primary.filter(pk__in=[change.pk for some in changes.values() for change in some]).delete()
        return batches


def _make_ready(new: NewJob, now: dt.datetime) -> None:
    job = new.job
    job.id = None
    job.created_at = now
    job.ready_at = None if new.parents else max(now, job.run_at or now)
    job.is_delayed = job.ready_at is not None and job.ready_at > now
    if job.head_start and job.ready_at is not None and not job.is_delayed:
        job.ready_at = place_in_lane(job.ready_at, job.head_start)


def chunks(news: Iterable[NewJob], now: dt.datetime) -> Iterator[list[NewJob]]:
    """Make the jobs ready, and yield sets of them that one statement may hold."""
    chunk: list[NewJob] = []
    size = 0
    for new in news:
        own = _size(new)
        size += own
        if chunk and (size > MAX_BYTES or len(chunk) == MAX_ROWS):
            yield chunk
            chunk, size = [], own
        _make_ready(new, now)
        chunk.append(new)
    if chunk:
        yield chunk


def _size(new: NewJob) -> int:
    """Return about how many bytes of a statement what the caller gave will take."""
    if new.encoded:
        return sum(map(len, new.encoded.values()))
    return len(json.dumps([new.job.input_parameters, new.job.metadata], cls=DjangoJSONEncoder))


def claim_row(values: dict[str, Any], tenant: TenantColumn, asked: float) -> JobRow:
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
    return JobRow(**values)


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
    names = [name for name in JobRow._fields if name not in _MADE]
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


def _may(job: Job, item: Move, terms: Terms, latest: dt.datetime) -> bool:
    """Return whether the job is where the caller thinks."""
    if job.status not in terms.sources or item.attempt not in {None, job.attempt}:
        return False
    if terms.only_own and job.worker_name != terms.worker_name:
        return False
    return not terms.only_due or (job.ready_at is not None and job.ready_at <= latest)


class _Change:
    """One job on its way: the row as it is to be, and where it came from."""

    def __init__(self, job: Job, item: Move, now: dt.datetime) -> None:
        self.job, self.item, self.from_status = job, item, job.status
        job.status = item.to_status
        for name, value in item.values.items():
            setattr(job, name, _resolved(job, name, value, now))
        self.written = ("status", *item.values)
        self.ends = job.has_children and job.status in TERMINAL

    def log(self, terms: Terms, now: dt.datetime) -> ExecutionLog:
        return ExecutionLog(
            job_id=self.job.pk,
            from_status=self.from_status,
            to_status=self.job.status,
            timestamp=now,
            actor=terms.actor.name,
            actor_kind=terms.actor.kind,
            message=self.item.message,
            reason=self.item.reason,
            attempt=self.job.attempt,
            worker_name=terms.worker_name,
            traceback=self.item.traceback,
            organization_id=self.job.organization_id,
        )

    def moved(self, terms: Terms, log_id: int) -> Moved:
        return Moved(
            pk=self.job.pk,
            from_status=self.from_status,
            to_status=self.job.status,
            attempt=self.job.attempt,
            job_type=self.job.job_type_id,
            organization_name=self.job.organization_name,
            priority=self.job.priority,
            year=self.job.created_at.year,
            message=self.item.message,
            actor=terms.actor,
            worker_name=terms.worker_name,
            has_children=self.job.has_children,
            log_id=log_id,
            organization_id=self.job.organization_id,
            lane_key=self.job.lane_key,
            queued_at=self.job.queued_at,
            batch_id=self.job.batch_id,
            error=self.item.error,
        )


def _note_batches(changes: Iterable[_Change], now: dt.datetime) -> None:
    """Note by how much each batch's counts changed."""
    noted: dict[int, BatchChange] = {}
    for change in changes:
        if COUNTED.keys().isdisjoint({change.from_status, change.job.status}):
            continue
        pk = change.job.batch_id or 0
        own = noted.setdefault(pk, BatchChange(batch_id=pk, changed_at=now))
        for status, by in ((Status(change.from_status), -1), (Status(change.job.status), 1)):
            if status in COUNTED:
                setattr(own, COUNTED[status], getattr(own, COUNTED[status]) + by)
        own.started_at = min(filter(None, (own.started_at, change.job.started_at)), default=None)
    BatchChange.primary.bulk_create(noted.values())


def _resolved(job: Job, name: str, value: Any, now: dt.datetime) -> Any:
    if value is INCREMENT:
        return getattr(job, name) + 1
    if isinstance(value, After):
        moment = now + dt.timedelta(seconds=value.seconds)
        return place_in_lane(moment, job.head_start) if name == "ready_at" and value.seconds <= 0 else moment
    return value


def _write(changes: Iterable[_Change]) -> None:
    """Update the rows, together those of which the same fields are written."""
    shapes: dict[tuple[str, ...], list[Job]] = defaultdict(list)
    for change in changes:
        shapes[change.written].append(change.job)
    for names, jobs in shapes.items():
        _write_shape(jobs, names)


def _write_shape(jobs: list[Job], names: tuple[str, ...]) -> None:
    """Write fields that all share in one plain UPDATE, the rest by CASE."""
    shared: dict[str, Any] = {}
    varying: list[str] = []
    for name in names:
        first = getattr(jobs[0], name)
        if all(getattr(job, name) == first for job in jobs) and not isinstance(first, dict | list):
            shared[name] = first
        else:
            varying.append(name)
    rows = Job.primary.all()
    if not _CHECKED_TOGETHER.isdisjoint(varying):
        varying += [name for name in shared if name in _CHECKED_TOGETHER]
        shared = {name: value for name, value in shared.items() if name not in _CHECKED_TOGETHER}
    if varying:
        rows.bulk_update(jobs, varying)
    if shared:
        rows.filter(pk__in=[job.pk for job in jobs]).update(**shared)


def _add(batch: Batch, changes: Sequence[BatchChange], now: dt.datetime) -> None:
    for name in COUNTS:
        setattr(batch, name, getattr(batch, name) + sum(getattr(change, name) for change in changes))
    moments = (batch.started_at, *(change.started_at for change in changes))
    batch.started_at = min((moment for moment in moments if moment is not None), default=None)
    batch.counted_at = now
