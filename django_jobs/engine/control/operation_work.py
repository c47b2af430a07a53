"""Working off operations, batch by batch in turns, and counting what became of their jobs.

Each job has the mark of the operation that acted on it last. Who retries it by hand afterwards takes the mark away, and
so does a later operation: then the outcome of the earlier one says "at least". Once all its jobs have ended, the counts
stand, however long the jobs themselves are kept.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db import Error, IntegrityError
from django.db.models import Count, F, Q, QuerySet

from django_jobs.engine import timing
from django_jobs.engine.control.acts import JOB_ACTS, ActRights, Performed, Refusal, members, order_of, perform
from django_jobs.engine.control.operations import State, is_by_system
from django_jobs.engine.insight.filter import JobFilter
from django_jobs.engine.store import database
from django_jobs.engine.store.database import fresh_reads
from django_jobs.exceptions import InvalidFilter
from django_jobs.models import Job, Operation
from django_jobs.models.job import format_job_id
from django_jobs.models.operation import OPEN
from django_jobs.statuses import TERMINAL, UNSUCCESSFUL, WITH_ERRORS, Status
from django_jobs.texts import say

Reason: Final = Operation.Reason
#: After a count, the operation is not counted for so many times the time that it took.
COUNT_REST_FACTOR: Final = 20.0
#: Operations that are counted in one round.
AT_ONCE: Final = 5
#: A share of failures is judged when so many jobs have come to an end.
LEAST_JUDGED: Final = 10
#: Where a share is watched, so many jobs are under way at most, and as many more as have completed.
UNDER_WAY: Final = 50


class _Reading(NamedTuple):
    """An outcome, when it was read, and how many jobs the operation had changed before."""

    outcome: dict[str, int]
    at: float
    changed: int


class OutcomeCounts:
    """Counts outcomes for one scheduler, which remembers what it read a moment ago, and which counts take long."""

    def __init__(self) -> None:
        self._rests_until: dict[int, float] = {}
        self._readings: dict[int, _Reading] = {}

    def count_due(self) -> int:
        """Count the outcomes that were not counted for a while, and return how many it was."""
        self._forget()
        due = Operation.primary.filter(is_settled=False).filter(_is_due(database.now()))
        due = due.exclude(pk__in=list(self._rests_until)).order_by("counted_at", "pk")
        operations = list(due[:AT_ONCE])
        for operation in operations:
            started = time.monotonic()
            try:
                count_outcomes(operation)
            finally:  # also one whose count fails must not keep the others uncounted
                now = time.monotonic()
                self._rests_until[operation.pk] = now + COUNT_REST_FACTOR * (now - started)
        return len(operations)

    def allowed(self, operation: Operation) -> int:
        """Return how many more jobs may be taken up now, as far as failures are watched; pause or stop it if they say
        so.

        A large number where nothing is watched.
        """
        if operation.tries_one_first and not operation.is_tried:
            return _allowed_by_first(operation)
        if operation.stop_above is None:
            return operation.last_id + 1
        reading = self._read(operation)
        since = operation.changed - reading.changed
        return _allowed_by_outcome(operation, operation.stop_above, reading.outcome, since)

    def _read(self, operation: Operation) -> _Reading:
        reading = self._readings.get(operation.pk)
        if reading is None or time.monotonic() - reading.at >= timing.OPERATION_COUNT_FRESH_SECONDS:
            outcome = read(operation.pk)
            reading = self._readings[operation.pk] = _Reading(outcome, time.monotonic(), operation.changed)
        return reading

    def _forget(self) -> None:
        now = time.monotonic()
        self._rests_until = {pk: until for pk, until in self._rests_until.items() if until > now}
        self._readings = {
            pk: item for pk, item in self._readings.items() if now - item.at < timing.OPERATION_COUNT_FRESH_SECONDS
        }


def _is_due(now: dt.datetime) -> Q:
    def older(seconds: int) -> Q:
        return Q(counted_at__isnull=True) | Q(counted_at__lt=now - dt.timedelta(seconds=seconds))

    ended = Q(ended_at__isnull=False)
    recent = Q(ended_at__gte=now - timing.OLD_OPERATION)
    just_ended = Q(counted_at__lt=F("ended_at"))
    idle = Q(state=State.PAUSED, released_until__lt=now - timing.OLD_OPERATION)
    return (
        (~ended & ~idle & older(timing.OPEN_OPERATION_COUNT_SECONDS))
        | (recent & (just_ended | older(timing.ENDED_OPERATION_COUNT_SECONDS)))
        | older(timing.OLD_OPERATION_COUNT_SECONDS)
    )


def count_outcomes(operation: Operation) -> None:
    """Count what became of the operation's jobs, and note it. A paused or running operation does not settle."""
    outcome = read(operation.pk) if JOB_ACTS[operation.action].is_followed else {}
    now = database.now()
    unfinished = sum(count for status, count in outcome.items() if status not in TERMINAL)
    is_settled = operation.ended_at is not None and not unfinished
    operation.outcome, operation.counted_at, operation.is_settled = outcome, now, is_settled
    Operation.primary.filter(pk=operation.pk).update(outcome=outcome, counted_at=now, is_settled=is_settled)


def read(pk: int) -> dict[str, int]:
    """Return how many of the operation's jobs are in each status now."""
    rows = Job.primary.filter(operation_id=pk).order_by().values("status").annotate(count=Count("pk"))
    return {row["status"]: row["count"] for row in rows}


def _allowed_by_outcome(operation: Operation, share: float, outcome: dict[str, int], since: int) -> int:
    """Return how many more may be taken up, where ``since`` were after the count; stop it if a larger share failed."""
    completed = outcome.get(Status.COMPLETED, 0)
    failed = sum(outcome.get(status, 0) for status in WITH_ERRORS)
    judged = completed + failed
    if judged >= LEAST_JUDGED and failed / judged > share:
        note = f"{failed} / {judged}"
        _write(operation.pk, state=State.STOPPED, ended_at=database.now(), reason=Reason.TOO_MANY_FAILED, note=note)
        return 0
    under_way = sum(outcome.values()) + since - judged - outcome.get(Status.CANCELED, 0)
    return max(0, UNDER_WAY + completed - under_way)


def _allowed_by_first(operation: Operation) -> int:
    """Return 1 while none was tried, and none until that has completed; pause the operation if it does not."""
    if operation.first_job_id is None:
        return 1
    job = Job.primary.filter(pk=operation.first_job_id).only("status", "created_at", "error_message").first()
    if job is not None and job.status == Status.COMPLETED:
        _write(operation.pk, is_tried=True, released_until=database.now())
        operation.is_tried = True
        return 0  # the next turn reads it anew
    if job is None or job.status in UNSUCCESSFUL | WITH_ERRORS:
        name = "" if job is None else format_job_id(job.pk, job.created_at.year)
        note = name if job is None else f"{name}: {job.status}. {job.error_message}"
        _write(operation.pk, state=State.PAUSED, reason=Reason.FIRST_FAILED, note=note[:255])
    return 0


def _write(pk: int, **values: Any) -> None:
    """Write this into the operation's row, unless somebody has paused or stopped it."""
    Operation.primary.filter(pk=pk, state=State.RUNNING).update(**values)


# One turn of an operation: the next batch of its jobs.
#
# A batch and the note of how far the operation came are one transaction, so that no job is counted twice or left out.
# The access policy is asked before that, so that nobody who pauses or stops an operation waits for a slow policy. Rows
# of jobs that somebody holds are tried again with the next batches, each for timing.OPERATION_HELD_ROW_SECONDS. With
# another leader, or after a pause, that time begins anew: while nobody tried, it did not pass.


#: Jobs that one operation changes at most before the next operation gets its turn.
BATCH: Final = 1_000
#: Where no index finds the jobs, so many keys are looked through at once.
STRETCH: Final = 100_000
#: Where no index finds the jobs, they are counted exactly only if no more keys than these are left.
COUNTED: Final = 1_000_000


class _Walked(NamedTuple):
    """Jobs that the walk came to, how far it has come with them, and whether that was all."""

    jobs: list[Job]
    position: int
    is_last: bool


def _take_turn(pk: int, counts: OutcomeCounts, *, minds_rate: bool, is_first: bool) -> int:
    """Do the next batch of an operation, and return how many jobs it came by; 0 if it could do nothing now.

    ``is_first`` tells that it had none for a time.
    """
    operation = Operation.primary.filter(pk=pk, state=State.RUNNING).select_related("user").first()
    if operation is None:
        return 0
    user = None if is_by_system(operation) else operation.user
    if not is_by_system(operation) and (user is None or not user.is_active):
        _write(pk, state=State.STOPPED, ended_at=database.now(), reason=Reason.USER_GONE)
        return 0
    if not minds_rate:
        operation.per_minute = None
    due = _due(operation, database.now())
    if due:
        due = min(due, counts.allowed(operation))
    return _do_batch(operation, user, due, is_first=is_first) if due else 0


def _do_batch(operation: Operation, user: Any, due: int, *, is_first: bool) -> int:
    filters = JobFilter.from_json(operation.filters)
    if filters.is_empty:  # it would mean all jobs
        raise InvalidFilter({"filters": [say("Nothing is asked for.", code="required")]})
    rows = members(filters.queryset(user), operation.action, operation.value, operation.last_id)
    if operation.has_more and (not filters.is_walked or operation.last_id - operation.position <= COUNTED):
        _count(operation, rows)
    rights = ActRights(operation.action, user)
    tried = sorted(map(int, operation.held))[:due]
    again = rights.read(rows.filter(pk__in=tried)) if tried else []
    walked = _walk(operation, rows, rights, due - len(again), is_walked=filters.is_walked)
    permitted = [job.pk for job in [*walked.jobs, *again] if rights.may(job)]
    refused: Counter[str] = Counter(
        {
            Refusal.NOT_PERMITTED: len(walked.jobs) + len(again) - len(permitted),
            Refusal.CHANGED: len(tried) - len(again),
        }
    )
    # Jobs that are missing at the end have changed, unless whoever started it sees none of them any more.
    is_blind = walked.is_last and user is not None and filters.organizations_for(user) == []
    missing = Refusal.NOT_PERMITTED if is_blind else Refusal.CHANGED
    batch = _OperationBatch(operation, rows, walked, tried, permitted, refused, missing, is_first)
    return database.in_transaction(batch.write)


def _walk(operation: Operation, rows: QuerySet[Job], rights: ActRights, most: int, *, is_walked: bool) -> _Walked:
    """Return the next jobs; where no index finds them (``is_walked``), only those of the next STRETCH of keys."""
    if most < 1:
        return _Walked([], operation.position, is_last=False)
    ahead = rows.filter(pk__gt=operation.position).order_by("pk")
    end = operation.last_id
    if is_walked:
        keys = Job.primary.filter(pk__gt=operation.position, pk__lte=end).order_by("pk").values_list("pk", flat=True)
        end = min(end, keys.first() or end) + STRETCH - 1
        ahead = ahead.filter(pk__lte=end)
    jobs = rights.read(ahead[:most])
    if len(jobs) == most:
        return _Walked(jobs, jobs[-1].pk, is_last=False)
    is_last = end >= operation.last_id
    return _Walked(jobs, jobs[-1].pk if jobs and is_last else operation.position if is_last else end, is_last)


@dataclass(slots=True)
class _OperationBatch:
    """Jobs to act on in one transaction: ``permitted``, of those walked to and those tried again.

    ``refused`` tells of the others, and ``missing`` why the walk may not have come to jobs that were counted.
    """

    operation: Operation
    rows: QuerySet[Job]
    walked: _Walked
    tried: list[int]
    permitted: list[int]
    refused: Counter[str]
    missing: str
    is_first: bool

    def write(self) -> int:
        """Do it and note it; return how many jobs it came by.

        Nothing is done if somebody paused the operation or did the batch meanwhile. It may run more than once.
        """
        rows = Operation.primary.filter(pk=self.operation.pk, state=State.RUNNING, position=self.operation.position)
        operation = database.locked(rows, skip=True).first()
        if operation is None or operation.held != self.operation.held:
            return 0
        now = database.now()
        fitting, busy = self._hold()
        done = perform(order_of(operation), fitting)
        kept = still_held({} if self.is_first else operation.held, busy, now)
        refused = self.refused + Counter(done.refused.values())
        refused[Refusal.CHANGED] += len(self.permitted) - len(fitting) - len(kept)
        left = {pk: until for pk, until in operation.held.items() if int(pk) not in self.tried} | kept
        values = self._progress(operation, done, refused, now) | {"held": left}
        if self.walked.is_last and not left:
            values |= _ending(operation, values, now, self.missing)
        Operation.primary.filter(pk=operation.pk).update(**values)
        has_moved = not self.walked.is_last and self.walked.position > operation.position
        return len(self.walked.jobs) or len(done.changed) or int(has_moved)

    def _hold(self) -> tuple[list[int], list[int]]:
        """Lock the jobs; return those that still match, and those that somebody else holds."""
        rows = Job.primary.filter(pk__in=self.permitted)
        mine = list(database.locked(rows, skip=True).values_list("pk", flat=True))
        # A second look, under the locks: whoever changed them since the first one has committed by now.
        fitting = set(self.rows.filter(pk__in=mine).values_list("pk", flat=True))
        missing = set(self.permitted).difference(mine)
        busy = list(rows.filter(pk__in=missing).values_list("pk", flat=True)) if missing else []
        return [pk for pk in mine if pk in fitting], busy

    def _progress(
        self, operation: Operation, done: Performed, refused_now: Counter[str], now: dt.datetime
    ) -> dict[str, Any]:
        is_first = operation.tries_one_first and done.changed and not operation.first_job_id
        changed, refused = operation.changed + len(done.changed), _known(Counter(operation.refused) + refused_now)
        return {
            "position": self.walked.position,
            "changed": changed,
            "asked": operation.asked + len(done.asked),
            "refused": refused,
            "total": max(operation.total, changed + sum(refused.values())) if operation.has_more else operation.total,
            # Only the jobs that changed count against the rate.
            "released_until": _released(operation, len(done.changed), now),
            **({"first_job_id": min(done.changed)} if is_first else {}),
        }


def _known(refused: Counter[str]) -> dict[str, int]:
    return {str(reason): count for reason, count in refused.items() if count > 0}


def still_held(held: Mapping[str, float], busy: Iterable[int], now: dt.datetime) -> dict[str, float]:
    """Return which of these held jobs are tried again: not those held for OPERATION_HELD_ROW_SECONDS."""
    moment = now.timestamp()
    ends = {str(pk): held.get(str(pk), moment + timing.OPERATION_HELD_ROW_SECONDS) for pk in busy}
    return {pk: until for pk, until in ends.items() if moment < until}


def _due(operation: Operation, now: dt.datetime) -> int:
    """Return how many jobs the rate allows now, and one where one is tried first."""
    if operation.tries_one_first and not operation.is_tried:
        return 1 if operation.first_job_id is None else BATCH
    if operation.per_minute is None:
        return BATCH
    seconds = (now - operation.released_until).total_seconds()
    return max(0, min(_most(operation.per_minute), int(seconds * operation.per_minute / 60 + 1e-6)))


def _most(per_minute: int) -> int:
    """Return how many jobs a turn may change."""
    return min(BATCH, max(1, int(per_minute * timing.OPERATION_CATCH_UP_SECONDS / 60)))


def _released(operation: Operation, changed: int, now: dt.datetime) -> dt.datetime:
    if operation.per_minute is None:
        return now
    oldest = now - dt.timedelta(minutes=_most(operation.per_minute) / operation.per_minute)
    return max(operation.released_until, oldest) + dt.timedelta(minutes=changed / operation.per_minute)


def _count(operation: Operation, rows: QuerySet[Job]) -> None:
    """Count exactly how many jobs it is about, where only the bound is known."""
    left = rows.filter(pk__gt=operation.position).count() + len(operation.held)
    operation.total = operation.changed + operation.refusals + left
    operation.has_more = False
    Operation.primary.filter(pk=operation.pk).update(total=operation.total, has_more=False)


def _ending(operation: Operation, values: dict[str, Any], now: dt.datetime, missing: str) -> dict[str, Any]:
    """Return what is noted at the end: also the jobs that did not match any more, for the reason ``missing``."""
    refused = Counter(values["refused"])
    counted = values["changed"] + refused.total()
    if operation.has_more:  # it was never counted how many they are
        return {"state": State.DONE, "ended_at": now, "total": counted, "has_more": False}
    if operation.total > counted:
        refused[missing] += operation.total - counted
    return {"state": State.DONE, "ended_at": now, "refused": _known(refused)}


# Working off operations: batch by batch, each operation in turn.
#
# Those that had no turn for longest come first. Who can do nothing now (waits for the job that is tried first, or for
# its rate) takes no turn from the others, and neither does who fails.
#
# A scheduler that runs in a loop has a thread and a connection for this, because a host's policy may be slow, and
# because an operation is to be fast, however long a tick takes. It rests a little after each round.


logger = logging.getLogger("django_jobs")

DUTY: Final = "operate"
#: Operations that are asked in one round whether they can do something.
ASKED: Final = 50
#: An operation is paused when the database has refused its statements so many times in a row.
FAILURES: Final = 3
#: Of the time, the thread rests so many parts for each part of work: others use the database, too.
REST_FACTOR: Final = 0.25


class OperationWork:
    """Works off operations for one scheduler."""

    def __init__(self, *, minds_rates: bool = True) -> None:
        self._minds_rates = minds_rates
        #: When each had its last turn.
        self._turned: dict[int, float] = {}
        #: How many turns of each failed in a row.
        self._failures: Counter[int] = Counter()
        self._counts = OutcomeCounts()
        self._is_uncounted = False

    def step(self) -> tuple[int, float]:
        """Do one round; return how many jobs changed, and for how many seconds to rest."""
        started = time.monotonic()
        changed = self.do_round()
        return changed, REST_FACTOR * (time.monotonic() - started) if changed else timing.LEADERSHIP_LOOK_SECONDS

    def do_round(self) -> int:
        """Work off the next batch of each open operation, within its rate; return how many jobs it came by."""
        unsettled = Operation.primary.filter(is_settled=False)
        if not unsettled.exists():
            return 0
        if self._is_uncounted:  # the round before was cut short, and this one may be as well
            self._count()
        self._is_uncounted = True
        count = self._take_turns(unsettled)
        self._count()
        return count

    def _count(self) -> None:
        self._counts.count_due()
        self._is_uncounted = False

    def _take_turns(self, unsettled: QuerySet[Operation]) -> int:
        """Let AT_ONCE of the running operations do something, those first that had no turn for longest."""
        rows = unsettled.filter(state__in=sorted(OPEN)).order_by("released_until", "pk")
        states = dict(rows.values_list("pk", "state"))
        running = [pk for pk, state in states.items() if state == State.RUNNING]
        for notes in (self._turned, self._failures):
            for pk in notes.keys() - set(running):
                del notes[pk]
        running.sort(key=lambda pk: self._turned.get(pk, 0.0))
        total = acted = 0
        for pk in running[:ASKED]:
            is_first = pk not in self._turned
            self._turned[pk] = time.monotonic()
            changed = self._take_turn(pk, is_first=is_first)
            total += changed
            acted += changed > 0 or pk in self._failures
            if acted == AT_ONCE:
                break
        return total

    def _take_turn(self, pk: int, *, is_first: bool) -> int:
        try:
            with fresh_reads():
                changed = _take_turn(pk, self._counts, minds_rate=self._minds_rates, is_first=is_first)
        except Exception as error:
            if database.is_lost_race(error):
                return 0  # its next turn tries again
            if database.is_lost_connection(error) and not database.was_too_slow(error):
                raise  # no other operation could go on with this line to the database
            self._note_failure(pk, error)
            return 0
        self._failures.pop(pk, None)
        return changed

    def _note_failure(self, pk: int, error: Exception) -> None:
        """Log it, and pause the operation: at once, or where only the database refused, after some failures."""
        logger.warning("event=operation_failed operation=%s error=%r", pk, error, exc_info=error)
        self._failures[pk] += 1
        if isinstance(error, Error) and not isinstance(error, IntegrityError) and self._failures[pk] < FAILURES:
            return
        self._failures.pop(pk)
        reason = Reason.UNKNOWN_FILTER if isinstance(error, InvalidFilter) else Reason.ERROR
        _write(pk, state=State.PAUSED, reason=reason, note=type(error).__name__[:255])
