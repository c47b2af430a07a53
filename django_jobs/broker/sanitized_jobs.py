"""RQ's job objects for the entries of our queues, which execute nothing that is written in Redis.

RQ unpickles a job's arguments, metadata and results, and imports the functions that its hash names, in every process
that looks at it: a worker, a page of django-rq, a command. With an entry of our queues it does none of that. Of the
entry's hash only times, names and the status are read, and each of them only where its value is a valid one.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from rq.job import Job as RQJob
from rq.job import JobStatus
from rq.serializers import DefaultSerializer
from rq.utils import str_to_date

from django_jobs.broker import foreign_entries, tickets

#: Shown instead of what is not read.
UNREAD: Final = "(not read: it is no ticket of django_jobs)"
MAX_TEXT_BYTES: Final = 500


class WriteOnlySerializer:
    """Writes as RQ does by default, and reads nothing."""

    @staticmethod
    def dumps(value: Any) -> bytes:
        return bytes(DefaultSerializer.dumps(value))

    @staticmethod
    def loads(_: bytes) -> Any:
        return UNREAD


class SanitizedJob:
    """Mixed into the RQ job class of an entry of ours, so that it shows no code and no results."""

    def results(self) -> list[Any]:
        return []

    def latest_result(self, timeout: int = 0) -> None:
        return None

    def return_value(self, refresh: bool = False) -> None:
        return None

    def get_meta(self, refresh: bool = True) -> dict[str, Any]:
        return {}

    def _fetch_status(self) -> JobStatus:
        try:
            return JobStatus(super()._fetch_status())  # type: ignore[misc]
        except ValueError:  # it is no status of RQ's, or no text
            return JobStatus.CREATED

    @property
    def exc_info(self) -> None:
        return None

    @property
    def result(self) -> None:
        return None


def restore_sanitized(job: RQJob, raw: Mapping[Any, Any], restore: Callable[[RQJob, Any], Any]) -> None:
    """Restore an RQ job from its hash without anything that could be executed; ``restore`` is RQ's own method.

    A ticket then calls the one function that all our tickets call, and anything else a name that cannot be imported.
    """
    job.__class__ = _sanitized_class(cast("Any", type(job)))
    job.serializer = WriteOnlySerializer
    restore(job, _readable(raw))
    job.func_name = UNREAD if foreign_entries.is_foreign(job.id) else tickets.ENTRY
    job.instance, job.args, job.kwargs = None, [], {}
    job.description = job.func_name
    job.timeout, job.result_ttl = -1, 0
    job.enqueued_at = job.enqueued_at or job.created_at  # django-rq's pages expect that everything has one


@functools.cache
def _sanitized_class(kind: Any) -> Any:
    return kind if issubclass(kind, SanitizedJob) else type(kind.__name__, (SanitizedJob, kind), {})


def _readable(raw: Mapping[Any, Any]) -> dict[bytes, bytes]:
    """Return the fields of the hash that may be read. Without ``data`` there is no job, as RQ itself then says."""
    given = {key: value for key, value in raw.items() if isinstance(key, bytes) and isinstance(value, bytes)}
    kept = {name: given[name] for name, is_fine in _READ.items() if name in given and _passes(is_fine, given[name])}
    return {**kept, **({b"data": tickets.DATA} if b"data" in given else {})}


def _passes(is_fine: Callable[[bytes], object], value: bytes) -> bool:
    if len(value) > MAX_TEXT_BYTES:
        return False
    with contextlib.suppress(ValueError, OverflowError):
        is_fine(value)
        return True
    return False


_READ: Final[dict[bytes, Callable[[bytes], object]]] = {
    **dict.fromkeys((b"created_at", b"enqueued_at", b"started_at", b"ended_at", b"last_heartbeat"), str_to_date),
    **dict.fromkeys((b"origin", b"worker_name"), bytes.decode),
    b"status": lambda value: JobStatus(value.decode()),
}
