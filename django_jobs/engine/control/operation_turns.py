"""One turn of an operation: the next batch of its jobs.

A batch and the note of how far the operation came are one transaction, so that no job is counted twice or left out. The
access policy is asked before that, so that nobody who pauses or stops an operation waits for a slow policy. Rows of
jobs that somebody holds are tried again with the next batches, each for HELD_SECONDS. With another leader, or after a
pause, that time begins anew: while nobody tried, it did not pass.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db.models import QuerySet

from django_jobs.engine.control.operation_actions import Performed, Refusal, members, order_of, perform
from django_jobs.engine.control.operation_outcomes import OutcomeCounts
from django_jobs.engine.control.operation_rights import Rights
from django_jobs.engine.control.operations import State, is_by_system
from django_jobs.engine.insight.job_filter import JobFilter
from django_jobs.engine.store import database
from django_jobs.exceptions import InvalidFilter
from django_jobs.models import Job, Operation
from django_jobs.texts import say

#: Jobs that one operation changes at most before the next operation gets its turn.
BATCH: Final = 1_000
#: Where no index finds the jobs, so many keys are looked through at once.
STRETCH: Final = 100_000
#: Where no index finds the jobs, they are counted exactly only if no more keys than these are left.
COUNTED: Final = 1_000_000
#: An operation that was held up catches up at most so many seconds' worth of jobs at once.
MEMORY_SECONDS: Final = 5.0
#: Seconds for which a job is tried again whose row somebody holds.
HELD_SECONDS: Final = 10.0


class _Walked(NamedTuple):
    """Jobs that the walk came to, how far it has come with them, and whether that was all."""

    jobs: list[Job]
    position: int
    is_last: bool


class Turn:
    """The next batch of one operation; ``is_first`` after a time in which it had none."""

    def __init__(self, pk: int, counts: OutcomeCounts, *, minds_rate: bool, is_first: bool) -> None:
        self._pk = pk
        self._counts = counts
        self._minds_rate = minds_rate
        self._is_first = is_first

    def take(self) -> int:
        """Do the next batch, and return how many jobs it came by; 0 if it could do nothing now."""
        operation = Operation.primary.filter(pk=self._pk, state=State.RUNNING).select_related("user").first()
        if operation is None:
            return 0
        user = None if is_by_system(operation) else operation.user
        if not is_by_system(operation) and (user is None or not user.is_active):
            _end(operation.pk, State.STOPPED, reason=Operation.Reason.USER_GONE)
            return 0
        if not self._minds_rate:
            operation.per_minute = None
        due = _due(operation, database.now())
        if due:
            due = min(due, self._counts.allowed(operation))
        if not due:
            return 0
        return self._do_batch(operation, user, due)

    def _do_batch(self, operation: Operation, user: Any, due: int) -> int:
        filters = JobFilter.from_json(operation.filters)
        if filters.is_empty:  # it would mean all jobs
            raise InvalidFilter({"filters": [say("Nothing is asked for.", code="required")]})
        rows = members(filters.rows(user), operation.action, operation.value, operation.last_id)
        if operation.has_more and (not filters.is_walked or operation.last_id - operation.position <= COUNTED):
            _count(operation, rows)
        rights = Rights(operation.action, user)
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
        batch = _Batch(operation, rows, walked, tried, permitted, refused, missing, self._is_first)
        return database.in_transaction(batch.write)


def _walk(operation: Operation, rows: QuerySet[Job], rights: Rights, most: int, *, is_walked: bool) -> _Walked:
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
class _Batch:
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
        done.refused += self.refused
        done.refused[Refusal.CHANGED] += len(self.permitted) - len(fitting) - len(busy)
        kept = still_held({} if self.is_first else operation.held, busy, now)
        done.refused[Refusal.CHANGED] += len(busy) - len(kept)
        left = {pk: until for pk, until in operation.held.items() if int(pk) not in self.tried} | kept
        values = self._progress(operation, done, fitting, now) | {"held": left}
        if self.walked.is_last and not left:
            values |= _ending(operation, values, now, self.missing)
        Operation.primary.filter(pk=operation.pk).update(**values)
        has_moved = not self.walked.is_last and self.walked.position > operation.position
        return len(self.walked.jobs) or done.changed or int(has_moved)

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
        self, operation: Operation, done: Performed, fitting: Sequence[int], now: dt.datetime
    ) -> dict[str, Any]:
        is_first = operation.tries_one_first and done.changed and not operation.first_job_id
        changed, refused = operation.changed + done.changed, _known(Counter(operation.refused) + done.refused)
        return {
            "position": self.walked.position,
            "changed": changed,
            "asked": operation.asked + done.asked,
            "refused": refused,
            "total": max(operation.total, changed + sum(refused.values())) if operation.has_more else operation.total,
            # Only the jobs that changed count against the rate.
            "released_until": _released(operation, done.changed, now),
            **({"first_job_id": fitting[0]} if is_first else {}),
        }


def _known(refused: Counter[str]) -> dict[str, int]:
    return {str(reason): count for reason, count in refused.items() if count > 0}


def still_held(held: Mapping[str, float], busy: Iterable[int], now: dt.datetime) -> dict[str, float]:
    """Return which of these jobs, that others hold now, are tried again: not those held for HELD_SECONDS."""
    moment = now.timestamp()
    ends = {str(pk): held.get(str(pk), moment + HELD_SECONDS) for pk in busy}
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
    return min(BATCH, max(1, int(per_minute * MEMORY_SECONDS / 60)))


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
    known = values["changed"] + refused.total()
    if operation.has_more:  # it was never counted how many they are
        return {"state": State.DONE, "ended_at": now, "total": known, "has_more": False}
    if operation.total > known:
        refused[missing] += operation.total - known
    return {"state": State.DONE, "ended_at": now, "refused": _known(refused)}


def _end(pk: int, state: str, **values: Any) -> None:
    rows = Operation.primary.filter(pk=pk, state=State.RUNNING)
    rows.update(state=state, ended_at=database.now(), **values)
