"""Keeps RQ and django-rq, wherever they run in this project, from executing what is written in our queues.

RQ has no setting for that: its registries and workers unpickle whatever their queues' entries hold, and django-rq's
pages and commands do the same. So the few methods through which all of it passes are wrapped, once, when the project's
apps are ready. The host's own queues stay as they are. So do ours where ``FOREIGN_RQ_JOBS`` is ``"run"``, except that
our tickets are sanitized there too.
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

from django_jobs import pools
from django_jobs.broker import foreign_entries, tickets
from django_jobs.broker.sanitized_jobs import WriteOnlySerializer, restore_sanitized
from django_jobs.engine.foreign_entries import ForeignEntry

logger = logging.getLogger("django_jobs")

_GUARDED: Final = "guarded_by_django_jobs"
_sanitizes_all: Final[contextvars.ContextVar[bool]] = contextvars.ContextVar("django_jobs_sanitizes_all", default=False)


def guards(queue: str) -> bool:
    """Return whether nothing that this queue's entries hold may be executed."""
    return queue in pools.queue_names() and not foreign_entries.are_run()


@contextlib.contextmanager
def all_sanitized() -> Iterator[None]:
    """Sanitize whatever RQ reads inside the block, in whatever queue it lies."""
    token = _sanitizes_all.set(True)
    try:
        yield
    finally:
        _sanitizes_all.reset(token)


def install() -> None:
    """Wrap the methods by which RQ reads our queues; a second call changes nothing."""
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
        if _sanitizes_all.get() or self.serializer is WriteOnlySerializer or not foreign_entries.is_foreign(self.id):
            return restore_sanitized(self, raw_data, original)
        return original(self, raw_data)

    return restore


def _mark_by_name(original: Callable[..., Any]) -> Callable[..., Any]:
    """Give queues and registries of ours a serializer that reads nothing; each job that they read gets it too."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, **kwargs)
        if guards(getattr(self, "name", "")):
            self.serializer = WriteOnlySerializer

    return __init__


def _get_current_job(original: Callable[..., Any]) -> Callable[..., Any]:
    def get_current_job(self: BaseWorker) -> Any:
        if not any(guards(queue.name) for queue in self.queues):
            return original(self)
        with all_sanitized():
            return original(self)

    return get_current_job


def _run_maintenance_tasks(original: Callable[..., Any]) -> Callable[..., Any]:
    """Keep a worker alive when RQ fails at tidying its registries and groups because of what somebody wrote there."""

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
    """Set foreign entries aside, so that a plain ``rqworker`` gets only tickets from our queues, and every one."""

    def lpop(cls: type[RQQueue], queue_keys: Sequence[str], timeout: int | None, connection: Any = None) -> Any:
        while (found := original(cls, queue_keys, timeout, connection=connection)) is not None:
            if not (entry := _foreign(*found)):
                _complete(connection, *found)
                return found
            foreign_entries.set_aside(connection, [entry])
        return None

    return lpop


def _lmove(original: Callable[..., Any]) -> Callable[..., Any]:
    """Do the same for a worker of a single queue, which also keeps in a second list what it pops."""

    def lmove(cls: type[RQQueue], connection: Any, queue_key: str, timeout: int | None) -> Any:
        while (found := original(cls, connection, queue_key, timeout)) is not None:
            if not (entry := _foreign(*found)):
                _complete(connection, *found)
                return found
            connection.lrem(IntermediateQueue.get_intermediate_queue_key(queue_key), 1, found[1])
            foreign_entries.set_aside(connection, [entry])
        return None

    return lmove


def _get_jobs_to_schedule(original: Callable[..., Any]) -> Callable[..., Any]:
    """Hide our queues from RQ's scheduler, which would read jobs without their queue: we schedule nothing there."""

    def get_jobs_to_schedule(self: ScheduledJobRegistry, *args: Any, **kwargs: Any) -> list[str]:
        return [] if guards(self.name) else list(original(self, *args, **kwargs))

    return get_jobs_to_schedule


def _foreign(queue_key: str | bytes, entry: str | bytes) -> ForeignEntry | None:
    """Return the entry if it must not be run."""
    found = _parse(queue_key, entry)
    return found if guards(found.queue) and foreign_entries.is_foreign(found.id) else None


def _complete(connection: Any, queue_key: str | bytes, entry: str | bytes) -> None:
    """Let RQ find the hash of a ticket of ours, of which nothing but the id matters."""
    found = _parse(queue_key, entry)
    if found.queue in pools.queue_names() and not foreign_entries.is_foreign(found.id):
        tickets.complete(connection, found.queue, found.id)


def _parse(queue_key: str | bytes, entry: str | bytes) -> ForeignEntry:
    key = queue_key if isinstance(queue_key, str) else tickets.as_id(queue_key)
    entry_id = entry if isinstance(entry, str) else tickets.as_id(entry)
    return ForeignEntry(key.removeprefix(RQQueue.redis_queue_namespace_prefix), entry_id)
