"""What engine and workers need of a broker, and of whoever tells live pages, so that they import neither."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL
from django_jobs.models.job import format_job_id, parse_job_id

# What engine and workers need of a broker, so that they do not import it.
#
# Another broker is another package with a class that has :class:`Broker`'s methods, and one that has
# :class:`Consumer`'s. ``tests/integration/broker/test_port.py`` says, method by method, what they must do.


#: Whoever may write to the broker may write anything there. Only the canonical spelling of an attempt makes a ticket,
#: and no database holds a greater one.
_ATTEMPT: Final = re.compile(r"[1-9]\d{0,9}\Z", re.ASCII)
MAX_ATTEMPT: Final = 2**31 - 1

#: Where tickets wait: those of one priority, for the workers of one pool.
Queue: TypeAlias = pools.Queue


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to claim one attempt of a job; ``attempt`` is the number that the claim will give.

    It is void in the queues of a pool that is not the one of the job's type.
    """

    pk: int
    year: int
    attempt: int
    priority: int
    pool: str = DEFAULT_POOL

    @property
    def queue(self) -> Queue:
        """The queue that it is for, or was taken from."""
        return Queue(self.pool, self.priority)

    @property
    def id(self) -> str:
        """The id under which it waits at the broker; with RQ the id of the RQ job."""
        return f"{format_job_id(self.pk, self.year)}-{self.attempt}"

    @classmethod
    def parse(cls, text: str, priority: int, pool: str = DEFAULT_POOL) -> Ticket | None:
        """Return the ticket with this id, which lay in that queue; None where the id is not one of ours."""
        job_id, _, attempt = text.rpartition("-")
        parsed = parse_job_id(job_id)
        if parsed is None or not _ATTEMPT.match(attempt) or int(attempt) > MAX_ATTEMPT:
            return None
        return cls(parsed[0], parsed[1], int(attempt), priority, pool)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a worker took from its queues; the tickets come in order, the most urgent first."""

    tickets: Sequence[Ticket] = ()
    foreign: Sequence[ForeignEntry] = ()

    def __len__(self) -> int:
        return len(self.tickets) + len(self.foreign)


@dataclass(frozen=True, slots=True)
class RunningTicket:
    """A ticket whose job runs in a worker; ``started`` is in seconds since the epoch."""

    ticket: Ticket
    started: float


@dataclass(frozen=True, slots=True)
class BrokerState:
    """What a dispatcher reads of the broker: how many entries wait, by queue, and how often its bell was rung."""

    depths: dict[Queue, int]
    rings: int


class Broker(Protocol):
    """A place where tickets wait. Every method raises BrokerUnavailable when the broker does not answer in time."""

    def push(self, tickets: Sequence[Ticket], *, front: bool = False) -> None:
        """Add tickets at the back of their queues, or in their order at the front.

        Those of a pool that is not configured are left out: it has no queues.
        """

    def disconnect(self) -> None:
        """Close what lines this process has for these calls; the next call opens another. Asks nothing."""

    def failed_just_now(self) -> bool:
        """Return whether this process had no answer a moment ago, so that the next call is likely to fail."""

    def answers_late(self) -> bool:
        """Return whether this process waited long for an answer a moment ago. One in haste asks nothing then."""

    def look(self) -> BrokerState:
        """Return what waits, and the bell's count."""

    def ring(self) -> None:
        """Ring the bell: whoever dispatches now looks at the backlog once more."""

    def lead(self, leader: str, seconds: float, *, rings: bool) -> bool:
        """Ring the bell if ``rings``, and return whether ``leader`` makes the passes for all who ring.

        It does for so many seconds from now, unless somebody else does already.
        """

    def stop_leading(self, leader: str) -> None:
        """Let somebody else take the lead."""

    def depths(self) -> dict[Queue, int]:
        """Return how many entries wait, by queue, of every pool."""

    def call_back(self, queue: Queue, most: int) -> list[Ticket]:
        """Take out the tickets of a queue in which more than ``most`` entries wait, so that no worker gets them.

        Return them in their order. Foreign entries stay.
        """

    def waiting_ids(self) -> dict[str, set[str]]:
        """Return the ids of all that waits, foreign entries included, by the pool in whose queues they wait."""

    def installation(self) -> str | None:
        """Return the installation that this broker's data belong to; None after the broker was emptied."""

    def mark(self, installation: str) -> bool:
        """Claim an unmarked broker for an installation; return False when another one has it."""

    def request_cancel(self, worker_name: str, job_ids: Iterable[str]) -> None:
        """Tell a worker to look at the cancellation of these jobs. A hint: it may get lost."""

    def eviction_policy(self) -> str:
        """Return what the broker drops when its memory is short, in Redis's words; empty where it does not tell."""

    def foreign_ids(self) -> list[str]:
        """Return the sorted ids of the foreign entries that wait in our queues."""

    def set_aside(self) -> SetAside:
        """Return what workers found in our queues that was no ticket of ours, and did not run."""

    def other_workers(self, queues: Sequence[str]) -> Mapping[str, int]:
        """Return how many workers that are not started by ``jobs_worker`` serve each of these queues."""

    def consumer(self, worker_name: str, queues: Sequence[str] = ()) -> Consumer:
        """Return a worker's own access to these queues, in this order; without any, to the default pool's."""


class Consumer(Protocol):
    """One worker process at the broker: it is listed there, hears what it is told, and takes tickets."""

    #: The names of the queues that it takes from, the first one first.
    queues: Sequence[str]

    def announce(self) -> None:
        """Appear in the broker's list of workers. Raises BrokerUnavailable."""

    def listen(self, on_cancel: Callable[[list[str]], None], on_shutdown: Callable[[], None]) -> None:
        """Call these, from another thread, at a hint to cancel (job ids) and at an order to leave.

        Raises BrokerUnavailable.
        """

    def beat(self, running: Sequence[RunningTicket]) -> None:
        """Say that the worker lives and what it runs; appear anew where the broker has forgotten it. Never raises."""

    def leave(self, done: Sequence[Ticket] = ()) -> None:
        """Disappear from the broker's list, and clear away what is left of the tickets ``done``. Never raises."""

    def take(self, count: int, done: Sequence[Ticket] = ()) -> Taken:
        """Take up to ``count`` entries and wait up to two seconds for the first; nothing while workers are suspended.

        ``done`` are tickets taken before, of which nothing need be kept. Raises BrokerUnavailable.
        """

    def take_now(self, count: int, done: Sequence[Ticket] = ()) -> Taken:
        """Take up to ``count`` entries and wait for none. Raises WorkersSuspended, or BrokerUnavailable."""

    def wake(self) -> None:
        """End a wait of :meth:`take`, from another thread. Never raises, and loses no ticket."""

    def push_again(self, taken: Taken) -> None:
        """Return entries to the front of their queues. Never raises; what is lost is found missing and issued again."""

    def handle_foreign(self, entries: Sequence[ForeignEntry]) -> None:
        """Run foreign entries by the broker's own means where ``FOREIGN_RQ_JOBS`` says so, else set them aside."""


_current: list[Broker] = []
_makers: list[Callable[[], Broker]] = []


def register_broker(make: Callable[[], Broker]) -> None:
    """Have ``make`` called when this process needs its broker for the first time. The broker's package does this."""
    _makers[:] = [make]


def get_broker() -> Broker:
    """Return the broker of this process."""
    if not _current:
        _current.append(_makers[0]())
    return _current[0]


@contextlib.contextmanager
def broker_in_place(broker: Broker) -> Iterator[None]:
    """Use another broker inside the block, and after it the one before."""
    # None is in place yet where nobody asked for one.
    before = list(_current)
    _current[:] = [broker]
    try:
        yield
    finally:
        _current[:] = before


def use_broker(broker: Broker | None) -> None:
    """Put another broker in place, for tests; None brings the real one back."""
    _current[:] = [] if broker is None else [broker]


# What waits in our queues at a broker and is no ticket of ours.


@dataclass(frozen=True, slots=True)
class ForeignEntry:
    """Something that waited in one of our queues and is no ticket of ours."""

    queue: str
    id: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """Foreign entries that workers set aside.

    ``count`` is how many are remembered; ``is_capped`` says that there were more. ``newest`` are the ids of some.
    """

    count: int = 0
    is_capped: bool = False
    newest: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.count:,}{'+' if self.is_capped else ''}"


# What engine and workers need of whoever tells live pages, so that they do not import it.


class Broadcaster(Protocol):
    """Tells live pages what happened. Best effort: no method waits, raises or touches the database."""

    def load(self) -> None:
        """Import what the first notification would import. Opens nothing, since a copy of the process may follow."""

    def changed(self, changes: Sequence[tuple[Any, int, int]]) -> None:
        """Tell of committed changes of status: (organization's key, Execution Log id, job's key) of each."""

    def updated(self, kind: str, organizations: Mapping[int, Any]) -> None:
        """Tell of another committed change: the organization's key by the job's key.

        ``kind`` is "progress" of jobs, or "batch", where the keys are those of batches.
        """

    def drain(self, timeout: float) -> None:
        """Send what waits, for at most ``timeout`` seconds, before the process ends."""


_broadcaster: list[Broadcaster] = []


def get_broadcaster() -> Broadcaster | None:
    """Return who tells live pages; None where the host has none."""
    return _broadcaster[0] if _broadcaster else None


def use_broadcaster(broadcaster: Broadcaster | None) -> None:
    """Put who tells live pages in place; None for nobody."""
    _broadcaster[:] = [] if broadcaster is None else [broadcaster]


def drain_broadcasts(timeout: float = 1.0) -> None:
    """Send what live pages have not been told yet, for at most ``timeout`` seconds, before the process ends."""
    if (broadcaster := get_broadcaster()) is not None:
        broadcaster.drain(timeout)
