"""A worker process as RQ knows it: listed by ``rq info`` and django-rq's pages with what it runs.

RQ's own loop is not used; it makes about fifteen round trips a job.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis
from redis import Redis
from rq import SimpleWorker
from rq.executions import Execution
from rq.job import Job as RQJob
from rq.queue import Queue as RQQueue
from rq.registry import StartedJobRegistry
from rq.timeouts import TimerDeathPenalty
from rq.worker import WorkerStatus

from django_jobs.broker import connection, strangers, tickets
from django_jobs.broker.rq_broker import CANCEL_COMMAND
from django_jobs.exceptions import BrokerUnavailable

logger = logging.getLogger("django_jobs")

PUBLISHED_SECONDS = 60


@dataclass(slots=True)
class Published:
    """A running ticket as RQ's registries show it."""

    ticket_id: str
    queue: str
    started: float
    execution_id: str = field(default_factory=lambda: uuid.uuid4().hex)


class TicketWorker(SimpleWorker):
    """RQ's view of one of our worker processes."""

    # For strangers' jobs. RQ's default would take SIGALRM, which is our own handlers' timeout, and not give it back.
    death_penalty_class = TimerDeathPenalty

    def __init__(self, names: Sequence[str], name: str) -> None:
        self.names = list(names)
        self.calls = connection.connect()
        self.blocking: Redis = connection.connect(answer_seconds=connection.BLOCK_SECONDS + 3)
        self._blocking_id: int | None = None
        self._listener: Any = None
        self._published: dict[str, Published] = {}
        queues = [RQQueue(queue, connection=self.calls) for queue in self.names]
        super().__init__(queues, name=name, connection=self.calls, log_job_description=False)
        self.log = logging.getLogger("rq.worker")

    def _set_connection(self, connection: Redis) -> Redis:
        # RQ would raise the timeout to minutes; a worker must notice a silent Redis.
        return connection

    def _set_ip_address(self, connection: Redis) -> None:
        # RQ asks Redis for it; a worker that starts while Redis is down must not die of that.
        try:
            super()._set_ip_address(connection)
        except (redis.RedisError, OSError):
            self.ip_address = "unknown"

    def procline(self, message: str) -> None:
        """RQ would rename the process for every job."""

    # -- registration --------------------------------------------------------------------------------------------

    def announce(self) -> None:
        """Appear in RQ's list of workers."""
        self.calls.delete(self.key)  # the name is ours alone: an earlier try may have got there without our knowing
        try:
            self.register_birth()  # type: ignore[no-untyped-call]
            self.set_state(WorkerStatus.IDLE)
        except redis.ResponseError as error:  # rubbish lies over RQ's lists, which only show us
            logger.warning("event=worker_not_listed worker=%s error=%s", self.name, error)

    def listen(self, on_cancel: Callable[[list[str]], None], on_shutdown: Callable[[], None]) -> None:
        """Take RQ's commands and our cancel hints from this worker's channel, in a thread."""
        self._on_cancel, self._on_shutdown = on_cancel, on_shutdown
        self.pubsub = self.calls.pubsub()  # type: ignore[no-untyped-call]
        self.pubsub.subscribe(**{self.pubsub_channel_name: self.handle_payload})
        self._listener = self.pubsub.run_in_thread(
            sleep_time=60, daemon=True, exception_handler=self._pubsub_exception_handler
        )

    def _pubsub_exception_handler(self, exc: Exception, pubsub: Any, pubsub_thread: Any) -> None:
        """Go on after a lost connection; the subscription is restored with the next one."""
        time.sleep(1.0)

    def handle_payload(self, message: Any) -> None:
        """One message of this worker's channel."""
        try:
            payload = json.loads(message["data"])
            command = payload["command"]
            job_ids = [str(job_id) for job_id in payload.get("job_ids", [])]
        except (ValueError, KeyError, TypeError, AttributeError):  # whoever may write to Redis says what they like
            return
        if command == CANCEL_COMMAND:
            self._on_cancel(job_ids)
        elif command == "shutdown":
            self._on_shutdown()

    def beat(self, running: Sequence[Published]) -> None:
        """Say that we live and what we run; register anew when Redis has forgotten us.

        In one transaction with what has ended: a reader must not see an idle worker with a job, or a busy one without.
        """
        shown = {item.ticket_id: item for item in running}
        ended = [item for ticket_id, item in self._published.items() if ticket_id not in shown]
        self._published |= shown
        try:
            if not self.calls.exists(self.key):
                self.register_birth()  # type: ignore[no-untyped-call]
            with self.calls.pipeline() as pipeline:
                self._withdraw(ended, pipeline)
                self.heartbeat(pipeline=pipeline)
                self.set_state(WorkerStatus.BUSY if running else WorkerStatus.IDLE, pipeline=pipeline)
                for item in running:
                    self._publish(item, pipeline)
                pipeline.execute()
            self._published = shown  # not before: what has ended is withdrawn once Redis is back
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
        execution.save(ttl=PUBLISHED_SECONDS, pipeline=pipeline)
        StartedJobRegistry(item.queue, connection=self.calls).add_execution(
            execution, pipeline=pipeline, ttl=PUBLISHED_SECONDS, xx=False
        )
        pipeline.sadd(execution.worker_executions_key, execution.composite_key)
        pipeline.expire(execution.worker_executions_key, PUBLISHED_SECONDS)
        started = execution.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        pipeline.hset(job.key, mapping={"status": "started", "worker_name": self.name, "started_at": started})

    def _withdraw(self, ended: Iterable[Published], pipeline: Any) -> None:
        """Take ended tickets off RQ's registries, and their hashes with them: a page must find both or neither."""
        for item in ended:
            job, execution = self._execution(item)
            execution.delete(job, pipeline)
            pipeline.unlink(job.key)

    def leave(self, done: Sequence[str] = ()) -> None:
        """Disappear from RQ's lists, and take along the hashes of the tickets that are ``done``."""
        try:
            with self.calls.pipeline() as pipeline:
                self._withdraw(list(self._published.values()), pipeline)
                pipeline.execute()
            if done:
                self.calls.unlink(*map(tickets.job_key, done))
            self.register_death()  # type: ignore[no-untyped-call]
            if self._listener is not None:
                self._listener.stop()
        except (redis.RedisError, OSError) as error:
            logger.debug("event=leave_failed error=%r", error)

    # -- tickets -------------------------------------------------------------------------------------------------

    def take(self, count: int, done: Sequence[str] = ()) -> list[tuple[str, str]]:
        """(queue, ticket id) of up to ``count`` waiting tickets; waits up to two seconds for the first."""
        try:
            found = tickets.take(self.calls, self.names, count, done)
            if found is None:
                time.sleep(0.5)  # suspended by `rq suspend`
                return []
            return found or self._wait(count)
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            self._blocking_id = None
            raise BrokerUnavailable(f"Redis does not answer ({type(error).__name__})") from error
        except redis.ResponseError as error:
            if "UNBLOCKED" in str(error):
                return []
            raise BrokerUnavailable(f"Redis refuses: {error}") from error

    def take_now(self, count: int, done: Sequence[str] = ()) -> list[tuple[str, str]] | None:
        """The same without waiting, for a burst; None while RQ is suspended."""
        try:
            return tickets.take(self.calls, self.names, count, done)
        except (redis.RedisError, OSError) as error:
            raise BrokerUnavailable(f"Redis does not answer ({type(error).__name__})") from error

    def _wait(self, count: int) -> list[tuple[str, str]]:
        client = self.blocking.client()  # type: ignore[no-untyped-call]  # one connection, so that it has an id by which to wake it
        try:
            self._blocking_id = client.client_id()
            found, suspended = tickets.wait(client, self.names, count, connection.BLOCK_SECONDS)
        finally:
            self._blocking_id = None
            client.close()
        if found and suspended:
            self.put_back(found)
            return []
        return found

    def wake(self) -> None:
        """End a wait, from another thread, without losing a ticket that is on its way."""
        blocked = self._blocking_id
        if blocked is not None:
            try:
                self.calls.client_unblock(blocked)
            except (redis.RedisError, OSError):
                return  # the wait ends by itself within two seconds

    def put_back(self, found: Sequence[tuple[str, str]]) -> None:
        """What this worker does not want after all, to the front of their queues."""
        try:
            for name in dict.fromkeys(queue for queue, _ in found):
                ids = [entry_id for queue, entry_id in found if queue == name]
                ours = [entry_id for entry_id in ids if not strangers.is_stranger(entry_id)]
                if ours:
                    tickets.push(self.calls, name, ours, front=True)
                if others := [tickets.as_bytes(entry_id) for entry_id in ids if strangers.is_stranger(entry_id)]:
                    self.calls.lpush(tickets.queue_key(name), *reversed(others))
        except (redis.RedisError, OSError) as error:  # the scheduler misses them and issues them again
            logger.debug("event=put_back_failed error=%r", error)

    def receive_strangers(self, found: Sequence[tuple[str, str]]) -> None:
        """See to (queue, id) of entries that are no tickets: set aside, or run where the host wants that."""
        if not strangers.are_run():
            strangers.set_aside(self.calls, found)
            return
        for queue, rq_job_id in found:
            self._run_foreign(queue, rq_job_id)

    def _run_foreign(self, queue: str, rq_job_id: str) -> None:
        """Run an RQ job that is not ours, by RQ's own means."""
        try:
            job = RQJob.fetch(rq_job_id, connection=self.calls)
        except Exception as error:  # noqa: BLE001  (whatever a stranger's job does, this worker goes on)
            shown = strangers.shown(rq_job_id)
            logger.warning("event=foreign_job_unreadable queue=%s rq_job=%s error=%r", queue, shown, error)
            return
        self.execute_job(job, RQQueue(queue, connection=self.calls))
