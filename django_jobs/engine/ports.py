"""What the engine needs of a broker and of whoever tells the world, so that it imports neither."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from django.utils.module_loading import import_string

from django_jobs.models.job import format_job_id, parse_job_id

#: Only the canonical spelling is a ticket, and no database holds a larger attempt: whoever may write to the broker
#: may write anything there.
_ATTEMPT: Final = re.compile(r"[1-9]\d{0,9}\Z", re.ASCII)
MAX_ATTEMPT: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to claim one attempt of a job; ``attempt`` is the number that the claim will give."""

    pk: int
    year: int
    attempt: int
    priority: int

    @property
    def id(self) -> str:
        """The RQ job id."""
        return f"{format_job_id(self.pk, self.year)}-{self.attempt}"

    @classmethod
    def parse(cls, text: str, priority: int) -> Ticket | None:
        """The ticket with this RQ job id; None for one that is not ours."""
        job_id, _, attempt = text.rpartition("-")
        parsed = parse_job_id(job_id)
        if parsed is None or not _ATTEMPT.match(attempt) or int(attempt) > MAX_ATTEMPT:
            return None
        return cls(parsed[0], parsed[1], int(attempt), priority)


@dataclass(frozen=True, slots=True)
class SetAside:
    """Entries that were no tickets of ours and were set aside.

    ``count`` is how many are remembered; ``is_capped`` says that there were more. ``newest`` are the ids of some.
    """

    count: int = 0
    is_capped: bool = False
    newest: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.count:,}{'+' if self.is_capped else ''}"


@dataclass(frozen=True, slots=True)
class Look:
    """A glance at the broker: how many tickets wait, by priority, and how often its bell was rung."""

    depths: dict[int, int]
    rings: int


class Broker(Protocol):
    """A place where tickets wait. Every method raises BrokerUnavailable when it cannot be reached in time."""

    def push(self, tickets: Sequence[Ticket], *, front: bool = False) -> None:
        """Add tickets to their priorities' queues."""

    def look(self) -> Look:
        """What waits, and the bell's count."""

    def ring(self) -> None:
        """Ring the bell: whoever dispatches now is to look at the backlog once more."""

    def depths(self) -> dict[int, int]:
        """How many tickets wait, by priority."""

    def waiting_ids(self) -> set[str]:
        """The ids of all tickets that wait."""

    def installation(self) -> str | None:
        """The installation that this broker's data belong to; None when it has been emptied."""

    def mark(self, installation: str) -> bool:
        """Claim an unmarked broker for an installation; False when another one has it."""

    def request_cancel(self, worker_name: str, job_ids: Iterable[str]) -> None:
        """Tell a worker to look at the cancellation of these jobs. A hint: it may get lost."""

    def eviction_policy(self) -> str:
        """Redis's ``maxmemory-policy``; an empty text where it may not be asked."""

    def foreign_ids(self) -> list[str]:
        """The ids of what waits in our queues and is no ticket of ours."""

    def set_aside(self) -> SetAside:
        """What workers found in our queues that was no ticket of ours, and did not run."""


_current: list[Broker] = []


def get_broker() -> Broker:
    """The broker of this process."""
    if not _current:
        _current.append(import_string("django_jobs.broker.RQBroker")())
    return _current[0]


@contextlib.contextmanager
def broker_in_place(broker: Broker) -> Iterator[None]:
    """Another broker for a while; then the one before, which need not have been looked for yet."""
    before = list(_current)
    _current[:] = [broker]
    try:
        yield
    finally:
        _current[:] = before


def use_broker(broker: Broker | None) -> None:
    """Put another broker in place, for tests; None brings the real one back."""
    _current[:] = [] if broker is None else [broker]


class Broadcaster(Protocol):
    """Tells live pages that something happened. Best effort: no method waits, raises or touches the database."""

    def changed(self, changes: Sequence[tuple[Any, int, int]]) -> None:
        """These changes of status are committed: (organization's key, Execution Log id, job's key) of each."""

    def updated(self, kind: str, organizations: Mapping[int, Any]) -> None:
        """Something else about these jobs is committed, such as "progress"; their organizations' keys by the jobs'."""

    def drain(self, timeout: float) -> None:
        """Send what waits, for so many seconds at most: the process is about to end."""


_broadcaster: list[Broadcaster] = []


def get_broadcaster() -> Broadcaster | None:
    """Who tells live pages; None where the host has none."""
    return _broadcaster[0] if _broadcaster else None


def use_broadcaster(broadcaster: Broadcaster | None) -> None:
    """Have live pages told by this one from now on, or by nobody."""
    _broadcaster[:] = [] if broadcaster is None else [broadcaster]


def drain_broadcasts(timeout: float = 1.0) -> None:
    """Let what waits to be told out before the process ends."""
    if (broadcaster := get_broadcaster()) is not None:
        broadcaster.drain(timeout)
