"""A worker process as RQ knows it: ``rq info`` and django-rq's pages list it with what it runs."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import redis
from redis import Redis
from rq import SimpleWorker
from rq.executions import Execution
from rq.job import Job as RQJob
from rq.queue import Queue as RQQueue
from rq.registry import StartedJobRegistry
from rq.timeouts import TimerDeathPenalty
from rq.worker import WorkerStatus

from django_jobs.broker import foreign_entries, tickets
from django_jobs.engine.foreign_entries import ForeignEntry
from django_jobs.engine.ports import RunningTicket, Ticket

logger = logging.getLogger("django_jobs")

#: After so long what a killed worker ran disappears from RQ's lists.
PUBLISHED_SECONDS: Final = 60
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
        time.sleep(1.0)

    def handle_payload(self, message: Any) -> None:
        """Obey one message of this worker's channel."""
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
        execution.save(ttl=PUBLISHED_SECONDS, pipeline=pipeline)
        StartedJobRegistry(item.queue, connection=self.calls).add_execution(
            execution, pipeline=pipeline, ttl=PUBLISHED_SECONDS, xx=False
        )
        pipeline.sadd(execution.worker_executions_key, execution.composite_key)
        pipeline.expire(execution.worker_executions_key, PUBLISHED_SECONDS)
        started = execution.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        tickets.complete(pipeline, item.queue, item.ticket_id)  # there is none where it was claimed without a ticket
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
                self.calls.unlink(*(tickets.job_key(ticket.id) for ticket in done))
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
            shown = foreign_entries.shown(entry.id)
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
