"""Diagnostics of what waits: whether jobs wait for long that nothing holds back, while workers of their pool are free.

A busy system looks neglected for moments: between the end of a job and the start of the next one a slot and a place
are free, and a rate lets one more go before the scheduler comes to it. So what one look finds counts only if a second
one finds it too, and nothing has moved between them.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from django.db.models import Count

from django_jobs import pools
from django_jobs.engine.dispatch.window import live_workers
from django_jobs.engine.insight.findings import OK, PROBLEM, Finding
from django_jobs.engine.insight.inspection import jobs
from django_jobs.engine.insight.neglected_jobs import Place, count_neglected
from django_jobs.engine.ports import Queue
from django_jobs.engine.store import database
from django_jobs.models import ExecutionLog, Worker
from django_jobs.statuses import Status
from django_jobs.texts import Text, say

SUBJECT: Final = "waiting jobs"
#: Seconds. If a due job waits longer while workers are free, something is wrong.
STUCK_SECONDS: Final = 60
#: Seconds between two looks. In less, a scheduler makes two ticks as a rule.
PAUSE_SECONDS: Final = 2.5
#: Of what started between them so many entries of the history are read, the newest.
MAX_STARTS: Final = 5_000
#: What to do.
LOOK: Final = "Look at the workers' logs, and whether RQ is suspended (`rq resume`)."
START: Final = "Start workers."


class Slots(NamedTuple):
    """A live worker process: the queues that it serves, how many slots it has, and how many jobs it runs."""

    queues: frozenset[Queue]
    total: int
    running: int

    @property
    def free(self) -> int:
        """How many slots have nothing to do. A worker may have claimed more jobs than it runs at once."""
        return max(0, self.total - self.running)


def examine_waiting(workers: Sequence[Worker]) -> Finding:
    """Report jobs that wait too long, unless workers of their pool are busy or something holds the jobs back.

    ``workers`` are those that live. Take PAUSE_SECONDS longer where there is something to report.
    """
    slots = read_slots(workers)
    first = look_for_neglected(slots)
    if not first:
        return Finding(level=OK, subject=SUBJECT, text=_nothing(slots))
    last = newest_entry()
    time.sleep(PAUSE_SECONDS)
    slots = read_slots(live_workers())
    again = {place: count for place, count in look_for_neglected(slots).items() if place in first}
    started = Started(last)
    stuck = {place: count for place, count in again.items() if not started.is_moving(place, slots)}
    if not stuck:
        return Finding(level=OK, subject=SUBJECT, text=_nothing(slots))
    return Finding(level=PROBLEM, subject=SUBJECT, text=_tell(stuck, slots))


def read_slots(workers: Sequence[Worker]) -> list[Slots]:
    """Return the queues and slots of these live workers, and how many jobs each runs. A quiet one has no slot."""
    known = pools.named()
    running = jobs().filter(status=Status.RUNNING, worker_name__in=[worker.pk for worker in workers])
    counts = dict(running.values_list("worker_name").annotate(total=Count("pk"))) if workers else {}
    return [
        Slots(
            pools.served_by(worker.queues.split(","), known),
            worker.slots if worker.quiet_since is None else 0,
            counts.get(worker.pk, 0),
        )
        for worker in workers
    ]


def look_for_neglected(slots: Sequence[Slots], seconds: float = STUCK_SECONDS) -> Counter[Place]:
    """Count what is neglected for so long, for the queues of which no worker is known, or one has a free slot."""
    known = frozenset().union(*(item.queues for item in slots))
    free = frozenset().union(*(item.queues for item in slots if item.free))
    queues = [queue for queue in pools.all_queues() if queue in free or queue not in known]
    since = database.now() - dt.timedelta(seconds=seconds)
    return count_neglected(since, queues) if queues else Counter()


def newest_entry() -> int:
    """Return the key of the newest entry of the history; 0 where it is empty."""
    return ExecutionLog.primary.order_by("-pk").values_list("pk", flat=True).first() or 0


class Started:
    """What started between the looks, by the history: the newest MAX_STARTS attempts."""

    def __init__(self, last: int) -> None:
        """Read what started behind an entry of the history."""
        rows = ExecutionLog.primary.filter(pk__gt=last, to_status=Status.RUNNING).order_by("-pk")
        kinds = list(rows.values_list("job__job_type_id", "job__job_type__pool")[:MAX_STARTS])
        self._types = {name for name, _ in kinds}
        self._pools = Counter(pool for _, pool in kinds)

    def is_moving(self, place: Place, slots: Sequence[Slots]) -> bool:
        """Return whether the type moved, or its pool turned over all its slots, which are free for moments only."""
        total = sum(item.total for item in slots if pools.of_pool(item.queues, place.queue.pool))
        return place.job_type in self._types or 0 < total <= self._pools[place.queue.pool]


def _nothing(slots: Sequence[Slots]) -> Text:
    if slots and not any(item.free for item in slots):
        return say("all %(slots)d slots are busy.", code="all_busy", slots=sum(item.total for item in slots))
    return say("none that a free worker should have taken.", code="none")


def _tell(stuck: Mapping[Place, int], slots: Sequence[Slots]) -> Text:
    """Say how many jobs of which pools wait, and what to do."""
    told: list[Text] = []
    advice: list[str] = []
    for pool in pools.names():
        of_pool = {place: count for place, count in stuck.items() if place.queue.pool == pool}
        if of_pool:
            queues = {place.queue for place in of_pool}
            mine = [item for item in slots if not queues.isdisjoint(item.queues)]
            free, total = sum(item.free for item in mine), sum(item.total for item in mine)
            told.append(
                say(
                    "%(jobs)d or more%(of_pool)s were due more than %(seconds)d s ago, and slots are free: %(free)d of "
                    "%(total)d.",
                    of_pool=f" of pool {pool}" if pools.configured() else "",
                    pool=pool,
                    jobs=sum(of_pool.values()),
                    free=free,
                    total=total,
                    seconds=STUCK_SECONDS,
                )
            )
            advice.append(LOOK if mine else START)
    facts = [{name: item.values[name] for name in ("pool", "jobs", "free", "total")} for item in told]
    text = " ".join([*told, *dict.fromkeys(advice)])
    return say("%(text)s", code="neglected", text=text, pools=facts)
