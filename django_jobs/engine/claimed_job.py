"""The job that this process has claimed, and the one whose handler runs in this context.

The context is that of the handler's thread or event loop, and of what they start with a copy of it. A bare
``threading.Thread`` or executor copies no context, so no job is known there.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django_jobs.engine import uptime
from django_jobs.engine.ports import Ticket
from django_jobs.engine.store import database

if TYPE_CHECKING:
    from django_jobs.engine.log_lines import LineBuffer

Handler = Callable[[Any], Any]


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
    #: So many of the attempts before this one are known to have saved no file, from the first one on.
    fileless_attempts: int = 0
    #: How many failures open the breaker of its type; 0: it has none.
    breaker_failures: int = 0
    #: Whether its end may let another job start, by a limit of its type.
    is_limited: bool = False
    owner_id: Any = None
    owner_name: str = ""
    given_back: GivenBack = field(default_factory=GivenBack)
    #: The handler must begin before this moment of the monotonic clock; None: at any time.
    starts_before: float | None = None
    #: A moment before the claim, on the clock of ``engine.uptime``: its lease lasts at least from then on.
    claimed_at: float = field(default_factory=uptime.seconds)
    #: Which of the sets that its process claimed it belongs to; 0: the process does not number them.
    set_number: int = 0
    #: Whether somebody canceled it while it waited for a slot, so that it must not begin.
    is_canceled: bool = False
    #: What interrupted its handler, if anything did; a coroutine itself meets nothing but a cancellation.
    interruption: Callable[[], type[BaseException] | None] = lambda: None
    #: Masks the sensitive values that its parameters had before its handler began, in texts.
    mask: Callable[[str], str] = str
    #: What its handler writes to the log; None where that is not kept.
    log_lines: LineBuffer | None = None
    #: What observers want called at its end (``engine.observers``).
    observed: Sequence[Callable[[Any], object]] = ()


current_job: contextvars.ContextVar[Claimed | None] = contextvars.ContextVar("django_jobs_current_job", default=None)
