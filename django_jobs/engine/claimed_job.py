"""The job that this process has claimed, the one whose handler runs in this context, and its name in log records."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import re
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django_jobs.engine.ports import Ticket
from django_jobs.engine.store import database
from django_jobs.engine.store.values import AttemptKey, JobRow

# The job that this process has claimed, and the one whose handler runs in this context.
#
# The context is that of the handler's thread or event loop, and of what they start with a copy of it. A bare
# ``threading.Thread`` or executor copies no context, so no job is known there.


Handler = Callable[[Any], Any]


def uptime_seconds() -> float:
    """Return the seconds since this machine started, with those for which it was suspended where its system tells.

    Leases go by the database's clock, which does not stop while a worker's machine sleeps; ``time.monotonic`` does.
    All processes of a machine have the same such clock.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(slots=True)
class GivenBack:
    """The jobs and batches of earlier attempts that this attempt got back, each with the transaction in which it did.

    None stands for a committed one. What was given back in a transaction that was rolled back may be given back again.
    """

    made: dict[Hashable, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def has(self, key: Hashable, transaction: Any) -> bool:
        """Return whether this was given back in this transaction, or in one that is committed."""
        return key in self.made and self.made[key] in {None, transaction}

    def add(self, key: Hashable, transaction: Any) -> None:
        """Note that this is given back in this transaction; None: outside of one."""
        self.made[key] = transaction
        if transaction is not None:
            database.on_commit(lambda: self.made.update({key: None}))

    def take_back(self, key: Hashable) -> None:
        """Have this given back again: the call that got it was refused."""
        self.made.pop(key, None)


@dataclass(slots=True)
class Claimed:
    """A job that this process may run: one attempt, under a lease."""

    pk: int
    job_id: str
    ticket: Ticket
    job_type: str
    handler: Handler
    organization_pk: Any
    #: The id that the tenant had when this was claimed.
    organization: str
    parameters: Any
    metadata: Any
    attempt: int
    timeout_seconds: int
    #: In whose name it was claimed.
    worker_name: str
    #: Its row as it was before the claim, with what its type says.
    row: JobRow
    given_back: GivenBack = field(default_factory=GivenBack)
    #: A moment before the claim, on the clock of :func:`uptime_seconds`: its lease lasts at least from then on.
    claimed_at: float = field(default_factory=uptime_seconds)
    #: Which of the sets that its process claimed it belongs to; 0: the process does not number them.
    set_number: int = 0
    #: Whether somebody canceled it while it waited for a slot, so that it must not begin.
    is_canceled: bool = False
    #: What interrupted its handler, if anything did; a coroutine itself meets nothing but a cancellation.
    interruption: Callable[[], type[BaseException] | None] = lambda: None
    #: Masks the sensitive values that its parameters had before its handler began, in texts.
    mask: Callable[[str], str] = str
    #: What its handler writes to the log, a ``LineBuffer``; None where that is not kept.
    log_lines: Any = None
    #: What observers want called at its end (``engine.observers``).
    observed: Sequence[Callable[[Any], object]] = ()

    @property
    def key(self) -> AttemptKey:
        """The key of the attempt."""
        return self.pk, self.attempt


current_job: contextvars.ContextVar[Claimed | None] = contextvars.ContextVar("django_jobs_current_job", default=None)


def submitter() -> tuple[int | None, int | None]:
    """Return the job whose handler submits now, and its attempt; two Nones outside handlers."""
    claimed = current_job.get()
    return (None, None) if claimed is None else claimed.key


# Adds the running job to log records, also to those that a handler writes.


_EVENT: Final = re.compile(r"(?:^|\s)event=(\w+)")


class JobFields(logging.Filter):
    """Gives each record ``job_id``, ``job_type``, ``organization``, ``attempt`` and ``event``, unless it has them.

    Only our own records have an ``event``; it is read from their text.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what is missing; every record passes."""
        claimed = current_job.get()
        values = {
            "job_id": claimed.job_id if claimed else "",
            "job_type": claimed.job_type if claimed else "",
            "organization": claimed.organization if claimed else "",
            "attempt": claimed.attempt if claimed else 0,
        }
        for name, value in values.items():
            record.__dict__.setdefault(name, value)
        if "event" not in record.__dict__:
            record.__dict__["event"] = _event_of(record)
        return True


def _event_of(record: logging.LogRecord) -> str:
    event = _EVENT.search(record.getMessage()) if record.name.partition(".")[0] == "django_jobs" else None
    return event[1] if event else ""


def install() -> None:
    """Put the filter on every log handler of this process. A filter on a logger would miss the logger's children."""
    fields = JobFields()
    for handler in _handlers():
        if not any(isinstance(existing, JobFields) for existing in handler.filters):
            handler.addFilter(fields)


def flush() -> None:
    """Have every log handler of this process write what it keeps, before a copy of it would write that too."""
    for handler in _handlers():
        with contextlib.suppress(Exception):  # the handler's next record shows what ails it
            handler.flush()


def _handlers() -> set[logging.Handler]:
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    return {handler for logger in loggers for handler in logger.handlers}
