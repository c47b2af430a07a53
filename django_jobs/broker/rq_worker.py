"""A worker process as RQ knows it, and the function that a plain ``rqworker`` calls for a ticket."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import re
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import redis
from django.db import Error, connections
from redis import Redis
from rq import SimpleWorker, get_current_job
from rq.executions import Execution
from rq.job import Job as RQJob
from rq.queue import Queue as RQQueue
from rq.registry import StartedJobRegistry
from rq.timeouts import TimerDeathPenalty
from rq.worker import WorkerStatus
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from django_jobs import pools
from django_jobs.broker.queues import complete, job_key, shown_foreign
from django_jobs.conf import DEFAULT_POOL, jobs_settings
from django_jobs.engine import claimed_job, observers, timing
from django_jobs.engine.claimed_job import Claimed, uptime_seconds
from django_jobs.engine.dispatch import dispatcher, in_flight
from django_jobs.engine.execution import context, leases
from django_jobs.engine.execution.claim import claim_jobs
from django_jobs.engine.execution.context import JobContext
from django_jobs.engine.execution.run import run_handler
from django_jobs.engine.execution.settle import settle_all
from django_jobs.engine.insight import events
from django_jobs.engine.ports import ForeignEntry, Queue, RunningTicket, Ticket, drain_broadcasts, get_broker
from django_jobs.engine.store import database
from django_jobs.engine.store.values import AttemptKey
from django_jobs.exceptions import AttemptLost, BrokerUnavailable, JobCanceled, JobTimedOut
from django_jobs.statuses import Priority

logger = logging.getLogger("django_jobs")

# Plain ``rqworker`` processes, which our own table of workers does not know.


#: The names of our own workers, which RQ lists too: host, the supervisor's process id, eight hexadecimal digits.
_OURS: Final = re.compile(r".*-\d+-[0-9a-f]{8}\Z")


def plain_workers_by_queue(client: Redis, queues: Sequence[str]) -> Counter[str]:
    """Return how many plain workers RQ lists for each of these queues.

    RQ lists one that was killed for some minutes more. What is out of date in RQ's lists is left there.
    """
    with client.pipeline(transaction=False) as pipeline:
        for queue in queues:
            pipeline.smembers(WORKERS_BY_QUEUE_KEY % queue)
        listed = dict(zip(queues, pipeline.execute(), strict=True))
        found_keys = {key for found in listed.values() for key in found}
        keys = sorted(key for key in found_keys if not _OURS.match(key.decode(errors="replace")))
        for key in keys:
            pipeline.exists(key)
        alive = {key for key, exists in zip(keys, pipeline.execute(), strict=True) if exists}
    return Counter({queue: len(alive & found) for queue, found in listed.items()})


# A worker process as RQ knows it: ``rq info`` and django-rq's pages list it with what it runs.


#: What a message to a worker's channel says when it is our hint to cancel jobs.
CANCEL_COMMAND: Final = "cancel-jobs"


@dataclass(slots=True)
class Published:
    """A running ticket as RQ's registries show it."""

    ticket_id: str
    queue: str
    started: float
    execution_id: str = field(default_factory=lambda: uuid.uuid4().hex)


class TicketWorker(SimpleWorker):
    """One of our worker processes, in the shape in which RQ's tools expect a worker."""

    # For foreign jobs. RQ's default would take SIGALRM, which is our own handlers' timeout, and not give it back.
    death_penalty_class = TimerDeathPenalty

    def __init__(self, queue_names: Sequence[str], name: str, client: Redis) -> None:
        self.calls = client
        self._listener: Any = None
        #: Whether it may be in RQ's list: a Redis that is another installation's gets nothing, not even its leave.
        self._is_listed = False
        self._published: dict[str, Published] = {}
        queues = [RQQueue(queue, connection=client) for queue in queue_names]
        super().__init__(queues, name=name, connection=client, log_job_description=False)
        self.log = logging.getLogger("rq.worker")

    def _set_connection(self, connection: Redis) -> Redis:
        # RQ would raise the timeout to minutes, and a worker must notice a Redis that does not answer.
        return connection

    def _set_ip_address(self, connection: Redis) -> None:
        # RQ asks Redis for it; a worker that starts while Redis is down must not die of that.
        try:
            super()._set_ip_address(connection)
        except (redis.RedisError, OSError):
            self.ip_address = "unknown"

    def procline(self, message: str) -> None:
        """Do nothing; RQ would rename the process for every job."""

    def announce(self) -> None:
        """Appear in RQ's list of workers."""
        self._is_listed = True
        self.calls.delete(self.key)  # no other worker has this name: an earlier try may have left the key
        try:
            self.register_birth()  # type: ignore[no-untyped-call]
            self.set_state(WorkerStatus.IDLE)
        except redis.ResponseError as error:  # somebody overwrote RQ's lists, which only show the worker
            logger.warning("event=worker_not_listed worker=%s error=%s", self.name, error)

    def listen(self, on_cancel: Callable[[list[str]], None], on_shutdown: Callable[[], None]) -> None:
        """Obey RQ's commands and our cancel hints from this worker's channel, in a thread."""
        self._on_cancel, self._on_shutdown = on_cancel, on_shutdown
        self.pubsub = self.calls.pubsub()  # type: ignore[no-untyped-call]
        self.pubsub.subscribe(**{self.pubsub_channel_name: self.handle_payload})
        self._listener = self.pubsub.run_in_thread(
            sleep_time=60, daemon=True, exception_handler=self._pubsub_exception_handler
        )

    def _pubsub_exception_handler(self, exc: Exception, pubsub: Any, pubsub_thread: Any) -> None:
        """Go on after a lost connection; the subscription is restored with the next one."""
        time.sleep(timing.LISTEN_RETRY_SECONDS)

    def handle_payload(self, message: Any) -> None:
        """Obey one message of this worker's channel."""
        try:
            payload = json.loads(message["data"])
            command = payload["command"]
            job_ids = [str(job_id) for job_id in payload.get("job_ids", [])]
        except (ValueError, KeyError, TypeError, AttributeError):  # whoever may write to Redis says what they like
            return
        if command == CANCEL_COMMAND:
            try:
                self._on_cancel(job_ids)
            finally:
                connections.close_all()  # this thread asks the database rarely, and holds no line in between
        elif command == "shutdown":
            self._on_shutdown()

    def beat(self, running: Sequence[RunningTicket]) -> None:
        """Say that the worker lives and what it runs; register anew where Redis has forgotten it.

        Everything goes in one transaction: a reader must not see an idle worker with a job, or a busy one without.
        """
        shown = {item.ticket.id: self._published.get(item.ticket.id) or _published(item) for item in running}
        ended = [item for ticket_id, item in self._published.items() if ticket_id not in shown]
        self._published |= shown
        try:
            if not self.calls.exists(self.key):
                self.register_birth()  # type: ignore[no-untyped-call]
            with self.calls.pipeline() as pipeline:
                self._withdraw(ended, pipeline)
                self.heartbeat(pipeline=pipeline)
                self.set_state(WorkerStatus.BUSY if running else WorkerStatus.IDLE, pipeline=pipeline)
                for item in shown.values():
                    self._publish(item, pipeline)
                pipeline.pubsub_numsub(self.pubsub_channel_name)
                [(_, listeners)] = pipeline.execute()[-1]
            self._published = shown  # not earlier: what has ended is withdrawn once Redis is back
            line = getattr(self.pubsub, "connection", None)
            if line is not None and not listeners:  # it listens at a server to which the address led before
                _hang_up(line)
        except (redis.RedisError, OSError, ValueError) as error:
            logger.debug("event=heartbeat_failed error=%r", error)

    def _execution(self, item: Published) -> tuple[RQJob, Execution]:
        job = RQJob(item.ticket_id, connection=self.calls)
        job.origin = item.queue
        execution = Execution(item.execution_id, item.ticket_id, connection=self.calls, worker_name=self.name)
        execution.created_at = dt.datetime.fromtimestamp(item.started, dt.UTC)
        return job, execution

    def _publish(self, item: Published, pipeline: Any) -> None:
        job, execution = self._execution(item)
        execution.save(ttl=timing.RQ_PUBLISHED_SECONDS, pipeline=pipeline)
        StartedJobRegistry(item.queue, connection=self.calls).add_execution(
            execution, pipeline=pipeline, ttl=timing.RQ_PUBLISHED_SECONDS, xx=False
        )
        pipeline.sadd(execution.worker_executions_key, execution.composite_key)
        pipeline.expire(execution.worker_executions_key, timing.RQ_PUBLISHED_SECONDS)
        started = execution.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        complete(pipeline, item.queue, item.ticket_id)  # there is none where it was claimed without a ticket
        pipeline.hset(job.key, mapping={"status": "started", "worker_name": self.name, "started_at": started})

    def _withdraw(self, ended: Iterable[Published], pipeline: Any) -> None:
        """Remove ended tickets from RQ's registries together with their hashes: a page must find both or neither."""
        for item in ended:
            job, execution = self._execution(item)
            execution.delete(job, pipeline)
            pipeline.unlink(job.key)

    def leave(self, done: Sequence[Ticket] = ()) -> None:
        """Disappear from RQ's lists, and remove the hashes of the tickets that are ``done``."""
        try:
            with self.calls.pipeline() as pipeline:
                self._withdraw(list(self._published.values()), pipeline)
                pipeline.execute()
            if done:
                self.calls.unlink(*(job_key(ticket.id) for ticket in done))
            if self._is_listed:
                self.register_death()  # type: ignore[no-untyped-call]
            if self._listener is not None:
                self._listener.stop()
        except (redis.RedisError, OSError) as error:
            logger.debug("event=leave_failed error=%r", error)

    def run_foreign(self, entry: ForeignEntry) -> None:
        """Run an RQ job that is not ours, by RQ's own means."""
        try:
            job = RQJob.fetch(entry.id, connection=self.calls)
        except Exception as error:  # noqa: BLE001  (whatever a foreign job does, this worker goes on)
            shown = shown_foreign(entry.id)
            logger.warning("event=foreign_job_unreadable queue=%s rq_job=%s error=%r", entry.queue, shown, error)
            return
        self.execute_job(job, RQQueue(entry.queue, connection=self.calls))


def _hang_up(line: Any) -> None:
    """Have the thread that reads this line connect anew. It closes the socket itself: were that done here, it might
    wait for another socket, which got the number of the closed one.
    """
    opened = getattr(line, "_sock", None)
    if opened is not None:
        with contextlib.suppress(OSError):  # the thread has just closed it
            opened.shutdown(socket.SHUT_RDWR)


def _published(item: RunningTicket) -> Published:
    return Published(item.ticket.id, item.ticket.queue.name, item.started)


# The function that a plain ``rqworker`` calls for a ticket: it claims, runs and settles one job.
#
# Tickets name it by its path, so that module and function keep their names.


class CheckpointRunner(context.Runner):
    """Stops a handler only when it calls its context: no other process watches it."""

    def __init__(self, claimed: Claimed, worker_name: str) -> None:
        self.key = claimed.key
        self.claimed = claimed
        self.worker_name = worker_name
        self.progress = context.ProgressBuffer(worker_name)
        self.deadline = time.monotonic() + claimed.timeout_seconds
        self.stopped = threading.Event()
        self.done = threading.Event()
        self._is_noted = False
        #: One item for each block that is shielded now. Threads add and remove items without losing count.
        self._shields: list[None] = []
        self._renewed = self._renewal_due = 0.0
        self._has_complained = False

    def report(self, key: AttemptKey, percent: int, message: str | None) -> None:
        """Keep the progress until it is written."""
        self.progress.report(key, percent, message)

    def is_canceled(self) -> bool:
        """Return whether the handler is to stop because its job was canceled or belongs to another attempt."""
        return self.stopped.is_set() or self.is_lost()

    def is_lost(self) -> bool:
        """Return whether its lease ran out, since the database could not be reached."""
        return leases.has_lease_run_out(self.claimed, self._renewed)

    def check(self) -> None:
        """Raise JobCanceled, AttemptLost or JobTimedOut where that is due, but not inside a shield."""
        if self._shields:
            return
        if self.is_lost():
            raise AttemptLost
        if self.stopped.is_set():
            raise JobCanceled
        if time.monotonic() > self.deadline:
            raise JobTimedOut

    @contextlib.contextmanager
    def shielded(self) -> Iterator[None]:
        """Put interruptions off until the end of the block."""
        self._shields.append(None)
        try:
            yield
        finally:
            self._shields.pop()
        self.check()

    def keep_alive(self) -> None:
        """Renew the lease, write progress and look for a cancel until the handler is done."""
        while not self.done.wait(float(jobs_settings.PROGRESS_INTERVAL)):
            self._tried(self._write_progress)
            if time.monotonic() > self._renewal_due:
                self._tried(self._renew)
        self._tried(self._write_progress)
        database.drop_connections()

    def _tried(self, duty: Callable[[], None]) -> None:
        """Call the duty. If it fails it is tried again the next time: nobody else renews this handler's lease."""
        try:
            duty()
        except Exception as error:  # noqa: BLE001  (whatever failed, the lease must be renewed)
            if not self._has_complained:
                logger.warning("event=attend_failed worker=%s error=%r", self.worker_name, error)
            self._has_complained = True
            database.drop_connections()

    def _write_progress(self) -> None:
        if self.progress.flush():
            self.stopped.set()

    def _renew(self) -> None:
        if not self._is_noted:
            self._is_noted = self.key in leases.note_begun([self.key], [self.worker_name])
        began = uptime_seconds()
        held = {(item.pk, item.attempt): item for item in leases.renew_leases([self.worker_name])}
        self._renewed = began
        self._renewal_due = time.monotonic() + float(jobs_settings.LEASE_SECONDS) / 6
        if self.key in held and held[self.key].cancel_seconds is not None:
            self.stopped.set()

    @contextlib.contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Keep the lease alive inside the block, from a thread."""
        thread = threading.Thread(target=self.keep_alive, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.done.set()
            thread.join()


def run_ticket() -> None:
    """Run the job whose ticket is the RQ job that RQ executes now."""
    rq_job = get_current_job()
    ticket = _ticket_of(rq_job) if rq_job is not None else None
    if rq_job is None or ticket is None:
        return
    worker_name = f"rqworker-{rq_job.worker_name or 'unknown'}"[:100]
    claimed_job.install()
    events.work_in_background()  # between claim and run nobody renews the lease
    for claimed in claim_jobs([ticket], worker_name, set_aside=_put_behind_others):
        runner = CheckpointRunner(claimed, worker_name)
        with runner.kept_alive():
            ended = run_handler(claimed, JobContext(claimed, runner))
        settle_all([ended], worker_name)
    dispatcher.dispatch_patiently()
    events.stop()
    drain_broadcasts()
    observers.drain()


def _put_behind_others(held: Sequence[Ticket]) -> None:
    """Push tickets again whose rows other transactions hold, and have a pass know that they take no room.

    This process ends before anybody else would write its notes down. Whatever fails is left to the scheduler.
    """
    in_flight.note_held([ticket.pk for ticket in held], timing.HELD_TICKET_SECONDS)
    with contextlib.suppress(BrokerUnavailable, Error):
        get_broker().push(held)
        dispatcher.dispatch()


def _ticket_of(rq_job: RQJob) -> Ticket | None:
    """Return the ticket, with the queue that it was taken from: the worker's guard has written that into its hash."""
    queue = pools.by_queue_name().get(rq_job.origin, Queue(DEFAULT_POOL, int(Priority.NORMAL)))
    return Ticket.parse(rq_job.id, queue.priority, queue.pool)
