"""Calling the receivers of signals, so that neither their errors nor their slowness harm jobs.

By default receivers are called at once, in the thread that changed the job. A process whose threads run jobs or renew
leases calls :func:`work_in_background` first; then a thread of its own calls the receivers.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from django.db import close_old_connections, reset_queries
from django.dispatch import Signal

from django_jobs.exceptions import Interruption
from django_jobs.models import Job
from django_jobs.values import JobStatus

logger = logging.getLogger("django_jobs")

#: What waits to be told: a signal with its facts, or a call that sends signals of its own.
Told = tuple[Signal, JobStatus, dict[str, Any]] | Callable[[], object]
#: How many signals wait in the background. Further ones are dropped.
MAX_WAITING = 10_000
DRAIN_SECONDS = 5.0


def deliver(signal: Signal, status: JobStatus, **facts: Any) -> None:
    """Call the signal's receivers, at once or in the background. They get the ``facts`` beside the status."""
    if _background is None:
        _send(signal, status, facts)
    else:
        _background.put((signal, status, facts))


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


def _send(signal: Signal, status: JobStatus, facts: dict[str, Any]) -> None:
    try:
        answers = signal.send_robust(sender=Job, status=status, **facts)
    except Interruption as error:  # raised by a receiver: it must not be taken for one of the handler
        _complain(status, "unknown", error)
        return
    for receiver, answer in answers:
        if isinstance(answer, Exception):
            _complain(status, getattr(receiver, "__qualname__", repr(receiver)), answer)


def _complain(status: JobStatus | None, receiver: str, error: BaseException) -> None:
    job_id = "" if status is None else status.job_id
    logger.error("event=receiver_failed job_id=%s receiver=%s", job_id, receiver, exc_info=error)


class _Background:
    """A thread that calls receivers. It starts with the first signal.

    It uses ``SimpleQueue``, because a handler's thread that is interrupted inside ``put`` leaves no lock behind.
    """

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Told] = SimpleQueue()
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._dropping = False

    def put(self, told: Told) -> None:
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
                    _send(*item)
            except BaseException as error:  # noqa: BLE001  (not even a receiver's SystemExit ends this thread)
                _complain(None if callable(item) else item[1], "unknown", error)
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
