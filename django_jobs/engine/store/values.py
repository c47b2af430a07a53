"""The values that stores take and give."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from django.db import connections
from django.db.models import Case, DateTimeField, DurationField, ExpressionWrapper, F, Func, Value, When

from django_jobs.conf import jobs_settings, primary_alias
from django_jobs.engine.actors import Actor, submitter_of
from django_jobs.models import Job, Span, get_organization_model
from django_jobs.statuses import AWAITING_RETRY, Status

# How many values one statement may name.

T = TypeVar("T")

#: As many as every database takes.
NAMED_AT_ONCE: Final = 2_000


def parts_of(values: Iterable[T], most: int = NAMED_AT_ONCE) -> Iterator[list[T]]:
    """Yield the values in their order, in lists of at most so many."""
    items = list(values)
    for start in range(0, len(items), most):
        yield items[start : start + most]


# What a store says of how far the Execution Log is complete.


class Horizon(NamedTuple):
    """A moment in the order in which transactions began: by their ids, or in seconds where those are not told.

    No transaction had ``next_id`` yet; all before ``oldest_open`` have ended.
    """

    next_id: float
    oldest_open: float


# What a handler has stored of its work, and the attempt in whose name it is stored.


#: An attempt: the key of its job, and its number.
AttemptKey: TypeAlias = tuple[int, int]


class Attempt(NamedTuple):
    """One attempt of a job by one worker: what it stores counts only while it owns the job."""

    pk: int
    number: int
    worker_name: str


class NewStep(NamedTuple):
    """A step that was done just now.

    ``result`` is its JSON as text, ``seconds`` how long it took, ``digest`` that of its arguments.
    """

    position: int
    name: str
    result: str
    seconds: float
    digest: str


class StoredStep(NamedTuple):
    """A step that is stored, with its result as every later attempt will read it.

    ``digest`` is empty where a test says what is stored (``django_jobs.testing``).
    """

    position: int
    name: str
    result: Any
    digest: str = ""


# What is told of the jobs that are queued or running.


class InFlightCount(NamedTuple):
    """How many jobs of one lane and priority are queued, and how many are queued or running."""

    lane: Lane
    priority: int
    queued: int
    total: int


class InFlightMark(NamedTuple):
    """Where a count may begin: of the jobs that were queued before ``since``, only ``pks`` were still in flight."""

    since: dt.datetime
    pks: list[int]


class InFlightJob(NamedTuple):
    """A job that is queued after so many attempts, and the lane it came from."""

    lane: Lane
    pk: int
    attempt: int


# What the claim reads of a job and its type.


class JobRow(NamedTuple):
    """A job with what its type says; ``handler_method`` is None when the type is gone.

    ``organization`` is the id that its tenant has now; None when the tenant is gone.
    """

    pk: int
    status: str
    attempt: int
    priority: int
    created_at: dt.datetime
    job_type_id: str
    organization_id: Any
    lane_key: int
    organization_name: str
    owner_id: Any
    owner_name: str
    input_parameters: Any
    metadata: Any
    timeout_seconds: int
    fileless_attempts: int
    submitted_by_id: int | None
    queued_at: dt.datetime | None
    handler_method: str | None
    is_enabled: bool | None
    is_paused: bool | None
    requires_permission: str | None
    submit_by: str | None
    pool: str | None
    #: How many failures open the breaker of its type; 0: it has none.
    breaker_failures: int | None
    #: Whether its end may let another one start, by a limit of its type; and whether a limit makes every start count:
    #: then a worker takes none before it has a slot for it.
    is_limited: bool | None
    starts_count: bool | None
    #: Until the job expires, None where it does not; negative once it has.
    seconds_left: float | None
    organization: str | None
    #: ``seconds_left`` as a moment of the monotonic clock, a little early.
    starts_before: float | None


# The values that say what a new job is made of.


class Versions(NamedTuple):
    """Of the rows of a job type and an organization, the versions that were read, as PostgreSQL names them."""

    kind_ctid: str
    kind_xmin: str
    tenant_ctid: str
    tenant_xmin: str


class TargetRows(NamedTuple):
    """The values of a job type and of an organization, by the names of their attributes, and their versions."""

    kind: dict[str, Any]
    tenant: dict[str, Any]
    versions: Versions


@dataclass(slots=True, kw_only=True)
class NewJob:
    """A job that is not stored yet, and what is stored beside its row.

    With ``versions``, it may be inserted only while these are the valid ones. ``parents`` are the keys of the jobs
    that it waits for, ``window`` the seconds in which the same work is refused, 0 for none. ``encoded`` has the JSON
    text of those columns that are encoded already, by their names. ``at_once`` is the condition under which the job is
    stored as Queued, where the store ``queues_new_jobs``. Once it is stored, ``log_id`` and ``queued`` are known; its
    instance is as it was before it was queued.
    """

    job: Job
    versions: Versions | None = None
    parents: Sequence[int] = ()
    window: int = 0
    encoded: Mapping[str, str] = field(default_factory=dict)
    at_once: Condition | None = None
    log_id: int = 0
    queued: Moved | None = None

    @property
    def submitter(self) -> Actor:
        return submitter_of(self.job)


class LostRace(Exception):
    """Somebody submitted the same work in between."""


# The values that say how a set of jobs is to move.


@dataclass(frozen=True, slots=True)
class After:
    """A moment, in seconds after the database's now; negative: before it.

    As ``ready_at``, one that is not to come is a place in the lane: the job's head start is taken off.
    """

    seconds: float = 0.0


class _Increment:
    """The column's value plus one."""


NOW: Final = After(0.0)
INCREMENT: Final = _Increment()


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One job on its way to a status.

    ``attempt`` guards: the job moves only while that attempt owns it. ``values`` are further fields of the row;
    :data:`NOW`, :class:`After` and :data:`INCREMENT` are computed by the database. ``error`` is what the
    handler raised, if that is why: it is not stored, but told.
    """

    pk: int
    to_status: str
    attempt: int | None = None
    message: str = ""
    reason: str = ""
    traceback: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be true when a set moves, else none of it does: a term of SQL, and its parameters. No SQL: always."""

    sql: str
    params: tuple[Any, ...] = ()


ALWAYS: Final = Condition("")


def all_of(*conditions: Condition) -> Condition:
    """Return the condition that each of these holds."""
    return _joined(" AND ", conditions)


def any_of(*conditions: Condition) -> Condition:
    """Return the condition that at least one of these holds."""
    return _joined(" OR ", conditions)


def _joined(word: str, conditions: Sequence[Condition]) -> Condition:
    params = tuple(itertools.chain.from_iterable([condition.params for condition in conditions]))
    return Condition(f"({word.join([condition.sql for condition in conditions])})", params)


@dataclass(frozen=True, slots=True)
class Waypoint:
    """A status that jobs pass in the same statement, and who moves them there; it is logged like any other."""

    status: str
    actor: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On which terms a set of jobs moves, and by whom it is moved.

    ``sources`` are the statuses that the jobs may come from. ``skip_locked`` skips rows that another transaction
    holds. ``only_due`` moves only jobs whose ``ready_at`` has come, ``only_own`` only jobs that run in ``worker_name``.
    ``only_if`` is asked in the same statement if the database can. ``via`` is what all of them pass, with a log row of
    its own, where the store ``passes_waypoints``.
    """

    sources: Collection[str]
    actor: Actor
    worker_name: str = ""
    skip_locked: bool = False
    only_due: bool = False
    only_own: bool = False
    only_if: Condition = ALWAYS
    via: Waypoint | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What happened to one job."""

    pk: int
    from_status: str
    to_status: str
    attempt: int
    job_type: str
    organization_name: str
    priority: int
    year: int
    message: str
    actor: Actor
    worker_name: str
    has_children: bool = False
    log_id: int = 0
    #: Of a move by way of a waypoint, where ``from_status`` is that one: its log row, and the status before it.
    via_log_id: int = 0
    via_from: str = ""
    organization_id: Any = None
    lane_key: int = 0
    queued_at: dt.datetime | None = None
    #: The key of the batch that it counts for.
    batch_id: int | None = None
    error: BaseException | None = None

    @property
    def job_id(self) -> str:
        from django_jobs.models.job import format_job_id

        return format_job_id(self.pk, self.year)


# What the walk over the backlog finds.
#
# A lane is what one organization has waiting of one job type with one priority; of a type with a concurrency key, what
# it has waiting for one of its values. The index that is kept for this has the lanes of a type beside each other, and
# the jobs of a lane, the longest ready first.


class Lane(NamedTuple):
    """Jobs of one organization, type and key that wait with one priority. Without a concurrency key it is 0."""

    organization_pk: Any
    job_type: str
    key: int = 0


class LaneMark(NamedTuple):
    """A place in a lane: a job's moment, as the database writes it, and its primary key."""

    ready_at: str
    pk: int


#: Before every job of a lane.
LANE_BEGIN: Final = LaneMark("-infinity", 0)


class LaneStep(NamedTuple):
    """A lane of the walk, whether any of its jobs is due, and whether it lies behind the organization served last.

    Where the store tells places: ``first`` is that of the lane's first job, None in a lane that was named and has no
    job; behind ``mark`` there was no job that is older than some seconds.
    """

    lane: Lane
    is_due: bool
    is_behind: bool
    first: LaneMark | None = None
    mark: LaneMark | None = None


#: In place of a type's name, which is never empty.
ALL_TYPES: Final = ""


class LaneBound(NamedTuple):
    """How many lanes of one organization and type a walk looks at, beside those that have nothing due.

    Lanes that are ``full`` are told, but count nowhere. Where an organization may start no more of a type, or with the
    type ALL_TYPES of any, it is ``passed``: only its first lane of the type is told, and that does not count either.
    """

    most: int
    full: frozenset[Lane] = frozenset()
    passed: frozenset[tuple[Any, str]] = frozenset()

    def is_passed(self, lane: Lane) -> bool:
        """Return whether the other lanes of the organization and type are hopped over."""
        return (lane.organization_pk, lane.job_type) in self.passed or (lane.organization_pk, ALL_TYPES) in self.passed

    def is_open(self, lane: Lane) -> bool:
        """Return whether a lane counts for the size of a page."""
        return lane not in self.full and not self.is_passed(lane)


#: For a walk that hops over nothing.
UNBOUNDED: Final = LaneBound(2**31)


class Walk(NamedTuple):
    """Which lanes to walk over, and where to begin: those of a priority and of these types, due or not.

    Each type is walked on its own, by organization and key. It begins behind the lane ``last``, which is for walks of
    one type; without it behind the organization ``behind``; without both at its first lane. Each lane tells whether it
    lies behind the organization ``after``. What lies behind what is the database's to say, which sorts texts and UUIDs
    in its own way. After as many lanes as ``bound`` allows an organization, its others are hopped over.

    With ``delayed``, the lanes are those of jobs that wait for their moment; a store may tell the others as well.
    """

    priority: int
    job_types: tuple[str, ...]
    after: Any = None
    last: Lane | None = None
    behind: Any = None
    bound: LaneBound = UNBOUNDED
    delayed: bool = False


class Candidate(NamedTuple):
    """A job that waits in a lane, after so many attempts. ``ready_since`` is a number, whose only use is to compare."""

    lane: Lane
    ready_since: float
    pk: int
    attempt: int = 0

    @property
    def organization_pk(self) -> Any:
        """The key of the job's organization."""
        return self.lane.organization_pk


# Sums of what happened, by span of time, type and organization: what is counted, and as what.


COUNTERS: Final = ("submitted", "started", "completed", "failed", "died", "canceled")
SUMS: Final = ("run_seconds", "wait_seconds")
HISTOGRAMS: Final = ("run_histogram", "wait_histogram")
#: By the status that a job moved to; a row without a status before is a submission.
COUNTED_AS: Final[dict[str, str]] = {
    Status.RUNNING: "started",
    Status.COMPLETED: "completed",
    **dict.fromkeys(sorted(AWAITING_RETRY), "failed"),
    Status.DEAD_LETTER: "died",
    Status.CANCELED: "canceled",
}


@dataclasses.dataclass(slots=True)
class Tally:
    """The measures of one row, being added up."""

    organization_name: str = ""
    submitted: int = 0
    started: int = 0
    completed: int = 0
    failed: int = 0
    died: int = 0
    canceled: int = 0
    run_seconds: float = 0.0
    run_histogram: dict[str, int] = dataclasses.field(default_factory=dict)
    wait_seconds: float = 0.0
    wait_histogram: dict[str, int] = dataclasses.field(default_factory=dict)
    # Of attempts that ended; no row keeps these, so that they are counted by whoever sums up.
    #: By the status that the job went to.
    attempts: Counter[str] = dataclasses.field(default_factory=Counter)
    #: Of those that were not requeued, where the job has not begun another one since.
    attempt_seconds: float = 0.0
    attempt_histogram: dict[str, int] = dataclasses.field(default_factory=dict)

    def count(self, name: str, number: int = 1) -> None:
        """Add to one of COUNTERS."""
        setattr(self, name, getattr(self, name) + number)

    def measure(self, what: str, seconds: float, key: str, number: int = 1) -> None:
        """Add a ``run``, ``wait`` or ``attempt``, or several that took so many seconds together.

        Each is counted in this class of the histogram.
        """
        setattr(self, f"{what}_seconds", getattr(self, f"{what}_seconds") + seconds)
        merge_histograms(getattr(self, f"{what}_histogram"), {key: number})

    def add_runs(self, other: Any) -> None:
        """Add only what another tally, or a row, tells of ends and run times."""
        self.completed += other.completed
        self.died += other.died
        self.run_seconds += other.run_seconds
        merge_histograms(self.run_histogram, other.run_histogram)

    def add(self, other: Any) -> None:
        """Add what another tally, or a stored row, holds."""
        for name in (*COUNTERS, *SUMS):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in HISTOGRAMS:
            merge_histograms(getattr(self, name), getattr(other, name))

    def add_all(self, other: Tally) -> None:
        """Add what another tally holds, with the attempts, which no row keeps."""
        self.add(other)
        self.attempts.update(other.attempts)
        self.attempt_seconds += other.attempt_seconds
        merge_histograms(self.attempt_histogram, other.attempt_histogram)


class TallyKey(NamedTuple):
    """What a row is about; ``organization`` is None of all together."""

    span: int
    starts_at: dt.datetime
    job_type: str
    organization: Any


def start_of(span: Span | int, moment: dt.datetime) -> dt.datetime:
    """When the span began that the moment lies in."""
    second = int(moment.timestamp())
    return dt.datetime.fromtimestamp(second - second % int(span), dt.UTC)


# Logarithmic histograms of durations, which can be added up: counts in ten classes for each power of ten.
#
# Class ``n`` counts durations of about 10^(n/10) seconds, from a millisecond up, so that a percentile read from a
# histogram is at most 13 % off. They are stored as JSON; that is why keys are texts.


CLASSES_PER_DECADE: Final = 10
#: The classes of a millisecond or less, and of four months or more.
LEAST, MOST = -30, 70


def class_of(seconds: float) -> str:
    """Return the key of the class that counts this many seconds."""
    if seconds <= 0:
        return str(LEAST)
    return str(min(MOST, max(LEAST, round(CLASSES_PER_DECADE * math.log10(seconds)))))


def merge_histograms(total: dict[str, int], other: Mapping[str, int]) -> None:
    """Add the second histogram to the first."""
    for key, count in other.items():
        total[key] = total.get(key, 0) + count


def histogram_count(histogram: Mapping[str, int]) -> int:
    """Return how many durations the histogram counts."""
    return sum(histogram.values())


def percentile(histogram: Mapping[str, int], share: float) -> float | None:
    """Return the seconds that this share (0 to 1) of durations did not exceed, by nearest rank; None if it is empty."""
    rank = max(1, math.ceil(share * histogram_count(histogram)))
    for key in sorted(histogram, key=int):
        rank -= histogram[key]
        if rank <= 0:
            return round(float(10 ** (int(key) / CLASSES_PER_DECADE)), 6)
    return None


# Head starts: how jobs of one priority, organization and type come into another order than that of their moments.
#
# The jobs of a lane go in the order of ``ready_at``. A job with a head start stands in its lane as if its moment had
# come that many hours earlier: what ``Job.head_start`` says is taken off ``ready_at`` when the job comes into the lane,
# not before. So while the job waits for a moment, ``ready_at`` is that moment; in a lane, :func:`waits_since` tells it.
#
# Of two jobs the one with the larger head start goes first, unless the other has waited longer by more than what their
# head starts differ in: nothing waits behind new jobs for ever.
#
# A lane may be walked from a mark (``engine.dispatch.backlog``). A job that a head start brings before the mark is
# found by the next whole walk, after 30 seconds at most.


#: What a head start of 1 is.
HOUR: Final = dt.timedelta(hours=1)


class _HeadStart(Func):
    """The head start of a row, as Django writes durations: in microseconds, where the database has no type for them."""

    template = "(%(expressions)s * 3600000000)"
    output_field = DurationField()

    def __init__(self) -> None:
        super().__init__(F("head_start"))

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Return SQL of an interval."""
        return self.as_sql(compiler, connection, template="(%(expressions)s * interval '1 hour')", **context)


def place_in_lane(moment: Any, head_start: int | None = None) -> Any:
    """Return ``ready_at`` of a job in a lane for the moment at which it became ready, which may be an expression.

    Without a ``head_start`` it is an expression, of the row's own.
    """
    if head_start is not None:
        return moment - head_start * HOUR
    before = Value(moment, output_field=DateTimeField()) if isinstance(moment, dt.datetime) else moment
    return ExpressionWrapper(before - _HeadStart(), output_field=DateTimeField())


def waits_since() -> Any:
    """Return an expression: since when a job waits that is ready, or the moment for which it waits."""
    in_lane = ExpressionWrapper(F("ready_at") + _HeadStart(), output_field=DateTimeField())
    return Case(When(is_delayed=True, then=F("ready_at")), default=in_lane, output_field=DateTimeField())


def waits_since_of(job: Job) -> dt.datetime | None:
    """Return the same of one row; None if it is not ready."""
    return job.ready_at if job.ready_at is None or job.is_delayed else job.ready_at + job.head_start * HOUR


# Where a statement of our own finds the id that a job's tenant has now.


class TenantColumn(NamedTuple):
    """Where a statement of our own finds the id: table, key and column, and what makes the value a text."""

    table: str
    key: str
    column: str
    read: Callable[[Any], str | None]


def tenant_column() -> TenantColumn:
    """Return it for a join on a job's ``organization_id``.

    The id may lie in a table that the tenant model inherits from.
    """
    return _column(get_organization_model(), str(jobs_settings.ORGANIZATION_ID_FIELD), primary_alias())


@functools.cache
def _column(model: Any, name: str, alias: str) -> TenantColumn:
    connection = connections[alias]
    field: Any = model._meta.pk if name == "pk" else model._meta.get_field(name)
    owner = field.model._meta
    expression = field.get_col(owner.db_table)
    # As the ORM reads a value: first what the database's driver needs, then what the field does itself.
    converters = [*connection.ops.get_db_converters(expression), *expression.get_db_converters(connection)]

    def read(value: Any) -> str | None:
        for convert in converters:
            value = convert(value, expression, connections[alias])  # this thread's
        return None if value is None else str(value)

    quote = connection.ops.quote_name
    return TenantColumn(quote(owner.db_table), quote(owner.pk.column), quote(field.column), read)
