"""Calling the receivers of signals, so that neither their errors nor their slowness harm jobs.

By default receivers are called at once, in the thread that changed the job. A process whose threads run jobs or renew
leases calls :func:`work_in_background` first; then a thread of its own calls the receivers.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from queue import SimpleQueue
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from django.db import close_old_connections, reset_queries
from django.db.models import Model
from django.dispatch import Signal

from django_jobs import signals
from django_jobs.engine import timing
from django_jobs.engine.organizations import recent_ids
from django_jobs.engine.ports import get_broadcaster
from django_jobs.engine.store import database
from django_jobs.exceptions import Interruption
from django_jobs.models import Job
from django_jobs.signals import worker_process_started
from django_jobs.statuses import AWAITING_RETRY, AWAITING_TURN, TERMINAL, Status
from django_jobs.texts import code_of

if TYPE_CHECKING:
    from django_jobs.engine.actors import Actor
    from django_jobs.engine.claimed_job import Claimed
    from django_jobs.engine.store.values import Moved

logger = logging.getLogger("django_jobs")

#: How many signals wait in the background. Further ones are dropped.
MAX_WAITING = 10_000


def deliver(signal: Signal, sender: type[Model], about: str, facts: dict[str, Any]) -> None:
    """Call the receivers of a signal with these facts, at once or in the background.

    ``about`` names in the log what the signal is about, such as ``alert=7``.
    """
    call(partial(_send_robust, signal, sender, about, facts), about)


def call(function: Callable[[], object], about: str = "about=tasks") -> None:
    """Call what sends signals, at once or in the background. Its errors are logged."""
    if _background is None:
        _call(function, about, (Exception, Interruption))
    else:
        _background.put(function, about)


def _call(function: Callable[[], object], about: str, caught: type[BaseException] | tuple[Any, ...]) -> None:
    try:
        function()
    except caught as error:  # receivers must not harm jobs, nor may one of theirs be taken for one of the handler
        _complain(about, "unknown", error)


def _send_robust(signal: Signal, sender: type[Model] | None, about: str, facts: dict[str, Any]) -> None:
    for receiver, answer in signal.send_robust(sender=sender, **facts):
        if isinstance(answer, Exception):
            _complain(about, getattr(receiver, "__qualname__", repr(receiver)), answer)


def _complain(about: str, receiver: str, error: BaseException) -> None:
    logger.error("event=receiver_failed %s receiver=%s", about, receiver, exc_info=error)


class _Background:
    """A thread that calls receivers. It starts with the first signal.

    It uses ``SimpleQueue``, because a handler's thread that is interrupted inside ``put`` leaves no lock behind.
    """

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[Callable[[], object], str]] = SimpleQueue()
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._dropping = False

    def put(self, function: Callable[[], object], about: str) -> None:
        if self._waiting.qsize() >= MAX_WAITING:
            if not self._dropping:
                self._dropping = True
                logger.warning("event=signals_dropped waiting=%s", MAX_WAITING)
            return
        self._dropping = False
        self._waiting.put((function, about))
        if self._thread is None:
            self._start()

    def drain(self, timeout: float) -> None:
        if self._thread is None:
            return
        done = threading.Event()
        self._waiting.put((done.set, ""))
        done.wait(timeout)

    def _start(self) -> None:
        with self._start_lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="signals", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            function, about = self._waiting.get()
            _call(function, about, BaseException)  # not even a receiver's SystemExit ends this thread
            del function  # an error in it would keep its frames alive
            reset_queries()
            close_old_connections()


_background: _Background | None = None


def work_in_background() -> None:
    """Call receivers in a background thread from now on. Nothing waits for it."""
    global _background  # noqa: PLW0603  (a process's way of working)
    _background = _background or _Background()


def stop(timeout: float = timing.SIGNALS_DRAIN_SECONDS) -> None:
    """Deliver what still waits, for at most ``timeout`` seconds. From now on call receivers at once again."""
    global _background
    background, _background = _background, None
    if background is not None:
        background.drain(timeout)


def tell_process_started(kind: str) -> None:
    """Call the receivers of ``worker_process_started``, at once. An error of one is logged."""
    _send_robust(worker_process_started, None, f"process={kind}", {"kind": kind})


# The announcer of changes: after the commit of each change of status a log line, a signal, a broadcast and a count.
#
# Without receivers and without a broadcaster it makes no statement and takes next to no time. ``apps`` registers this
# module as the announcer of :mod:`django_jobs.engine.transitions`.


_LEVELS = {
    **dict.fromkeys(Status, logging.INFO),
    **dict.fromkeys(AWAITING_TURN, logging.DEBUG),
    **dict.fromkeys(AWAITING_RETRY, logging.WARNING),
    Status.DEAD_LETTER: logging.ERROR,
}


_SIGNALS: Final[dict[str, Signal]] = {
    Status.RUNNING: signals.job_started,
    **dict.fromkeys(TERMINAL, signals.job_finished),
}
#: The attributes that each of our log records carries.
FIELDS: Final = ("job_id", "job_type", "organization", "attempt", "event")
#: Control characters, which a terminal or a program that reads lines does not take as text.
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_watchers: Final[dict[str, Callable[[Sequence[Moved]], object]]] = {}
#: Functions of :mod:`django_jobs.testing` that are called with each new job before its commit.
watchers: Final[list[Callable[[Job], object]]] = []


def submitted(*jobs: Job, log_ids: Sequence[int] = ()) -> None:
    """Announce new jobs once they are committed, and only then. The rows of one call are read together.

    ``log_ids`` are the ids of their first Execution Log rows, in the same order.
    """
    for watch in watchers:
        for job in jobs:
            watch(job)
    if logger.isEnabledFor(logging.INFO):
        database.on_commit(lambda: _log_submitted(jobs))
    if jobs and signals.job_submitted.has_listeners(Job):
        database.on_commit(lambda: _send(dict.fromkeys([job.pk for job in jobs], signals.job_submitted)))
    pairs = zip(jobs, log_ids, strict=False)
    _broadcast(lambda: [(job.organization_id, log_id, job.pk) for job, log_id in pairs])


def replaced(job: Job, actor: Actor) -> None:
    """Log that a later submission took this job's place, once that is committed."""
    database.on_commit(lambda: _log_replaced(job, actor))


def changed(moved: Sequence[Moved], loudest: int = logging.CRITICAL) -> None:
    """Announce these changes once they are committed, and only then. No log record's level is above ``loudest``."""
    if not moved:
        return
    targets = {item.to_status for item in moved}
    if logger.isEnabledFor(min(loudest, max(_LEVELS[Status(status)] for status in targets))):
        database.on_commit(lambda: _log(moved, loudest))
    wanted = {status for status in targets if status in _SIGNALS and _SIGNALS[status].has_listeners(Job)}
    _announce_errors(moved)
    if wanted:
        heard = {item.pk: _SIGNALS[item.to_status] for item in moved if item.to_status in wanted}
        database.on_commit(lambda: _send(heard))
    for prefix, tell in _watchers.items():
        of_prefix = [item for item in moved if item.job_type.startswith(prefix) and item.to_status in _SIGNALS]
        if of_prefix:
            database.on_commit(partial(call, partial(tell, of_prefix)))
    _broadcast(lambda: [(item.organization_id, item.log_id, item.pk) for item in moved])


def load() -> None:
    """Load what receivers are told with, if there are any, so that processes that are forked later share it."""
    job_signals = (signals.job_submitted, signals.job_attempt_failed, signals.job_progressed, *_SIGNALS.values())
    if any(signal.has_listeners(Job) for signal in job_signals):
        from django_jobs.engine.insight import status  # noqa: F401


def watch_types(prefix: str, tell: Callable[[Sequence[Moved]], object]) -> None:
    """Have ``tell`` called with each start and each end of jobs whose type's name begins with ``prefix``.

    It is called as receivers of signals are: after the commit, and in the background where those are called there.
    """
    _watchers[prefix] = tell


def _announce_errors(moved: Sequence[Moved]) -> None:
    errors = {item.pk: item.error for item in moved if item.error is not None}
    if errors and signals.job_attempt_failed.has_listeners(Job):
        database.on_commit(lambda: _send(dict.fromkeys(errors, signals.job_attempt_failed), errors))


def _broadcast(changes: Callable[[], list[tuple[Any, int, int]]]) -> None:
    broadcaster = get_broadcaster()
    if broadcaster is not None:
        database.on_commit(lambda: broadcaster.changed(changes()))


def progressed(organizations: Mapping[int, Any]) -> None:
    """Announce that the progress of these running jobs was written and committed.

    The mapping has their organizations' keys by the jobs' keys.
    """
    if organizations and signals.job_progressed.has_listeners(Job):
        _send(dict.fromkeys(organizations, signals.job_progressed))
    broadcaster = get_broadcaster()
    if organizations and broadcaster is not None:
        broadcaster.updated("progress", organizations)


def batches_counted(organizations: Mapping[int, Any]) -> None:
    """Announce new counts of these batches, once they are committed: their organizations' keys by their keys."""
    broadcaster = get_broadcaster()
    if organizations and broadcaster is not None:
        database.on_commit(lambda: broadcaster.updated("batch", organizations))


def _send(heard: dict[int, Signal], errors: Mapping[int, BaseException] = MappingProxyType({})) -> None:
    """Read these jobs together and deliver the signal of each, with the job's error if there is one."""
    # Here, since where no signal has a receiver nobody needs it, and it brings along what diagnoses waiting jobs.
    from django_jobs.engine.insight import status

    try:
        jobs_by_pk = Job.primary.in_bulk(list(heard))
        jobs = [jobs_by_pk[pk] for pk in heard if pk in jobs_by_pk]
        for job, status_told in zip(jobs, status.describe_all(jobs), strict=True):
            facts = {"status": status_told} | ({"exception": errors[job.pk]} if job.pk in errors else {})
            deliver(heard[job.pk], Job, f"job_id={job.name}", facts)
    except Exception:
        logger.exception("event=signals_failed jobs=%s", len(heard))


def _log_submitted(jobs: Sequence[Job]) -> None:
    for job in jobs:
        owner = on_one_line(job.owner_name or "system")
        about = (job.name, job.job_type_id, job.organization_name, 0, "submitted")
        _write(logging.INFO, about, "owner=%s", owner)


def _log_replaced(job: Job, actor: Actor) -> None:
    organization = recent_ids({job.organization_id: job.organization_name})[job.organization_id]
    about = (job.name, job.job_type_id, organization, job.attempt, "replaced")
    _write(logging.INFO, about, "by=%s", on_one_line(actor.name))


def _log(moved: Sequence[Moved], loudest: int = logging.CRITICAL) -> None:
    organizations = recent_ids({item.organization_id: item.organization_name for item in moved})
    for item in moved:
        event = item.to_status.lower().replace(" ", "_")
        about = (item.job_id, item.job_type, organizations[item.organization_id], item.attempt, event)
        by, message = on_one_line(item.worker_name or item.actor.name), on_one_line(item.message)
        values = (item.attempt, item.from_status, by, message)
        level, more = min(loudest, _LEVELS[Status(item.to_status)]), {"code": code_of(item.message, "")}
        _write(level, about, "attempt=%s from=%s by=%s %s", *values, error=item.error, more=more)


def refused(claimed: Claimed, error: BaseException) -> None:
    """Log the error of an attempt that lost its job meanwhile, so that the error changed nothing."""
    about = (claimed.job_id, claimed.job_type, claimed.organization, claimed.attempt, "end_refused")
    _write(logging.WARNING, about, "attempt=%s", claimed.attempt, error=error)


def _write(
    level: int,
    about: tuple[str, str, str, int, str],
    rest: str,
    *values: object,
    error: BaseException | None = None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Log an event. Its text is constant, because error trackers group records by their text."""
    job_id, job_type, organization, _, event = about
    text = f"job_id=%s event={event} job_type=%s organization=%s {rest}"
    names = (job_id, job_type, on_one_line(organization))
    logger.log(level, text, *names, *values, exc_info=error, extra={**dict(zip(FIELDS, about, strict=True)), **more})


def on_one_line(text: str) -> str:
    """Return the text with control characters escaped, so that no error's text looks like another log line."""
    if text.isprintable():
        return text
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
