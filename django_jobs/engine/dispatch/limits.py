"""How many more jobs may be queued now: of a type, of an organization, for a key, behind a breaker."""

from __future__ import annotations

import datetime as dt
import functools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from django.db.models import Q, Value
from django.db.models.functions import Coalesce

from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine import timing
from django_jobs.engine.dispatch import in_flight, rates
from django_jobs.engine.dispatch.in_flight import InFlight
from django_jobs.engine.dispatch.rates import NO_LIMIT, StartRates
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import Candidate, Lane
from django_jobs.models import Breaker, Job, JobType
from django_jobs.statuses import BreakerState, Status

# What of a job type decides whether its jobs may start: its pool, its limits, and whether it is open.


class TypeFlow(NamedTuple):
    """These fields of a job type; see there."""

    type_name: str
    pool: str
    is_enabled: bool
    is_paused: bool
    max_running: int | None
    max_running_per_organization: int | None
    concurrency_key: str
    max_running_per_key: int
    max_starts: int | None
    max_starts_per_key: int | None
    max_starts_window: int
    breaker_failures: int
    keyed_by: str | None

    @property
    def is_open(self) -> bool:
        """Whether its jobs may start, limits aside: not while they come into the lanes of another key."""
        return self.is_enabled and not self.is_paused and self.keyed_by == self.concurrency_key

    @property
    def has_rate(self) -> bool:
        """Whether there is a limit of how many may start in a window of time."""
        return self.max_starts is not None or self.max_starts_per_key is not None


def has_limits(kind: TypeFlow | JobType) -> bool:
    """Return whether jobs that run or started have a say in whether others may start."""
    numbers = (kind.max_running, kind.max_running_per_organization, kind.max_starts, kind.max_starts_per_key)
    return bool(kind.concurrency_key or kind.breaker_failures) or numbers != (None, None, None, None)


#: What is so of a type that has neither limits nor a pool of its own.
_PLAIN: Final = Q(
    pool=DEFAULT_POOL,
    is_enabled=True,
    is_paused=False,
    max_running__isnull=True,
    max_running_per_organization__isnull=True,
    concurrency_key="",
    max_starts__isnull=True,
    max_starts_per_key__isnull=True,
    breaker_failures=0,
    keyed_by="",
)


def flow_of(job_type: JobType) -> TypeFlow:
    """Return what is so of a type."""
    return TypeFlow(*(getattr(job_type, name) for name in TypeFlow._fields))


def read_special() -> dict[str, TypeFlow]:
    """Return the types that are not plain: all others are open, in the pool ``default``, and have no limits."""
    rows = store().fetch(*_sql(database.alias()))
    return {row[0]: TypeFlow(row[0], row[1], bool(row[2]), bool(row[3]), *row[4:]) for row in rows}


@functools.cache
def _sql(alias: str) -> tuple[str, tuple[Any, ...]]:
    """Return the statement and its parameters, made once: every pass asks this."""
    rows = JobType.primary.using(alias).exclude(_PLAIN).order_by("pk").values_list(*TypeFlow._fields)
    sql, params = rows.query.get_compiler(alias).as_sql()
    return sql, tuple(params)


# The rules of a breaker, without a database: what it counts, when it opens, and how many jobs it lets go.
#
# It is the circuit breaker of Michael Nygard's "Release It!": closed, open, and half open, which here is a recovery in
# which ever more jobs may be in flight. An attempt counts if it completed, or failed with a transient error or by its
# timeout. All others, such as permanent errors, cancels and lost workers, say nothing of a provider.


#: How many jobs may be in flight when it begins to recover; doubled with each second.
FIRST_AT_ONCE: Final = 2
#: So many failures in a row open a recovering breaker again; fewer, if that many would open a closed one.
RELAPSE_FAILURES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """How an attempt of an organization failed, and when it began."""

    organization_pk: Any
    fingerprint: str
    text: str
    began: dt.datetime | None


def breaker_state(row: Breaker, now: dt.datetime) -> BreakerState:
    """Return the state at this moment: a recovery ends by itself, before anybody writes that down."""
    if row.state == BreakerState.RECOVERING and _recovered_for(row, now) >= timing.BREAKER_RECOVERY_SECONDS:
        return BreakerState.CLOSED
    return BreakerState(row.state)


def holds_jobs(row: Breaker, organization_pk: Any) -> bool:
    """Return whether the breaker is this organization's as well: while it is not closed it may be that of one alone."""
    return row.organization_id is None or row.organization_id == organization_pk


def close(row: Breaker) -> None:
    """Close the breaker. What it counted stays, since attempts in a row may go on to fail."""
    row.state = BreakerState.CLOSED
    row.opened_at = row.next_try_at = row.tries_since = row.recovering_since = None
    row.others_failures = 0


def reset_breaker(row: Breaker) -> None:
    """Close the breaker, and have it count anew."""
    close(row)
    row.failures, row.fingerprint, row.error_message, row.organization_id = 0, "", "", None


def count_failure(row: Breaker, failure: FailedAttempt, now: dt.datetime) -> bool:
    """Count an attempt that failed. Return whether it costs its job a retry.

    It costs none while the breaker is open. Nor does it while it recovers, if the error is the one that opened it, or
    if the attempt began when it was open: then it does not even count. Where the breaker holds one organization, an
    attempt of another costs a retry. As many of those in a row with one error as open a breaker make it hold all.
    """
    state, is_same = breaker_state(row, now), row.fingerprint == failure.fingerprint
    enough = row.job_type.breaker_failures
    if state != BreakerState.CLOSED and not holds_jobs(row, failure.organization_pk):
        row.others_failures = row.others_failures + 1 if row.others_fingerprint == failure.fingerprint else 1
        row.others_fingerprint = failure.fingerprint
        if row.others_failures >= enough:
            row.failures, row.organization_id = row.others_failures, None
            row.fingerprint, row.error_message = failure.fingerprint, failure.text
            _open(row, now)
        return True
    if state == BreakerState.RECOVERING and _began_by(failure.began, row.recovering_since):
        return False
    whose = row.relapse_organization_id if row.state == BreakerState.RECOVERING else row.organization_id
    is_first = not row.failures or (state == BreakerState.CLOSED and not is_same)
    whose = failure.organization_pk if is_first or whose == failure.organization_pk else None
    if state == BreakerState.CLOSED:
        close(row)
        row.organization_id = whose
    elif state == BreakerState.RECOVERING:
        row.relapse_organization_id = whose
    row.failures = row.failures + 1 if is_same or state != BreakerState.CLOSED else 1
    row.fingerprint, row.error_message = failure.fingerprint, failure.text
    most = min(enough, RELAPSE_FAILURES) if state == BreakerState.RECOVERING else enough
    if state != BreakerState.OPEN and row.failures >= most:
        row.organization_id = whose
        _open(row, now)
    return state == BreakerState.CLOSED or (state == BreakerState.RECOVERING and not is_same)


def _open(row: Breaker, now: dt.datetime) -> None:
    row.state, row.opened_at, row.tries_since, row.recovering_since = BreakerState.OPEN, now, None, None
    row.next_try_at, row.others_failures = now + dt.timedelta(seconds=row.job_type.breaker_pause), 0


def count_completion(row: Breaker, organization_pk: Any, began: dt.datetime | None, now: dt.datetime) -> None:
    """Count an attempt that completed. One that began before the breaker opened says nothing of the time after.

    Where the breaker holds one organization, an attempt of another only says that not all fail.
    """
    state = breaker_state(row, now)
    if state != BreakerState.CLOSED and not holds_jobs(row, organization_pk):
        row.others_failures = 0
        return
    if state == BreakerState.OPEN:
        if _began_by(began, row.opened_at):
            return
        row.state, row.recovering_since, row.next_try_at, row.tries_since = BreakerState.RECOVERING, now, None, None
    elif state == BreakerState.CLOSED:
        close(row)
    row.failures = 0


def is_time_to_try(row: Breaker, pause: int, now: dt.datetime) -> bool:
    """Return whether an open breaker may let a job go. The pause may have been cut."""
    at = row.next_try_at
    return at is None or at <= now or at > now + dt.timedelta(seconds=pause)


def most_at_once(row: Breaker, now: dt.datetime) -> int:
    """Return how many jobs may be queued or running while the breaker recovers: twice as many with each second."""
    return FIRST_AT_ONCE << int(_recovered_for(row, now))


def seconds_to_change(row: Breaker, now: dt.datetime) -> float:
    """Return after how many seconds the breaker lets more jobs go, if nothing else happens; 0 if it does so now."""
    if row.state == BreakerState.RECOVERING:
        return 1.0 - _recovered_for(row, now) % 1.0
    return max(0.0, (row.next_try_at - now).total_seconds()) if row.next_try_at is not None else 0.0


def _recovered_for(row: Breaker, now: dt.datetime) -> float:
    """Return for how many seconds it has recovered."""
    since = row.recovering_since
    return timing.BREAKER_RECOVERY_SECONDS if since is None else max(0.0, (now - since).total_seconds())


def _began_by(began: dt.datetime | None, moment: dt.datetime | None) -> bool:
    return began is not None and moment is not None and began <= moment


# How many jobs of the types whose breakers are not closed may be queued; for the dispatcher, under its lock.
#
# Whether a pool, the window or a limit lets such a job go is not decided here.


def may_hold(kind: JobType) -> bool:
    """Return whether jobs of the type may be held. Then a new one must not be queued without the dispatcher."""
    return kind.breaker_failures > 0


NEVER: Final = dt.datetime.min.replace(tzinfo=dt.UTC)


@dataclass(slots=True)
class OpenBreakers:
    """The breakers that were not closed at a moment of the database, by job type. Without any, no clock is read."""

    now: dt.datetime = NEVER
    rows: Mapping[str, Breaker] = field(default_factory=dict)

    def more_allowed(self, in_flight: Mapping[tuple[Any, str], int]) -> dict[tuple[Any, str], int]:
        """Return how many more jobs may be queued now, by organization and type; what is not named has no bound.

        Where all organizations are held, None stands for them. ``in_flight`` is how many jobs are queued or running.
        While a breaker is open, what was let go before it opened may still run, and a try may hang. So a try goes
        whenever it is time, unless an earlier one waits for a worker still.
        """
        held = {(row.organization_id, pk): row for pk, row in self.rows.items()}
        return {key: self._more(row, in_flight.get(key, 0)) for key, row in held.items()}

    def may_try(self, job_type: str, organization_pk: Any) -> bool:
        """Return whether a job of this type and organization tries, if it goes while the breaker is open."""
        return job_type in self.rows and holds_jobs(self.rows[job_type], organization_pk)

    def _more(self, row: Breaker, in_flight: int) -> int:
        if not _is_open_to_jobs(row.job_type):
            return 0
        if row.state == BreakerState.RECOVERING:
            return max(0, most_at_once(row, self.now) - in_flight)
        return int(is_time_to_try(row, row.job_type.breaker_pause, self.now) and not _is_try_queued(row))

    def next_change(self) -> float | None:
        """Return after how many seconds more jobs may go than now, if nothing else happens; None if no more ever do."""
        rows = [row for row in self.rows.values() if _is_open_to_jobs(row.job_type)]
        changes = [seconds_to_change(row, self.now) for row in rows]
        return min([seconds for seconds in changes if seconds > 0], default=None)

    def note_tries(self, picked: Mapping[str, int]) -> None:
        """Write when the next job may try, of each open breaker of whose type one or more were picked to be queued."""
        for pk in sorted(pk for pk, count in picked.items() if count and pk in self.rows):
            row = self.rows[pk]
            if row.state == BreakerState.OPEN:
                row.next_try_at = self.now + dt.timedelta(seconds=row.job_type.breaker_pause)
                since = row.tries_since = row.tries_since or self.now
                open_rows = Breaker.primary.filter(pk=pk, state=BreakerState.OPEN, opened_at=row.opened_at)
                open_rows.update(next_try_at=row.next_try_at, tries_since=Coalesce("tries_since", Value(since)))


def read_held(*, closes: bool = True) -> OpenBreakers:
    """Return the breakers that are not closed. Close those that have recovered, or were switched off.

    Without ``closes`` nothing is written: for somebody who only wants to know.
    """
    rows = list(Breaker.primary.exclude(state=BreakerState.CLOSED).select_related("job_type").order_by("pk"))
    if not rows:
        return OpenBreakers()
    now = database.now()
    over = {row.pk for row in rows if not is_holding(row, now)}
    if over and closes:
        _close(over, now)
    return OpenBreakers(now, {row.pk: row for row in rows if row.pk not in over})


def is_holding(row: Breaker, now: dt.datetime) -> bool:
    """Return whether jobs of the type wait for this breaker."""
    return may_hold(row.job_type) and breaker_state(row, now) != BreakerState.CLOSED


def _close(pks: set[str], now: dt.datetime) -> None:
    """Close these, unless they were opened again meanwhile."""
    since = now - dt.timedelta(seconds=timing.BREAKER_RECOVERY_SECONDS)
    has_recovered = Q(state=BreakerState.RECOVERING, recovering_since__lte=since)
    is_over = has_recovered | Q(job_type__in=JobType.primary.filter(breaker_failures=0))
    values = dict.fromkeys(("opened_at", "next_try_at", "tries_since", "recovering_since", "organization"))
    rows = Breaker.primary.filter(is_over, pk__in=pks)
    rows.update(state=BreakerState.CLOSED, failures=0, others_failures=0, **values)


def _is_open_to_jobs(kind: JobType) -> bool:
    return kind.is_enabled and not kind.is_paused


def _is_try_queued(row: Breaker) -> bool:
    if row.tries_since is None:
        return False
    rows = Job.primary.filter(status=Status.QUEUED, job_type_id=row.pk, queued_at__gte=row.tries_since)
    return (rows if row.organization_id is None else rows.filter(organization_id=row.organization_id)).exists()


# How many more jobs may be queued now: of a type, of an organization, for a key.
#
# What is queued counts as running, since it may run at any moment. Jobs of types with limits become Queued under the
# dispatcher's lock alone. So the limits hold exactly, however many workers there are. Rates of starts are counted by
# :mod:`.rates`.


NOTHING: Final[Mapping[Lane, int]] = MappingProxyType({})


class QueueLimits:
    """What one pass of the dispatcher may queue of each lane."""

    def __init__(
        self,
        kinds: Mapping[str, TypeFlow],
        in_flight: Mapping[Lane, int] = NOTHING,
        rates: StartRates | None = None,
        held: OpenBreakers | None = None,
    ) -> None:
        """Make one for the types that are not plain, with how many jobs of each lane are in flight.

        ``rates`` are those of starts, and ``held`` the breakers that are not closed.
        """
        self._kinds = kinds
        #: By organization and type, where None stands for all organizations; and by lane.
        self._in_flight: Counter[tuple[Any, str]] = Counter()
        self._of_key: Counter[Lane] = Counter()
        for lane, count in in_flight.items():
            if lane.job_type in kinds:
                self._count(lane, count)
        self.rates, self._held = rates or StartRates({}, 0), held or OpenBreakers()
        self._allowed = self._held.more_allowed(self._in_flight)

    def is_open(self, job_type: str) -> bool:
        """Return whether any job of a type may be queued."""
        kind = self._kinds.get(job_type)
        if kind is None:
            return True
        return kind.is_open and self.left_of_type(job_type) > 0

    def left_of_type(self, job_type: str) -> int:
        """Return how many more jobs of a type may be queued, whoever's they are."""
        kind = self._kinds.get(job_type)
        if kind is None:
            return NO_LIMIT
        return min(self._left_of(None, job_type, kind.max_running), self.rates.left_of_type(job_type))

    def left_of_organization(self, job_type: str, organization_pk: Any) -> int:
        """Return how many more jobs of a type an organization may have queued, by the limit of each organization."""
        kind = self._kinds.get(job_type)
        if kind is None:
            return NO_LIMIT
        return max(0, self._left_of(organization_pk, job_type, kind.max_running_per_organization))

    def is_at_ease(self, job_type: str) -> bool:
        """Return whether a type has neither a rate of starts nor a breaker that is not closed."""
        kind = self._kinds.get(job_type)
        return kind is None or not (kind.has_rate or job_type in self._held.rows)

    def left(self, lane: Lane) -> int:
        """Return how many more jobs of a lane may be queued."""
        kind = self._kinds.get(lane.job_type)
        if kind is None:
            return NO_LIMIT
        if not kind.is_open:
            return 0
        left = min(
            self._left_of(None, lane.job_type, kind.max_running),
            self._left_of(lane.organization_pk, lane.job_type, kind.max_running_per_organization),
        )
        if kind.concurrency_key:
            left = min(left, kind.max_running_per_key - self._of_key[lane])
        if left > 0 and kind.has_rate:
            left = min(left, self.rates.left(lane))
        return max(0, left)

    def take(self, item: Candidate) -> None:
        """Count one more job, which is about to be queued."""
        kind = self._kinds.get(item.lane.job_type)
        if kind is not None and has_limits(kind):
            self._count(item.lane)
            for organization_pk in (None, item.organization_pk):
                if (organization_pk, item.lane.job_type) in self._allowed:
                    self._allowed[organization_pk, item.lane.job_type] -= 1
            self.rates.take(item)

    def note_moved(self, picked: Iterable[Candidate], moved: Collection[int]) -> None:
        """Take back the starts of what was picked and did not move, whose row was in use; note what goes to try.

        What else was counted of it ends with the pass.
        """
        tries: Counter[str] = Counter()
        for item in picked:
            lane = item.lane
            if item.pk in moved:
                tries[lane.job_type] += self._held.may_try(lane.job_type, lane.organization_pk)
            elif lane.job_type in self._kinds:
                self.rates.put_back(item)
        self._held.note_tries(tries)

    def next_at(self) -> float | None:
        """Return when more may go though nothing else happens, in seconds since the epoch; None if nothing waits so."""
        seconds = self._held.next_change()
        moments = [self.rates.next_at(), None if seconds is None else self._held.now.timestamp() + seconds]
        return min((moment for moment in moments if moment is not None), default=None)

    def _count(self, lane: Lane, count: int = 1) -> None:
        self._in_flight[None, lane.job_type] += count
        self._in_flight[lane.organization_pk, lane.job_type] += count
        self._of_key[lane] += count

    def full(self) -> frozenset[Lane]:
        """Return the lanes whose keys are at their limits."""
        keyed = {name: kind.max_running_per_key for name, kind in self._kinds.items() if kind.concurrency_key}
        return frozenset(
            lane for lane, count in self._of_key.items() if lane.job_type in keyed and count >= keyed[lane.job_type]
        )

    def passed(self) -> frozenset[tuple[Any, str]]:
        """Return the organizations and types of which no more jobs may be queued."""
        counted = {*self._allowed, *self._in_flight}
        return frozenset(
            (pk, name) for pk, name in counted if pk is not None and self.left_of_organization(name, pk) <= 0
        )

    def _left_of(self, organization_pk: Any, job_type: str, limit: int | None) -> int:
        """Return how many more may go of an organization, or of all for None, by a limit and the breaker."""
        key = organization_pk, job_type
        left = NO_LIMIT if limit is None else limit - self._in_flight[key]
        return min(left, self._allowed.get(key, NO_LIMIT))


def limits_of(types: Iterable[JobType]) -> QueueLimits:
    """Return what the limits of these types leave at this moment, for somebody who only wants to know."""
    kinds = {kind.pk: flow_of(kind) for kind in types}
    if not any(map(has_limits, kinds.values())):
        return QueueLimits(kinds)
    lease = in_flight.look_at_lock()
    counts = in_flight.count_in_flight(has_lock=False)
    return read_limits(kinds, counts, {} if lease is None else lease.state, has_lock=False)


def read_limits(
    kinds: Mapping[str, TypeFlow], counts: InFlight, written: Mapping[str, Any], *, has_lock: bool = True
) -> QueueLimits:
    """Return what limits leave by what is in flight, and by the state of the dispatcher's row."""
    of_starts = {
        name: rates.StartLimit(
            kind.max_starts, kind.max_starts_per_key if kind.concurrency_key else None, max(1, kind.max_starts_window)
        )
        for name, kind in kinds.items()
        if kind.has_rate
    }
    start_rates = None
    if of_starts:
        queued = in_flight.queued_of(of_starts) if has_lock else store().queued_jobs(of_starts)
        now = database.now().timestamp()  # no earlier than what is queued was read
        start_rates = rates.read_rates(
            written.get(in_flight.KEPT_RATES), of_starts, queued, now, rates.started_at, rates.recent
        )
    has_breaker = any(kind.breaker_failures for kind in kinds.values())
    return QueueLimits(kinds, counts.by_lane, start_rates, read_held(closes=has_lock) if has_breaker else None)
