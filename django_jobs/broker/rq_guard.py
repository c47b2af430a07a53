"""Keeps RQ and django-rq, wherever they run in this project, from executing what is written in our queues.

RQ has no setting for that: its registries and workers unpickle whatever their queues' entries hold, and django-rq's
pages and commands make such objects by name. So the few places through which all of it passes are wrapped, once, when
the project's apps are ready. Queues of the host's own stay as they are, and so do ours where ``FOREIGN_RQ_JOBS`` is
``"run"``; only tickets are inert there too.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import redis
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job as RQJob
from rq.queue import Queue as RQQueue
from rq.registry import BaseRegistry, ScheduledJobRegistry
from rq.utils import now
from rq.worker import BaseWorker

from django_jobs.broker import strangers, tickets
from django_jobs.broker.inert import InertSerializer, make_inert
from django_jobs.conf import jobs_settings

logger = logging.getLogger("django_jobs")

_GUARDED: Final = "guarded_by_django_jobs"
_inert: Final[contextvars.ContextVar[bool]] = contextvars.ContextVar("django_jobs_inert", default=False)


def guards(queue: str) -> bool:
    """Whether nothing of this queue's entries is to be executed."""
    return queue in jobs_settings.QUEUES.values() and not strangers.are_run()


@contextlib.contextmanager
def all_inert() -> Iterator[None]:
    """Whatever RQ reads meanwhile is inert, in whatever queue it lies."""
    token = _inert.set(True)
    try:
        yield
    finally:
        _inert.reset(token)


def install() -> None:
    """Wrap what RQ reads our queues by; once in a process."""
    if hasattr(RQJob.restore, _GUARDED):
        return
    _wrap(RQJob, "restore", _restore)
    _wrap(RQQueue, "__init__", _mark_by_name)
    _wrap(BaseRegistry, "__init__", _mark_by_name)
    _wrap(BaseWorker, "get_current_job", _get_current_job)
    _wrap(BaseWorker, "run_maintenance_tasks", _run_maintenance_tasks)
    _wrap(RQQueue, "lpop", _lpop)
    _wrap(RQQueue, "lmove", _lmove)
    _wrap(ScheduledJobRegistry, "get_jobs_to_schedule", _get_jobs_to_schedule)


def _wrap(owner: type, name: str, make: Callable[[Any], Callable[..., Any]]) -> None:
    original = vars(owner)[name]
    is_classmethod = isinstance(original, classmethod)
    function = original.__func__ if is_classmethod else original
    wrapped = functools.wraps(function)(make(function))
    setattr(wrapped, _GUARDED, True)
    setattr(owner, name, classmethod(wrapped) if is_classmethod else wrapped)


def _restore(original: Callable[..., Any]) -> Callable[..., Any]:
    def restore(self: RQJob, raw_data: Any) -> Any:
        if _inert.get() or self.serializer is InertSerializer or not strangers.is_stranger(self.id):
            return make_inert(self, raw_data, original)
        return original(self, raw_data)

    return restore


def _mark_by_name(original: Callable[..., Any]) -> Callable[..., Any]:
    """A queue or a registry of ours hands its serializer on to every job that it reads."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, **kwargs)
        if guards(getattr(self, "name", "")):
            self.serializer = InertSerializer

    return __init__


def _get_current_job(original: Callable[..., Any]) -> Callable[..., Any]:
    def get_current_job(self: BaseWorker) -> Any:
        if not any(guards(queue.name) for queue in self.queues):
            return original(self)
        with all_inert():
            return original(self)

    return get_current_job


def _run_maintenance_tasks(original: Callable[..., Any]) -> Callable[..., Any]:
    """RQ tidies up its registries and groups; a worker must not end because of what somebody wrote there."""

    def run_maintenance_tasks(self: BaseWorker) -> None:
        try:
            original(self)
        except (redis.ConnectionError, redis.TimeoutError, OSError):
            raise
        except Exception as error:
            if not any(guards(queue.name) for queue in self.queues):
                raise
            logger.warning("event=rq_maintenance_failed worker=%s error=%r", self.name, error)
            setattr(self, "last_cleaned_at", now())  # noqa: B010  (RQ types it as None)

    return run_maintenance_tasks


def _lpop(original: Callable[..., Any]) -> Callable[..., Any]:
    """What a plain ``rqworker`` pops of our queues is a ticket."""

    def lpop(cls: type[RQQueue], queue_keys: Sequence[str], timeout: int | None, connection: Any = None) -> Any:
        while (found := original(cls, queue_keys, timeout, connection=connection)) is not None:
            if not (stranger := _stranger(*found)):
                return found
            strangers.set_aside(connection, [stranger])
        return None

    return lpop


def _lmove(original: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a worker of a single queue, which notes what it pops in a second list."""

    def lmove(cls: type[RQQueue], connection: Any, queue_key: str, timeout: int | None) -> Any:
        while (found := original(cls, connection, queue_key, timeout)) is not None:
            if not (stranger := _stranger(*found)):
                return found
            connection.lrem(IntermediateQueue.get_intermediate_queue_key(queue_key), 1, found[1])
            strangers.set_aside(connection, [stranger])
        return None

    return lmove


def _get_jobs_to_schedule(original: Callable[..., Any]) -> Callable[..., Any]:
    """RQ's scheduler, which reads them without their queue, finds nothing of ours: we schedule nothing there."""

    def get_jobs_to_schedule(self: ScheduledJobRegistry, *args: Any, **kwargs: Any) -> list[str]:
        return [] if guards(self.name) else list(original(self, *args, **kwargs))

    return get_jobs_to_schedule


def _stranger(queue_key: str | bytes, entry: str | bytes) -> tuple[str, str] | None:
    """(queue, id) of an entry that must not be run."""
    key = queue_key if isinstance(queue_key, str) else tickets.as_id(queue_key)
    entry_id = entry if isinstance(entry, str) else tickets.as_id(entry)
    queue = key.removeprefix(RQQueue.redis_queue_namespace_prefix)
    return (queue, entry_id) if guards(queue) and strangers.is_stranger(entry_id) else None
