"""Running jobs, operations and schedules within a test."""

from __future__ import annotations

import contextlib
import datetime as dt
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.db import Error, connections
from django.utils import timezone

from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine import dependencies
from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.control import batches, operation_work
from django_jobs.engine.control.lane_keys import LaneKeyWatch
from django_jobs.engine.control.operation_work import OperationWork
from django_jobs.engine.control.operations import describe_operations
from django_jobs.engine.dispatch import backlog, dispatcher, turns, window
from django_jobs.engine.execution import claim, coroutines, outcomes, settle
from django_jobs.engine.execution.context import JobContext, ProgressBuffer, Runner
from django_jobs.engine.execution.run import attempt_handler, run_handler
from django_jobs.engine.insight.status import describe_all
from django_jobs.engine.ports import Ticket, broker_in_place
from django_jobs.engine.schedules import firing
from django_jobs.engine.store import database
from django_jobs.engine.store.values import AttemptKey, place_in_lane
from django_jobs.exceptions import Interruption, PermanentError, RetryLater
from django_jobs.models import Job, JobType, Operation, Schedule, ScheduleFiring
from django_jobs.statuses import AWAITING_RETRY, TERMINAL, Status
from django_jobs.testing.memory_broker import MemoryBroker
from django_jobs.texts import say
from django_jobs.values import JobStatus, OperationStatus

# What commits would do for jobs, done inside a test's transaction, in which nothing is ever committed.


logger = logging.getLogger("django_jobs")


def held_open() -> list[Any]:
    """Return the connections on which a test holds a transaction open."""
    return [connection for connection in connections.all(initialized_only=True) if connection.in_atomic_block]


class Commits:
    """The functions that wait for a commit, from the moment on at which this was made. They run without one."""

    def __init__(self) -> None:
        self._before = {connection.alias: len(connection.run_on_commit) for connection in held_open()}

    def run(self) -> None:
        """Call what was registered since then. An exception is raised, unless its function was registered as robust."""
        for connection in held_open():
            for function, robust in self._taken_from(connection):
                try:
                    function()
                except Exception:
                    if not robust:
                        raise
                    logger.exception("event=on_commit_failed")

    def forget(self, connection: Any) -> None:
        """Forget what was registered on a connection, since it was rolled back."""
        del connection.run_on_commit[self._before.get(connection.alias, 0) :]

    def _taken_from(self, connection: Any) -> Iterator[tuple[Any, bool]]:
        """Yield the functions one by one, since each may register more."""
        start = self._before.get(connection.alias, 0)
        while len(connection.run_on_commit) > start:
            _, function, robust = connection.run_on_commit.pop(start)
            yield function, robust


class Shelter:
    """A savepoint around a handler in each transaction that a test holds open.

    In production each of the handler's statements would be committed, so they stay, whatever it raises. But if it left
    the transaction unusable, all that it wrote there is rolled back, because the test must go on.
    """

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self._inside = [
            (connection, connection.savepoint(), len(connection.atomic_blocks)) for connection in held_open()
        ]

    def leave(self) -> None:
        """Give the transactions back as they were found."""
        for connection, savepoint, depth in reversed(self._inside):
            while len(connection.atomic_blocks) > depth:  # blocks that the handler never left
                error = RuntimeError("left open by a handler")
                connection.atomic_blocks[-1].__exit__(type(error), error, None)
            if connection.needs_rollback or not _answers(connection):
                connection.needs_rollback = False
                connection.savepoint_rollback(savepoint)
                self._commits.forget(connection)
            else:
                connection.savepoint_commit(savepoint)


def _answers(connection: Any) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchall()
    except Error:
        return False
    return True


# Run what is ready, here and now, by the engine's own dispatch, claim and settle.


WORKER: Final = "run_jobs"
#: Jobs that are still ready after so many attempts would go on for ever.
MAX_ATTEMPTS: Final = 10_000


def run_jobs(*, raise_errors: bool = False, retries: bool = False) -> list[JobStatus]:
    """Run every job that is ready, and every job that becomes ready by that. Return the status of each.

    The statuses are in the order in which the jobs first ran; a job that ended at its claim is among them. Neither
    Redis nor a worker is needed. Inside a test's transaction, what waits for a commit is done as if each step had been
    committed. Jobs run one after the other, by priority. Paused types, inactive organizations, permissions, limits,
    breakers and ``run_at`` hold as ever; rates of starts do not, since no time passes.

    With ``retries``, retries run at once, whether they are due or not. With ``raise_errors``, the first handler that
    fails ends the run with its exception, once its job has been settled. Nothing interrupts a handler here: timeouts
    are not enforced, and a cancel is noticed when the handler calls its context. Raise RuntimeError if jobs are still
    ready after 10,000 attempts.
    """
    run = _TestRun(raise_errors=raise_errors, retries=retries)
    with broker_in_place(run.broker):
        run.until_nothing_is_ready()
    return run.statuses()


class _TestRun:
    def __init__(self, *, raise_errors: bool, retries: bool) -> None:
        self.broker = MemoryBroker()
        self._raise_errors = raise_errors
        self._retries = retries
        self._commits = Commits()
        self._lane_keys = LaneKeyWatch()
        self._seen: dict[int, None] = {}
        self._attempts = 0

    def until_nothing_is_ready(self) -> None:
        self._adopt_queued()
        while (ticket := self._next_ticket()) is not None:
            self._attempts += 1
            if self._attempts > MAX_ATTEMPTS:
                raise RuntimeError(f"After {MAX_ATTEMPTS} attempts there is still something ready to run.")
            self._run(ticket)

    def statuses(self) -> list[JobStatus]:
        found = Job.primary.in_bulk(list(self._seen))
        return describe_all([found[pk] for pk in self._seen if pk in found])

    def _adopt_queued(self) -> None:
        """Make tickets for jobs that have one elsewhere, such as at a broker that no test's worker serves."""
        rows = Job.primary.filter(status=Status.QUEUED).order_by("queued_at", "pk")
        of_types = dict(JobType.primary.values_list("pk", "pool"))
        tickets = [
            Ticket(
                job.pk, job.created_at.year, job.attempt + 1, job.priority, of_types.get(job.job_type_id, DEFAULT_POOL)
            )
            for job in rows
        ]
        self.broker.push(tickets)

    def _next_ticket(self) -> Ticket | None:
        ticket = self.broker.take()
        if ticket is None:
            backlog.expire_jobs()
            dependencies.follow_up()
            batches.batch_duties_in_tick()
            self._lane_keys.rewrite()
            if self._retries:
                self._make_retries_due()
            window.forget_pools()  # a test may have changed a type's a moment ago
            with turns.without_rates():  # no time passes here
                dispatcher.dispatch()
            self._commits.run()
            ticket = self.broker.take()
        return ticket

    def _make_retries_due(self) -> None:
        now = database.now()
        rows = Job.primary.filter(status__in=sorted(AWAITING_RETRY))
        rows.filter(ready_at__gt=now).update(ready_at=place_in_lane(now), is_delayed=False)

    def _run(self, ticket: Ticket) -> None:
        claim.forget_verdicts()  # a test may have changed rights a moment ago
        claimed = claim.claim_jobs([ticket], WORKER)
        self._commits.run()
        for item in claimed:
            self._seen[item.pk] = None
            call = _HandlerCall(item.handler, self._commits)
            item.handler = call
            ended = self._attempt(item)
            settle.settle_all([ended], WORKER)
            self._commits.run()
            self._raise(call.error, ended)
        if not claimed and Job.primary.filter(pk=ticket.pk, status__in=sorted(TERMINAL)).exists():
            self._seen[ticket.pk] = None

    def _attempt(self, claimed: Claimed) -> outcomes.Outcome:
        runner = _Runner(claimed)
        context = JobContext(claimed, runner)
        if not held_open():
            ended = run_handler(claimed, context)
            runner.write()
            return ended
        shelter = Shelter(self._commits)
        ended = attempt_handler(claimed, context)
        shelter.leave()
        runner.write()
        self._commits.run()
        return ended

    def _raise(self, error: BaseException | None, ended: outcomes.Outcome) -> None:
        if isinstance(error, KeyboardInterrupt):  # it was meant for the test run
            raise error
        if not self._raise_errors:
            return
        if isinstance(error, Exception) and not isinstance(error, RetryLater):
            raise error
        if error is None and isinstance(ended, outcomes.Raised):  # the result could not be stored
            raise PermanentError(ended.text)


class _HandlerCall:
    """The handler. It remembers what the handler raised and, in a test's transaction, runs what waits for commits."""

    def __init__(self, handler: Callable[[Any], Any], commits: Commits) -> None:
        self._handler = handler
        self._commits = commits
        self.error: BaseException | None = None

    def __call__(self, context: Any) -> Any:
        try:
            value = self._handler(context)
            if inspect.isawaitable(value):
                value = coroutines.run(value, context.remind)
            self._commits.run()
        except BaseException as error:
            self.error = None if isinstance(error, Interruption) else error
            raise
        return value


class _Runner(Runner):
    """What the handler's context talks to. It writes progress at once and looks for a cancel at each call.

    The event loop of an async handler may not ask the database: what is reported there is written afterwards.
    """

    def __init__(self, claimed: Claimed) -> None:
        self._key = claimed.key
        self._progress = ProgressBuffer(WORKER)
        self._lost = False

    def report(self, key: AttemptKey, percent: int, message: str | None) -> None:
        self._progress.report(key, percent, message)
        if not coroutines.in_event_loop():
            self.write()

    def write(self) -> None:
        # Nothing can be written in a transaction that the handler broke, and lost progress is no reason to fail.
        with contextlib.suppress(Error):
            self._lost = bool(self._progress.flush()) or self._lost

    def is_lost(self) -> bool:
        return self._lost

    def is_canceled(self) -> bool:
        if coroutines.in_event_loop():
            return self._lost
        rows = Job.primary.filter(pk=self._key[0], cancel_requested_at__isnull=False)
        return self._lost or rows.exists()


# Work off operations on many jobs, here and now.


def run_operations() -> list[OperationStatus]:
    """Work off all operations that are not settled, as far as they come now; return what each does, oldest first.

    Rates do not hold, since no time passes. No job runs: :func:`run_jobs` runs what was retried. An operation that
    tries one job first, or that watches failures, goes on at the next call, when its jobs have run; the counts of what
    became of them are new at each call. It works inside a test's transaction.
    """
    commits = Commits()
    found = list(Operation.primary.filter(is_settled=False).order_by("pk"))
    work = OperationWork(minds_rates=False)
    # A job stays Pending as long as the broker cannot be reached.
    with broker_in_place(MemoryBroker(is_down=True)):
        while work.do_round():
            commits.run()
        commits.run()
    for item in found:
        item.refresh_from_db(using=item._state.db)
        operation_work.count_outcomes(item)
    return describe_operations(found)


# Move through time: fire schedules, here and now, as if their moments had come.


#: More firings than these would go on for ever.
MAX_FIRINGS: Final = 10_000


def fire_schedules(until: dt.datetime) -> list[ScheduleFiring]:
    """Fire all schedules for each of their moments up to ``until``, in the order of the moments; return the firings.

    Each fires as if it was on time. No job runs: :func:`run_jobs` runs them, and since ``overlap`` holds as ever, a
    schedule with ``overlap="skip"`` skips while its last job has not run. Neither Redis nor a worker is needed, and it
    works inside a test's transaction. Raise ValueError for a datetime without a time zone, and RuntimeError after
    10,000 firings.
    """
    if timezone.is_naive(until):
        raise ValueError(say("Give a datetime with a time zone.", code="not_aware"))
    commits = Commits()
    fired: list[ScheduleFiring] = []
    # A job stays Pending as long as the broker cannot be reached.
    with broker_in_place(MemoryBroker(is_down=True)):
        while (fires := _fire_next(until)) is not None:
            commits.run()
            fired += fires
            if len(fired) > MAX_FIRINGS:
                raise RuntimeError(
                    f"After {MAX_FIRINGS} firings there is still something due; choose an earlier moment."
                )
    return fired


def _fire_next(until: dt.datetime) -> list[ScheduleFiring] | None:
    """Fire the schedule that is due first; None where none is due."""
    due = Schedule.primary.filter(next_run_at__lte=until).order_by("next_run_at", "pk")
    first = due.values_list("pk", "next_run_at").first()
    if first is None or first[1] is None:
        return None
    found = firing.fire_one(first[0], first[1], is_for_all=True)
    return [] if found is None else [found]
