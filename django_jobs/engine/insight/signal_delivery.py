"""Calling the receivers of signals, so that neither their errors nor their slowness harm jobs.

By default receivers are called at once, in the thread that changed the job. A process whose threads run jobs or renew
leases calls :func:`work_in_background` first; then a thread of its own calls the receivers.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeAlias

from django.db import close_old_connections, reset_queries
from django.db.models import Model
from django.dispatch import Signal

from django_jobs.exceptions import Interruption
from django_jobs.models import Job
from django_jobs.signals import worker_process_started
from django_jobs.values import JobStatus

logger = logging.getLogger("django_jobs")

#: How many signals wait in the background. Further ones are dropped.
MAX_WAITING = 10_000
DRAIN_SECONDS = 5.0


class _Told(NamedTuple):
    """A signal, its sender, by which words the log names what it is about, and what receivers are told."""

    signal: Signal
    sender: type[Model]
    about: str
    facts: dict[str, Any]


#: What waits to be told: a signal with its facts, or a call that sends signals of its own.
_Waiting: TypeAlias = _Told | Callable[[], object]


def deliver(signal: Signal, status: JobStatus, **facts: Any) -> None:
    """Call the receivers of a job's signal, at once or in the background. They get the ``facts`` beside the status."""
    deliver_about(signal, Job, f"job_id={status.job_id}", status=status, **facts)


def deliver_about(signal: Signal, sender: type[Model], about: str, **facts: Any) -> None:
    """Do the same for a signal of something else; ``about`` names it in the log, as ``alert=7``."""
    told = _Told(signal, sender, about, facts)
    if _background is None:
        _send(told)
    else:
        _background.put(told)


def call(function: Callable[[], object]) -> None:
    """Call what sends signals of its own, at once or in the background. Its errors are logged."""
    if _background is None:
        _call(function)
    else:
        _background.put(function)


def _call(function: Callable[[], object]) -> None:
    try:
        function()
    except (Exception, Interruption) as error:  # noqa: BLE001  (receivers must not harm jobs)
        _complain(None, "unknown", error)


def _send(told: _Told) -> None:
    try:
        answers = told.signal.send_robust(sender=told.sender, **told.facts)
    except Interruption as error:  # raised by a receiver: it must not be taken for one of the handler
        _complain(told, "unknown", error)
        return
    for receiver, answer in answers:
        if isinstance(answer, Exception):
            _complain(told, getattr(receiver, "__qualname__", repr(receiver)), answer)


def _complain(told: _Told | None, receiver: str, error: BaseException) -> None:
    about = "about=tasks" if told is None else told.about
    logger.error("event=receiver_failed %s receiver=%s", about, receiver, exc_info=error)


class _Background:
    """A thread that calls receivers. It starts with the first signal.

    It uses ``SimpleQueue``, because a handler's thread that is interrupted inside ``put`` leaves no lock behind.
    """

    def __init__(self) -> None:
        self._waiting: SimpleQueue[_Waiting] = SimpleQueue()
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._dropping = False

    def put(self, told: _Waiting) -> None:
        if self._waiting.qsize() >= MAX_WAITING:
            if not self._dropping:
                self._dropping = True
                logger.warning("event=signals_dropped waiting=%s", MAX_WAITING)
            return
        self._dropping = False
        self._waiting.put(told)
        if self._thread is None:
            self._start()

    def drain(self, timeout: float) -> None:
        if self._thread is None:
            return
        done = threading.Event()
        self._waiting.put(done.set)
        done.wait(timeout)

    def _start(self) -> None:
        with self._start_lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="signals", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            item = self._waiting.get()
            try:
                if callable(item):
                    item()
                else:
                    _send(item)
            except BaseException as error:  # noqa: BLE001  (not even a receiver's SystemExit ends this thread)
                _complain(None if callable(item) else item, "unknown", error)
            del item  # an error in it would keep its frames alive
            reset_queries()
            close_old_connections()


_background: _Background | None = None


def work_in_background() -> None:
    """Call receivers in a background thread from now on. Nothing waits for it."""
    global _background  # noqa: PLW0603  (a process's way of working)
    _background = _background or _Background()


def stop(timeout: float = DRAIN_SECONDS) -> None:
    """Deliver what still waits, for at most ``timeout`` seconds. From now on call receivers at once again."""
    global _background
    background, _background = _background, None
    if background is not None:
        background.drain(timeout)


def tell_process_started(kind: str) -> None:
    """Call the receivers of ``worker_process_started``, at once. An error of one is logged."""
    for receiver, answer in worker_process_started.send_robust(sender=None, kind=kind):
        if isinstance(answer, Exception):
            name = getattr(receiver, "__qualname__", repr(receiver))
            logger.error("event=receiver_failed process=%s receiver=%s", kind, name, exc_info=answer)
