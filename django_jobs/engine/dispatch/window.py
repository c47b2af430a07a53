"""The window: how many tickets the broker holds, by what the live workers want and which pool runs a type."""

from __future__ import annotations

import datetime as dt
import functools
import logging
import math
import os
import socket
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Final, TypeAlias

from django.db import Error

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine import timing
from django_jobs.engine.memory import Memory, forgets
from django_jobs.engine.ports import Queue
from django_jobs.engine.store import database
from django_jobs.models import JobType, Worker
from django_jobs.pools import configured

# Which processes of this machine are gone, told by what the kernel says of them. Without Linux's /proc: nobody knows.
#
# A process is told from a later one with the same number by the time at which it started; a machine from its clone, and
# from itself before its last boot, by the boot's random id. Who sees other process numbers (in another container), or
# counts the time since the boot from another moment, is asked nothing.


_PROC: Final = Path("/proc")
#: The fields of /proc/PID/stat behind the command's name: state, number of threads, start in ticks since the boot.
_STATE, _THREADS, _STARTED = 0, 17, 19
_ENDED: Final = frozenset({"Z", "X"})


def machine_of_processes() -> str:
    """Return by what to know whether two processes can judge each other; empty where none can."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        spaces = [
            str((_PROC / "self/ns" / name).readlink())
            for name in ("pid", "time")
            if os.path.lexists(_PROC / "self/ns" / name)
        ]
    except OSError:
        return ""
    return " ".join([boot, *spaces]) if spaces and spaces[0].startswith("pid:") else ""


def describe_processes(*pids: int) -> str:
    """Return these processes as text for :func:`are_processes_gone`; empty where one is not to be seen."""
    found = {pid: _facts(pid) for pid in pids}
    if None in found.values():
        return ""
    return " ".join(f"{pid}@{facts[_STARTED]}" for pid, facts in found.items() if facts)


def are_processes_gone(described: str) -> bool:
    """Return whether it is certain that none of these processes lives any more."""
    return bool(described) and all(_is_gone(*item.split("@")) for item in described.split())


def _is_gone(pid: str, started: str) -> bool:
    try:
        os.kill(int(pid), 0)  # asked of the kernel, since /proc may hide the processes of other users
    except ProcessLookupError:
        return True
    except OSError:  # it is somebody else's
        pass
    facts = _facts(int(pid))
    if facts is None:
        return False
    # One that nobody has buried yet is dead, unless threads of it go on.
    return facts[_STARTED] != started or (facts[_STATE] in _ENDED and int(facts[_THREADS]) <= 1)


def _facts(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # the command's name, in parentheses, may hold anything


# The workers that live, as each has announced itself.


def announce_worker(
    name: str,
    queues: Sequence[str],
    *,
    slots: int,
    quick_types: Mapping[str, int] | None = None,
    supervisor: str = "",
    supervisor_pid: int | None = None,
    memory: int | None = None,
    quiet_since: dt.datetime | None = None,
) -> None:
    """Say that this process works on ``queues`` with so many slots, and wants as many tickets within reach.

    It wants more of the ``quick_types``, by their names. What this process dispatches counts with it at once; others
    hear of it within a moment. ``memory`` is what it holds in megabytes; since ``quiet_since`` it takes no new jobs.
    ``supervisor_pid`` is the process that looks after it, and ``supervisor`` the name by which that is given orders.
    """
    now = database.now()
    rows = Worker.primary.all()
    told = {"last_seen": now, "quick_types": dict(quick_types or {}), "slots": slots}
    told |= {"memory": memory, "quiet_since": quiet_since}
    if not rows.filter(pk=name).update(**told):
        pids = [os.getpid()] if supervisor_pid is None else [os.getpid(), supervisor_pid]
        new = Worker(
            name=name,
            hostname=socket.gethostname(),
            pid=os.getpid(),
            queues=",".join(queues)[:500],
            place=machine_of_processes(),
            processes=describe_processes(*pids),
            supervisor=supervisor,
            supervisor_pid=supervisor_pid,
            release=_release(),
            started_at=now,
            **told,
        )
        rows.bulk_create([new], ignore_conflicts=True)
    forget_window()


@functools.cache
def _release() -> str:
    """Return this package's release; empty where it is not installed as one."""
    try:
        return metadata.version("django-durable-jobs")[:40]
    except metadata.PackageNotFoundError:
        return ""


def withdraw_worker(name: str) -> None:
    """Take a process off the list, since it leaves or is gone."""
    Worker.primary.filter(pk=name).delete()


def workers_gone_from_here() -> list[Worker]:
    """Return the processes of this machine of which it is certain that they and their supervisors are gone."""
    place = machine_of_processes()
    found = Worker.primary.filter(place=place).order_by("name") if place else []
    return [worker for worker in found if are_processes_gone(worker.processes)]


# Which pool's workers run a job type, as this process remembers it for a second.
#
# What is decided by it may be out of date for so long. Nothing wrong runs for that reason: the claim reads the type
# itself, a ticket in another pool's queue is void there, and the reconciliation issues it in the right one.


logger = logging.getLogger("django_jobs")


#: The pools of the types that do not run in the default one, by database.
_other_pools: Final[Memory[str, Mapping[str, str]]] = Memory(10)


def pool_of(job_type: str) -> str:
    """Return the name of the pool that runs a job type, also of one that is not configured.

    While only the default pool is configured nothing is read, and that is the answer: there the types of other pools
    are found by the statements that read types anyway.
    """
    return _pools().get(job_type, DEFAULT_POOL) if configured() else DEFAULT_POOL


def forget_pools(**_: Any) -> None:
    """Forget it, since this process changed a type. A signal's receiver."""
    _other_pools.clear()


def _pools() -> Mapping[str, str]:
    alias = database.alias()
    known = _other_pools.get(alias)
    if known is None or time.monotonic() >= known.expires:
        try:
            rows = JobType.primary.exclude(pool=DEFAULT_POOL).values_list("pk", "pool")
            return _other_pools.put(alias, dict(rows), timing.POOLS_MEMORY_SECONDS)
        except Error as error:  # what was known is better than a ticket that is not pushed
            logger.warning("event=pools_unread error=%r", error)
    return known.value if known else {}


# How many tickets the broker should hold: what the live workers ask for, each for the queues that it serves.


#: How many tickets of a queue the broker should hold while no worker is known that serves it.
MIN_WINDOW: Final = 8


#: What of a window counts as nothing: a sum of parts of one is no exact number.
ROUNDING: Final = 1e-9
#: A queue that holds so many windows of quick jobs holds far more than was expected.
OVERFULL: Final = 2
#: The tickets of one queue that wait or are about to, counted by organization and job type.
Tickets: TypeAlias = Mapping[tuple[Any, str], int]


@dataclass(slots=True)
class QueueRoom:
    """How many more jobs may go to a queue: at most so many, and each takes its type's part of what is ``free``."""

    most: int
    free: float = math.inf
    sizes: Mapping[str, int] = field(default_factory=dict)
    size: int = 1

    def is_over(self) -> bool:
        """Return whether no more may go."""
        return self.most <= 0 or self.free <= ROUNDING

    def take(self, job_type: str) -> bool:
        """Count one more job; return whether there is room left."""
        self.most -= 1
        self.free -= 1 / self.sizes.get(job_type, self.size)
        return not self.is_over()


@dataclass(frozen=True, slots=True)
class Window:
    """How many tickets the broker should hold, by queue.

    A window is some seconds of work, as the known workers of a queue expect it. ``sizes`` are how many tickets fill it
    of types of which no worker knows that they are quick: one for each slot. ``quick`` has, by type, how many of the
    quick ones do. It holds no more, since a ticket at the broker keeps its place. More urgent jobs, and other tenants',
    would wait behind it. Where no such worker is known, a size is MIN_WINDOW. ``rivals`` are the queues that these
    workers serve as well, of whichever pool; where no worker is known at all, the other queues of its pool. ``served``
    are the queues for which a worker is known.
    """

    sizes: Mapping[Queue, int]
    quick: Mapping[Queue, Mapping[str, int]]
    rivals: Mapping[Queue, frozenset[Queue]]
    served: frozenset[Queue]

    def size(self, queue: Queue, job_type: str) -> int:
        """Return how many tickets of a type fill the window of a queue; 0 for one of a pool that is not configured."""
        return self.quick[queue].get(job_type, self.sizes[queue]) if queue in self.sizes else 0

    def largest(self, queue: Queue) -> int:
        """Return how many tickets the window of a queue may hold, of whatever types."""
        return max([self.sizes[queue], *self.quick[queue].values()])

    @property
    def most_at_once(self) -> int:
        """The most jobs that one pass of the dispatcher may queue."""
        return sum(map(self.largest, self.sizes))

    def taken(self, queue: Queue, depths: Mapping[Queue, int]) -> int:
        """Return how many tickets wait, by ``depths``, that its workers take no later than one of this queue."""
        rivals, priority = self.rivals.get(queue, frozenset()), queue.priority
        return sum(count for other, count in depths.items() if other.priority >= priority and other in rivals)

    def is_exactly_full(self, queue: Queue, depths: Mapping[Queue, int]) -> bool:
        """Return whether a pass is likely to change nothing: exactly as many tickets wait as may.

        Only a pass knows of which types they are. Of slow ones fewer may wait, and more are called back.
        """
        return queue not in self.sizes or self.taken(queue, depths) == self.largest(queue)

    def room(self, queue: Queue, job_types: Iterable[str], queued: Mapping[Queue, Tickets]) -> QueueRoom:
        """Return how many more jobs of these types may go to a queue; none to one of a pool that is not configured."""
        free = self.free(queue, queued)
        if free <= ROUNDING:
            return QueueRoom(0)
        most = max([self.size(queue, job_type) for job_type in job_types], default=0)
        return QueueRoom(math.ceil(free * most - ROUNDING), free, self.quick[queue], self.sizes[queue])

    def free(self, queue: Queue, queued: Mapping[Queue, Tickets]) -> float:
        """Return how much of a queue's window its workers have left beside what they take no later; 0.0 is nothing."""
        if queue not in self.sizes:
            return 0.0
        rivals, priority = self.rivals[queue], queue.priority
        before = [tickets for other, tickets in queued.items() if other.priority >= priority and other in rivals]
        return 1 - sum(self.parts(queue, tickets) for tickets in before)

    def parts(self, queue: Queue, tickets: Tickets) -> float:
        """Return how much of a queue's window these tickets take; 1.0 is all of it."""
        return sum(count / self.size(queue, job_type) for (_, job_type), count in tickets.items())

    def is_overfull(self, queue: Queue, tickets: Tickets) -> bool:
        """Return whether a queue holds far more work than was expected when its tickets were issued.

        That are OVERFULL windows, or more tickets of types that are not quick than fill one.
        """
        slow = sum(count for (_, job_type), count in tickets.items() if job_type not in self.quick[queue])
        return slow > self.sizes[queue] or self.parts(queue, tickets) > OVERFULL

    def may_be_overfull(self, depths: Mapping[Queue, int]) -> bool:
        """Return whether any queue may hold far more work than was expected, for somebody who knows no types."""
        return any(count > self.sizes.get(queue, 0) for queue, count in depths.items())

    def has_room(
        self, priority: int, share: float, depths: Mapping[Queue, int], in_pools: Collection[str] = ()
    ) -> bool:
        """Return whether less than this share of it may be taken, for this priority or for a lower one, or too much is.

        The lower ones count because other workers may serve them. Only these pools count, where any is named. Too much
        is what a queue holds itself: what goes before that has a window of its own, which may be larger.
        """
        below = [item for item in self.sizes if item.priority <= priority and (not in_pools or item.pool in in_pools)]
        return any(
            self.taken(other, depths) < max(1.0, share * (largest := self.largest(other)))
            or depths.get(other, 0) > largest
            for other in below
        )


_known: tuple[float, Window] | None = None


def read_window(seconds: float = timing.WINDOW_MEMORY_SECONDS) -> Window:
    """Return what the workers ask for, as it was within so many seconds."""
    global _known  # noqa: PLW0603  (a process-wide cache)
    if _known is None or time.monotonic() >= _known[0] + seconds:
        _known = (time.monotonic(), _read())
    return _known[1]


#: The queues for which the broker had no room when somebody looked; and at how many tickets a pass found that.
_full: Final[Memory[Queue, bool]] = Memory(100)
_full_at: Final[Memory[Queue, int]] = Memory(100)


def was_just_full(queue: Queue) -> bool:
    """Return whether the broker had no room for this queue within BROKER_FULL_SECONDS.

    Then its tickets have still to be taken. The worker that takes the last one looks at the backlog again after a
    longer pause than that, so a new job is not overlooked.
    """
    return _full.fresh(queue) is not None


def is_full_still(queue: Queue, taken: int) -> bool:
    """Return whether a pass found no room within WINDOW_MEMORY_SECONDS, and no fewer tickets wait than then."""
    full_at = _full_at.fresh(queue)
    return full_at is not None and taken >= full_at


def note_full(queue: Queue, taken: int | None = None) -> None:
    """Note that the broker has no room for this queue; as a pass found, if it is said how many tickets are taken."""
    _full.put(queue, True, timing.BROKER_FULL_SECONDS)
    if taken is not None:
        _full_at.put(queue, taken, timing.WINDOW_MEMORY_SECONDS)


@forgets
def forget_window() -> None:
    """Forget what the workers asked for and that the broker was full, as a process that has just started."""
    global _known  # noqa: PLW0603
    _known = None
    _full.clear()
    _full_at.clear()


def live_workers() -> list[Worker]:
    """Return the worker processes that were seen within WORKER_GONE_SECONDS, by name."""
    now, fresh = database.now(), dt.timedelta(seconds=timing.WORKER_GONE_SECONDS)
    # Of one that died before the clock was set back, the last sign is still to come.
    return list(Worker.primary.filter(last_seen__range=(now - fresh, now + fresh)).order_by("name"))


def working(workers: Iterable[Worker]) -> list[Worker]:
    """Return those of the workers that take new jobs: the quiet ones take none."""
    return [worker for worker in workers if worker.quiet_since is None]


def _read() -> Window:
    known = pools.named()
    workers = [(pools.served_by(worker.queues.split(","), known), worker) for worker in working(live_workers())]
    sizes, quick, rivals = {}, {}, {}
    for queue in known:
        mine = [(served, worker) for served, worker in workers if queue in served]
        sizes[queue] = sum(worker.slots for _, worker in mine) or MIN_WINDOW
        types = {name for _, worker in mine for name in worker.quick_types}
        quick[queue] = {name: sum(worker.quick_types.get(name, worker.slots) for _, worker in mine) for name in types}
        # Where no worker is known, the next one may serve all queues of the pool.
        around = (served for served, _ in mine) if workers else [pools.of_pool(known, queue.pool)]
        rivals[queue] = frozenset({queue}).union(*around)
    return Window(sizes, quick, rivals, frozenset().union(*(served for served, _ in workers)))
