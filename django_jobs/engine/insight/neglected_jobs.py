"""Which jobs nothing holds back, and which wait for long all the same: tickets that nobody takes, and due jobs.

A waiting job may go where a pass of the dispatcher would queue it at this moment: its queue has room for a ticket, its
type is open and its breaker closed, and neither a limit of the type, nor a rate of starts, nor what its organization
may have in flight is reached.

What is read does not grow with the backlog: the types that wait, hopped over by the index; what is in flight, which the
windows bound; of each queue the lanes of up to PAGES pages (``backlog.pages``: up to 800 lanes each, of up to 100
types); and of each lane that may go its first JOBS_OF_LANE jobs. Types at a limit are not walked, and up to MAX_HOPPED
lanes of full keys and organizations are hopped over; where there are more, they count as looked at. So a number is the
least there is, and where all lanes that were looked at are held, nothing is told of the others.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from django.db.models import Count

from django_jobs.engine.dispatch import backlog, tenant_shares
from django_jobs.engine.dispatch.in_flight import InFlight, count_in_flight
from django_jobs.engine.dispatch.limits import Limits
from django_jobs.engine.dispatch.pass_state import limits_of
from django_jobs.engine.dispatch.window import ROUNDING, read_window
from django_jobs.engine.insight.activity import types_started_since
from django_jobs.engine.insight.breakers import held_types
from django_jobs.engine.insight.inspection import jobs
from django_jobs.engine.ports import Queue
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.head_starts import waits_since
from django_jobs.engine.store.lane_values import ALL_TYPES, Candidate, Lane, LaneBound, Walk
from django_jobs.engine.store.organization_ids import read_tenants
from django_jobs.models import JobType
from django_jobs.statuses import Status

#: Pages of lanes that are looked at for one queue, while nothing is found.
PAGES: Final = 3
#: How many lanes a page has of one type, if there are few types.
LANES_OF_TYPE: Final = 100
#: The same of a look that is brief.
FEW_LANES_OF_TYPE: Final = 4
#: How many full lanes a walk may pass beside those of its pages: on some databases each takes a statement.
MAX_HOPPED: Final = 2_000
#: How many jobs of a lane are looked at, and of how many lanes in one statement.
JOBS_OF_LANE: Final = 10
LANES_AT_ONCE: Final = 100


class Place(NamedTuple):
    """A queue, and a job type of which jobs wait for it."""

    queue: Queue
    job_type: str


def count_neglected(since: dt.datetime, queues: Collection[Queue]) -> Counter[Place]:
    """Count the jobs for these queues that were due before ``since`` and that nothing holds back.

    Tickets are counted exactly, due jobs up to a bound; see the module.
    """
    found = _old_tickets(since, queues)
    looked = _Look(since)
    for queue, job_types in looked.waiting_types(queues).items():
        found.update(Place(queue, item.lane.job_type) for item in looked.may_go(queue, job_types))
    return found


def find_idle(since: dt.datetime, queues: Collection[Queue], *, needs_room: bool) -> Counter[Place]:
    """Find jobs for these queues that were due before ``since``, that nothing holds back, and whose types did not
    start any job since.

    It costs little: the types that go on are not walked, and of each queue no more lanes than it takes to find some
    jobs. So a number is the least there is. Without ``needs_room``, also jobs count for which a queue has no room:
    only busy workers hold them back.
    """
    tickets = _old_tickets(since, queues)
    looked = _Look(since, needs_room=needs_room, is_brief=True)
    waiting = looked.waiting_types(queues)
    started = types_started_since(
        since, {name for names in waiting.values() for name in names} | {place.job_type for place in tickets}
    )
    found = Counter({place: count for place, count in tickets.items() if place.job_type not in started})
    for queue, names in waiting.items():
        if idle := [name for name in names if name not in started]:
            found.update(Place(queue, item.lane.job_type) for item in looked.may_go(queue, idle))
    return found


def _old_tickets(since: dt.datetime, queues: Collection[Queue]) -> Counter[Place]:
    names = ("job_type_id", "job_type__pool", "priority")
    rows = jobs().filter(status=Status.QUEUED, queued_at__lt=since).values(*names).annotate(total=Count("pk"))
    places = {
        Place(Queue(pool, priority), kind): total for kind, pool, priority, total in rows.values_list(*names, "total")
    }
    return Counter({place: total for place, total in places.items() if place.queue in queues})


class _Look:
    """What may go at one moment. As a pass of the dispatcher would, it counts what it has let go before."""

    def __init__(self, since: dt.datetime, *, needs_room: bool = True, is_brief: bool = False) -> None:
        """Count what is in flight.

        Without ``needs_room``, a queue without room counts, too. A look that ``is_brief`` ends with the first few lanes
        of a queue that have a job.
        """
        self._since = since
        self._needs_room = needs_room
        self._is_brief = is_brief
        self._in_flight: InFlight = count_in_flight(has_lock=False)
        self._own = Counter(self._in_flight.by_organization)
        self._limits = Limits({})

    def waiting_types(self, queues: Collection[Queue]) -> dict[Queue, list[str]]:
        """Return those of the queues that have room and for which jobs wait, with the types that may start."""
        window = read_window(seconds=0)
        with_room = {
            queue for queue in queues if not self._needs_room or window.free(queue, self._in_flight.queued) > ROUNDING
        }
        if not with_room:
            return {}
        waiting = store().waiting_types(sorted({queue.priority for queue in with_room}))
        kinds = JobType.primary.in_bulk({job_type for _, job_type in waiting})
        self._limits = limits_of(kinds.values())
        held = {pk for pk, only in held_types().items() if only is None} if waiting else set()
        found: dict[Queue, list[str]] = {}
        for priority, job_type in waiting:
            if job_type in kinds and job_type not in held and self._limits.is_open(job_type):
                found.setdefault(Queue(kinds[job_type].pool, priority), []).append(job_type)
        return {queue: sorted(found[queue]) for queue in found if queue in with_room}

    def may_go(self, queue: Queue, job_types: Sequence[str]) -> list[Candidate]:
        """Return jobs that were due long ago and may go, from the first page of lanes that has any."""
        walk = Walk(queue.priority, tuple(job_types), bound=self._bound(len(job_types)))
        lanes_of_type = FEW_LANES_OF_TYPE if self._is_brief else LANES_OF_TYPE
        for page in itertools.islice(backlog.pages(walk, lanes_of_type), PAGES):
            found: list[Candidate] = []
            for begin in range(0, len(page.lanes), LANES_AT_ONCE):
                found += self._allowed(self._overdue(queue, page.lanes[begin : begin + LANES_AT_ONCE]))
                if found and self._is_brief:
                    break
            if found:
                return found
        return []

    def _bound(self, types: int) -> LaneBound:
        """Return what a walk over so many types hops over. Answers of the policy are left to :meth:`_allowed`."""
        full, passed = self._limits.full(), self._limits.passed()
        most = tenant_shares.default_limit()
        pks = [] if tenant_shares.are_limits_asked() else [pk for pk, count in self._own.items() if count >= most]
        if len(full) + len(passed) + len(pks) * types > MAX_HOPPED:
            return backlog.bound_of(frozenset(), frozenset())
        return backlog.bound_of(full, passed | {(pk, ALL_TYPES) for pk in pks})

    def _overdue(self, queue: Queue, lanes: Sequence[Lane]) -> list[Candidate]:
        """Return the first jobs of those lanes that their types' limits leave open, if they were due long ago."""
        taken = [(lane, min(left, JOBS_OF_LANE)) for lane in lanes if (left := self._limits.left(lane)) > 0]
        heads = store().heads(queue.priority, taken) if taken else []
        rows = jobs().filter(pk__in=[item.pk for item in heads]) if heads else jobs().none()
        pks = set(rows.alias(since=waits_since()).filter(since__lt=self._since).values_list("pk", flat=True))
        return [item for item in heads if item.pk in pks]

    def _allowed(self, items: Sequence[Candidate]) -> Iterator[Candidate]:
        """Yield those that limits and the access policy let go together, and count them."""
        tenants = list(read_tenants({item.organization_pk for item in items}).values())
        tenant_shares.known_shares(tenants)
        tenant_shares.ask(math.inf)
        shares = tenant_shares.known_shares(tenants)
        for item in items:
            pk = item.organization_pk
            if pk in shares and self._own[pk] < shares[pk].limit and self._limits.left(item.lane) > 0:
                self._own[pk] += 1
                self._limits.take(item)
                yield item
