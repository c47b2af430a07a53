"""Whose turn it is: the rule of fairness, and the jobs that it picks."""

from __future__ import annotations

import contextlib
import functools
import heapq
import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine import timing
from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.dispatch import backlog, in_flight, new_jobs, tenant_shares, window
from django_jobs.engine.dispatch.backlog import LaneMarks, LanePage
from django_jobs.engine.dispatch.in_flight import HELD, KEPT, KEPT_LEADS, KEPT_RATES, NEXT_START, InFlight, known_held
from django_jobs.engine.dispatch.limits import QueueLimits, TypeFlow, has_limits, read_limits, read_special
from django_jobs.engine.dispatch.rates import NO_LIMIT
from django_jobs.engine.dispatch.tenant_shares import Share
from django_jobs.engine.dispatch.tickets import Queued, unqueue
from django_jobs.engine.dispatch.window import QueueRoom
from django_jobs.engine.job_types.handlers import TASK_PREFIX
from django_jobs.engine.ports import Queue
from django_jobs.engine.store import database
from django_jobs.engine.store.values import ALL_TYPES, NOW, Candidate, Lane, Move, Moved, Terms, Walk
from django_jobs.engine.transitions import move
from django_jobs.models import EngineLease, get_organization_model
from django_jobs.statuses import DISPATCHABLE, Priority, Status
from django_jobs.texts import say

# What one pass over the backlog knows, and what it leaves to the next one: what is in flight, where walks begin, and
# what limits and shares leave.


#: Whether rates of starts are passed over, as in a test, where no time passes.
_ignores_rates: bool = False


@contextlib.contextmanager
def without_rates() -> Iterator[None]:
    """Pass over rates of starts inside the block."""
    global _ignores_rates  # noqa: PLW0603
    before, _ignores_rates = _ignores_rates, True
    try:
        yield
    finally:
        _ignores_rates = before


@dataclass
class PassState:
    """The state of one pass, made under the dispatcher's lock."""

    in_flight: InFlight
    marks: LaneMarks = field(default_factory=LaneMarks)
    #: Whether types with rates are left out, so that what is known of those stays as it is.
    leaves_rates: bool = False
    #: The jobs that were picked, by priority and lane: until they are moved, the lanes still begin with them.
    picked: dict[tuple[int, Lane], set[int]] = field(default_factory=lambda: defaultdict(set))
    _leads: dict[str, dict[str, float]] = field(default_factory=dict)

    @functools.cached_property
    def kinds(self) -> Mapping[str, TypeFlow]:
        """The types that are not plain, read when something waits."""
        kinds = read_special()
        if _ignores_rates:
            return {name: kind._replace(max_starts=None, max_starts_per_key=None) for name, kind in kinds.items()}
        return kinds

    @functools.cached_property
    def limits(self) -> QueueLimits:
        """What the limits leave."""
        return read_limits(self.kinds, self.in_flight, self.marks.written)

    def waiting_types(self, priorities: Sequence[int]) -> dict[Queue, list[str]]:
        """Return the queues of these priorities for which something waits, the most urgent first, and its types."""
        found: dict[Queue, list[str]] = {}
        for priority, job_type in self.marks.waiting_types(priorities):
            kind = self.kinds.get(job_type)
            found.setdefault(Queue(kind.pool if kind else DEFAULT_POOL, priority), []).append(job_type)
        return {queue: sorted(found[queue]) for queue in sorted(found, key=lambda queue: (-queue.priority, queue.pool))}

    def leads(self, name: str) -> dict[str, float]:
        """Return how far organizations are ahead in the queue with this name; changes of it are kept."""
        if name not in self._leads:
            self._leads[name] = {**self.marks.written.get(KEPT_LEADS, {}).get(name, {})}
        return self._leads[name]

    def take(self, queue: Queue, item: Candidate) -> None:
        """Count one more job, which is about to be queued."""
        self.in_flight.queued[queue][item.organization_pk, item.lane.job_type] += 1
        self.in_flight.by_organization[item.organization_pk] += 1
        self.picked[queue.priority, item.lane].add(item.pk)
        self.limits.take(item)

    def to_write(self) -> dict[str, Any] | None:
        """Return the new state of the dispatcher's row; None if it may stay as it is."""
        kept = {name: self.marks.written.get(name) for name in KEPT}
        kept[HELD] = {str(pk): until for pk, until in known_held(self.marks.written).items()}
        if "limits" in self.__dict__ and not self.leaves_rates:
            kept[KEPT_RATES] = self.limits.rates.to_keep()
            kept[NEXT_START] = self.limits.next_at()
        if self._leads:
            of_queues = {**(kept[KEPT_LEADS] or {}), **self._leads}
            kept[KEPT_LEADS] = {name: leads for name, leads in of_queues.items() if leads}
        return self.marks.to_write(kept)


# Turns among organizations, some of which weigh more than others: a weighted round robin.


K = TypeVar("K")

#: So many keys are remembered, the newest. The mean weight is that of about so many that were visited last.
MOST_KEYS: Final = 1_000
#: Under this name the mean weight is remembered. No key has it as its text.
MEAN: Final = ""
#: Sums of fractions are less exact than this.
TINY: Final = 1e-6


class Turns(Generic[K]):
    """Yields whose turn it is, again and again, for one job each time. Call :meth:`end` after the last job.

    This is stride scheduling (C. Waldspurger and W. Weihl, Stride Scheduling: Deterministic Proportional-Share Resource
    Management, 1995). Each job moves a key of weight w by a stride of 1/w. The key that has moved the least goes next.

    ``order`` begins behind the ``cursor`` of the last pass, the key with which it ended. ``weights`` are above 0; a key
    that they do not name has the weight 1. ``leads`` stay between passes: how far each key is ahead, by its text.

    A pass that knows some of the keys only, a page, lets them go one after the other. Each moves by one round, in which
    a key of mean weight has one job. A negative lead is what a key has left of a round that was interrupted.
    """

    def __init__(
        self, order: Sequence[K], weights: Mapping[K, float], leads: dict[str, float], *, is_page: bool = False
    ) -> None:
        self.order, self._leads, self._is_page = order, leads, is_page
        self._weights = [float(weights.get(key, 1.0)) for key in order]
        self._mean = leads.get(MEAN) or sum(self._weights) / max(1, len(order)) or 1.0
        self._round = 1.0 / self._mean if is_page else 0.0
        self._moved = [0.0] * len(order)
        if leads:  # the texts of 800 keys cost a millisecond, in each pass
            self._moved = [self._begin(str(key), 1.0 / of) for key, of in zip(order, self._weights, strict=True)]
        self._dropped: set[K] = set()
        self.cursor: K | None = None
        #: How far all keys have moved; the place of the key that has its turn; how many of a page had their rounds.
        self._clock, self._turn, self._visited = 0.0, -1, 0

    def __iter__(self) -> Iterator[K]:
        """Yield the next key, until each is dropped, or has had its round."""
        return self._of_page() if self._is_page else self._of_all()

    def drop(self, key: K) -> None:
        """Give a key no more turns. In a key's turn, call it instead of taking a job: the turn is not counted then."""
        self._dropped.add(key)

    def end(self) -> None:
        """Note in the leads how to go on."""
        self._count()
        if self._is_page and self._visited < len(self.order) and not self._has_turns(self._visited):
            self._end_visit()
        is_even = len(set(self._weights)) <= 1
        if is_even and not self._leads:  # the cursor says all
            return
        kept = {text: round(lead, 6) for text, lead in self._ends().items() if abs(lead) > TINY}
        self._leads.clear()
        if self._is_page or not is_even or any(lead > 1.0 / self._weights[0] + TINY for lead in kept.values()):
            self._leads.update([*kept.items()][-MOST_KEYS:])

    def _begin(self, text: str, stride: float) -> float:
        """Return where a key begins: within its first stride, also if its weight has changed.

        Where no more keys can be remembered, one that is not begins at random within it. At 0 each would get a job in
        each round.
        """
        lead = self._leads.get(text)
        if lead is None:
            return random.random() * stride if len(self._leads) >= MOST_KEYS else 0.0  # noqa: S311
        return max(0.0, lead + self._round) if lead < 0.0 else min(lead, stride)

    def _of_all(self) -> Iterator[K]:
        heap = [(moved, place) for place, moved in enumerate(self._moved)]
        heapq.heapify(heap)
        while heap:
            _, self._turn = heap[0]
            if (key := self.order[self._turn]) in self._dropped:
                heapq.heappop(heap)
                continue
            self.cursor = key
            yield key
            place = self._turn
            self._count()
            heapq.heapreplace(heap, (self._moved[place], place))

    def _of_page(self) -> Iterator[K]:
        while self._visited < len(self.order):
            while self._has_turns(self._visited):
                self._turn = self._visited
                yield self.order[self._turn]
                self._count()
            self._end_visit()

    def _has_turns(self, place: int) -> bool:
        return self.order[place] not in self._dropped and self._moved[place] < self._round - TINY

    def _end_visit(self) -> None:
        self.cursor = self.order[self._visited]
        self._visited += 1

    def _count(self) -> None:
        """Count the last turn, unless its key was dropped in it."""
        if self._turn >= 0 and self.order[self._turn] not in self._dropped:
            self._clock = self._moved[self._turn]
            self._moved[self._turn] += 1.0 / self._weights[self._turn]
        self._turn = -1

    def _ends(self) -> dict[str, float]:
        """Return all leads as this pass leaves them, the newest last."""
        texts = [str(key) for key in self.order]
        if not self._is_page:
            present = dict(zip(texts, self._moved, strict=True))
            leads = {text: lead for text, lead in self._leads.items() if text not in present and text != MEAN} | present
            return {text: max(0.0, lead - self._clock) for text, lead in leads.items()}
        leads = dict(self._leads)
        for place, text in enumerate(texts[: self._visited + 1]):
            lead = self._moved[place] - self._round
            if place < self._visited or lead < 0.0:
                leads.pop(text, None)
                leads[text] = max(0.0, lead) if place < self._visited else lead
        for weight in self._weights[: self._visited]:
            self._mean += (weight - self._mean) / MOST_KEYS
        leads.pop(MEAN, None)
        return {**leads, MEAN: self._mean}


# Turns among organizations for the places of one type.
#
# Where a type's limit lets fewer jobs start than wait, its places are a line of their own. Who is next there must not
# depend on whom other types were served for in between: an organization whose neighbor is often served by another type
# would get more than its share.


#: Stands between the name of a queue and a type, in the name of the turns for that type's places.
OF: Final = " "


class TypeTurns:
    """Who may take the places that are left of types for which more than one organization waits."""

    def __init__(
        self,
        queues: Mapping[Any, Sequence[Candidate]],
        weights: Mapping[Any, float],
        rooms: Mapping[Any, int],
        state: PassState,
        queue_name: str,
    ) -> None:
        """Share out what is left of each type.

        ``queues`` are the jobs of each organization that may be next, ``rooms`` how many it may have in flight beside
        those that are.
        """
        self._state, self._queue_name = state, queue_name
        self._granted: dict[str, Counter[Any]] = {}
        self._turns: dict[str, Turns[Any]] = {}
        #: Whose turns these are, one after the other.
        self._order: dict[str, list[Any]] = {}
        for job_type, waiting in self._waiting(queues, rooms).items():
            left = state.limits.left_of_type(job_type)
            if len(waiting) > 1 and left < sum(waiting.values()):
                self._share_out(job_type, waiting, weights, left)

    def _waiting(
        self, queues: Mapping[Any, Sequence[Candidate]], rooms: Mapping[Any, int]
    ) -> dict[str, dict[Any, int]]:
        """Return how many jobs of each type with limits each organization could start if it were alone."""
        limits, limited = self._state.limits, {name for name, kind in self._state.kinds.items() if has_limits(kind)}
        counts: dict[tuple[str, Any], Counter[Lane]] = defaultdict(Counter)
        for pk, items in queues.items() if limited else ():
            for item in items:
                if item.lane.job_type in limited:
                    counts[item.lane.job_type, pk][item.lane] += 1
        found: dict[str, dict[Any, int]] = defaultdict(dict)
        for (job_type, pk), lanes in counts.items():
            of_lanes = sum(min(count, limits.left(lane)) for lane, count in lanes.items())
            found[job_type][pk] = min(of_lanes, limits.left_of_organization(job_type, pk), rooms[pk])
        return found

    def _share_out(self, job_type: str, waiting: Mapping[Any, int], weights: Mapping[Any, float], left: int) -> None:
        name = self._name(job_type)
        order = _behind(waiting, self._state.marks.cursors.get(name))
        going = Turns(order, weights, self._state.leads(name))
        granted: Counter[Any] = Counter()
        self._order[job_type] = []
        for pk in going if left > 0 else ():
            if granted[pk] >= waiting[pk]:
                going.drop(pk)
                continue
            granted[pk] += 1
            self._order[job_type].append(pk)
            if granted.total() >= left:
                break
        self._granted[job_type], self._turns[job_type] = granted, going

    def allows(self, item: Candidate) -> bool:
        """Return whether a job has the next turn of its organization for a place of its type."""
        granted = self._granted.get(item.lane.job_type)
        return granted is None or granted[item.organization_pk] > 0

    def take(self, item: Candidate) -> None:
        """Count a job that is picked."""
        granted = self._granted.get(item.lane.job_type)
        if granted is not None:
            granted[item.organization_pk] -= 1

    def end(self) -> None:
        """Note how to go on: behind the last turn, or before the first one that was not used for want of room."""
        if self._turns:
            self._forget_others()
        for job_type, going in self._turns.items():
            order, unused = self._order[job_type], self._granted[job_type]
            used = next((place for place, pk in enumerate(order) if unused[pk] > 0), len(order))
            if used == len(order):
                going.end()
            if used:
                self._state.marks.cursors[self._name(job_type)] = str(order[used - 1])

    def _forget_others(self) -> None:
        """Forget what is kept of types that have no limits any more."""
        begin, state = f"{self._queue_name}{OF}", self._state
        for name in [*state.marks.cursors, *state.marks.written.get(KEPT_LEADS, {})]:
            if name.startswith(begin) and name.removeprefix(begin) not in state.kinds:
                state.marks.cursors.pop(name, None)
                state.leads(name).clear()

    def _name(self, job_type: str) -> str:
        return f"{self._queue_name}{OF}{job_type}"


def _behind(keys: Iterable[Any], cursor: Any) -> list[Any]:
    """Return the keys in an order that is always the same, those behind the cursor, a text, first."""
    ordered = sorted(keys, key=str)
    if cursor is None:
        return ordered
    return [key for key in ordered if str(key) > cursor] + [key for key in ordered if str(key) <= cursor]


# The rule of fairness: within a priority, organizations take turns, and each has a limit of jobs in flight.
#
# This module decides which jobs go next, for the dispatcher, which works alone under its lock. New jobs that may go
# without it, since they take nobody's turn, are for :mod:`.new_jobs` to tell.
#
# Another rule of fairness is another version of this module and of that one.


#: Of the tasks of one organization so many jobs are looked at, so that a pass takes them in their order.
IN_ORDER_AT_ONCE: Final = 400


def pick(queue: Queue, job_types: Collection[str], room: QueueRoom, state: PassState) -> list[Candidate]:
    """Return the jobs of these types that may go now to a queue, as far as there is room.

    One of each organization in turn, by their weights, from behind the one served last. What is picked is counted in
    ``state``, whose cursors get the organization that was served last. Where more organizations wait than a page holds,
    each page gets one round: else those of the next one would wait for many rounds of this one. What room is left when
    all have been seen goes to all of them.
    """
    picked: list[Candidate] = []
    lanes: dict[Lane, None] = {}
    shares: dict[Any, Share] = {}
    cursor, is_all = None, False
    for page in _pages(queue, job_types, room.most, state):
        is_all, of_page = page.is_all, _shares_of(page.lanes)
        lanes |= dict.fromkeys(page.lanes)
        shares |= of_page
        cursor = _take(queue, page.lanes, of_page, room, picked, state, is_page=not is_all) or cursor
        if room.is_over():
            break
    else:
        if not is_all:
            cursor = _take(queue, lanes, shares, room, picked, state, is_page=False) or cursor
    if cursor is not None:  # also of one that is alone: who comes next has the next turn
        state.marks.cursors[cursor_key(queue)] = str(cursor)
    return picked


def cursor_key(queue: Queue) -> str:
    """Return under which name the organization is kept that a queue was served last for."""
    return str(queue.priority) if queue.pool == DEFAULT_POOL else f"{queue.pool}:{queue.priority}"


def end_turns(queue: Queue, served: Sequence[Candidate], cursors: Mapping[str, Any], marks: LaneMarks) -> None:
    """Let the turns of a queue end with those ``served``, where others that were picked behind them had to be left.

    ``cursors`` are those before the pick. The organization of the first that was left has the next turn.
    """
    turn = cursor_key(queue)
    marks.cursors.pop(turn, None)
    last = str(served[-1].organization_pk) if served else cursors.get(turn)
    if last is not None:
        marks.cursors[turn] = last


def _pages(queue: Queue, job_types: Collection[str], wanted: int, state: PassState) -> Iterator[LanePage]:
    """Yield the lanes of these types, as far as those are open, page by page; ``wanted`` is how many jobs are."""
    kinds = tuple(kind for kind in job_types if state.limits.is_open(kind))
    if not kinds:
        return
    full = tenant_shares.full_organizations(state.in_flight.by_organization, state.in_flight.unseen)
    passed = state.limits.passed() | {(pk, ALL_TYPES) for pk in full}
    cursor = state.marks.cursors.get(cursor_key(queue))
    after = None if cursor is None else get_organization_model()._meta.pk.to_python(cursor)
    walk = Walk(queue.priority, kinds, after, bound=backlog.bound_of(state.limits.full(), passed))
    yield from backlog.pages(walk, wanted, state.marks)


def _shares_of(lanes: list[Lane]) -> dict[Any, Share]:
    """Return the shares of the lanes' organizations, but of those that are inactive or gone, or not known yet to start.

    Jobs of an organization that is gone would take its neighbors' turns; :mod:`django_jobs.engine.control.tenants` ends
    them. A type that no longer exists is no reason to wait: the claim ends its jobs.
    """
    if not lanes:
        return {}
    tenants = database.rows(get_organization_model())
    return tenant_shares.known_shares(tenants.filter(pk__in={lane.organization_pk for lane in lanes}))


def _take(
    queue: Queue,
    lanes: Iterable[Lane],
    shares: Mapping[Any, Share],
    room: QueueRoom,
    picked: list[Candidate],
    state: PassState,
    *,
    is_page: bool,
) -> Any:
    """Add jobs to those ``picked``, in turns; return the organization behind which the next turns begin, if any.

    Of each organization the job goes first that has been ready the longest.
    """
    in_flight, unseen = state.in_flight.by_organization, state.in_flight.unseen
    shares = {pk: share for pk, share in shares.items() if in_flight[pk] < share.limit - unseen}
    lanes = [lane for lane in lanes if lane.organization_pk in shares]
    if not lanes or room.is_over():
        return None
    weights = {pk: share.weight for pk, share in shares.items()}
    looked_at = _most_of_organization(room.most, list(weights.values()), is_page=is_page)
    queues = _queues(queue.priority, lanes, looked_at, state)
    order = [pk for pk in dict.fromkeys(lane.organization_pk for lane in lanes) if pk in queues]
    rooms = {pk: share.limit - unseen - in_flight[pk] for pk, share in shares.items()}
    places = TypeTurns({} if is_page else queues, weights, rooms, state, cursor_key(queue))
    last = served = None
    going = Turns(order, weights, state.leads(cursor_key(queue)), is_page=is_page)
    for last in going:
        has_room = in_flight[last] < shares[last].limit - unseen
        found = _next(queues[last], state, places) if has_room else None
        if found is None:
            going.drop(last)
            continue
        served = last
        picked.append(found)
        state.take(queue, found)
        places.take(found)
        if not room.take(found.lane.job_type):
            break
    going.end()
    places.end()
    # Who came last on a page and got nothing, since those before took the last places, is first on the next one.
    return served if is_page and served is not None and last != served else going.cursor


def _most_of_organization(room: int, weights: list[float], *, is_page: bool) -> int:
    """Return how many jobs of one organization to look at.

    Twice an even share, so that organizations with few jobs rarely leave room unused; of a page what its heaviest one
    may get in one round.
    """
    heaviest = max(weights) * len(weights) / sum(weights)
    share = 1 if is_page else math.ceil(room / len(weights))
    return min(room, math.ceil(2 * share * heaviest))


def _next(queue: list[Candidate], state: PassState, places: TypeTurns) -> Candidate | None:
    """Take out the next job of a queue that no limit holds and whose turn it is; None where there is none."""
    refused, found = [], None
    while queue and found is None:
        item = queue.pop()
        if state.limits.left(item.lane) > 0:
            if places.allows(item):
                found = item
            else:
                refused.append(item)
    queue.extend(reversed(refused))
    return found


def _queues(priority: int, lanes: list[Lane], most: int, state: PassState) -> dict[Any, list[Candidate]]:
    """Return what each organization has at the heads of its lanes and was not picked, the longest ready last."""
    wanted = _most_of_lanes(priority, lanes, most)
    picked: dict[Lane, Collection[int]] = {lane: state.picked.get((priority, lane), ()) for lane in lanes}
    taken = [
        (lane, min(wanted[lane], left) + len(picked[lane])) for lane in lanes if (left := state.limits.left(lane)) > 0
    ]
    queues: dict[Any, list[Candidate]] = defaultdict(list)
    # Where that is one of each lane, the walk has seen them already.
    firsts = [lane for lane, most in taken if most == 1 and state.limits.is_at_ease(lane.job_type)]
    found = state.marks.firsts(priority, firsts) if len(firsts) == len(taken) else None
    for candidate in state.marks.heads(priority, taken) if found is None else found:
        if candidate.pk not in picked[candidate.lane]:  # it moves at the end of the pass only
            queues[candidate.organization_pk].append(candidate)
    for queue in queues.values():
        queue.sort(key=lambda item: (item.ready_since, item.pk), reverse=True)
    return queues


def _most_of_lanes(priority: int, lanes: list[Lane], most: int) -> dict[Lane, int]:
    """Return how many jobs of each lane to look at, where ``most`` of an organization are: an even share of these.

    Tasks have numbers within their priority, which order all of them, whatever their types: of several types of tasks,
    each is looked at as if there were no other, up to IN_ORDER_AT_ONCE jobs of all of them.
    """
    counts = Counter(lane.organization_pk for lane in lanes)
    numbered = {lane for lane in lanes if priority != Priority.NORMAL and lane.job_type.startswith(TASK_PREFIX)}
    of_tasks = Counter(lane.organization_pk for lane in numbered)
    found = {lane: math.ceil(most / counts[lane.organization_pk]) for lane in lanes}
    for lane in numbered:
        if (others := of_tasks[lane.organization_pk]) > 1:
            found[lane] = max(found[lane], min(most, IN_ORDER_AT_ONCE // others))
    return found


# Whose turn it is: jobs of the backlog are picked and moved, by one process at a time.
#
# The dispatcher fills the broker's window with them. A worker that comes back for more while a backlog waits takes its
# share itself.


T = TypeVar("T")

#: What a job gets that is queued, beside its status.
QUEUED: Final[dict[str, Any]] = {"queued_at": NOW, "ready_at": None, "next_retry_at": None}
#: Why a job that was queued waits again.
OTHER_KEY: Final = say("Its concurrency key changed while it was being queued", code="key_changed")
BY_URGENCY: Final = tuple(sorted(map(int, Priority), reverse=True))


def fill_window(seconds: float = 0.0) -> Queued | None:
    """Queue as many jobs as the broker has room for.

    Return None if other processes have the lock for so many seconds.
    """
    return _under_lock(_fill, seconds)


def take_share(
    queues: Collection[Queue], count: int, start: Callable[[Sequence[Candidate]], tuple[T, Collection[int]]]
) -> tuple[T, list[Moved]] | None:
    """Have ``start`` move up to ``count`` jobs for these queues.

    ``start`` returns what the caller wants, and the keys of what it left. Of that as much is queued as the broker has
    room for, and the rest has the next turns. Return what ``start`` did, and what was queued; None if other processes
    have the lock for too long.
    """

    def work(state: PassState) -> tuple[T, list[Moved]]:
        state.leaves_rates = True
        size, queued = window.read_window(), {queue: Counter(of) for queue, of in state.in_flight.queued.items()}
        cursors = dict(state.marks.cursors)
        # No more than the dispatcher queues in a pass: new jobs keep that distance from their organization's limit.
        picked = _pick_share(queues, min(count, size.most_at_once), state)
        started, left = start([*itertools.chain.from_iterable(picked.values())])
        fitting: list[Candidate] = []
        for queue, items in picked.items():
            waiting = [item for item in items if item.pk in left]
            fit = _fitting(waiting, size.room(queue, {item.lane.job_type for item in waiting}, queued))
            queued.setdefault(queue, Counter()).update((item.organization_pk, item.lane.job_type) for item in fit)
            fitting += fit
            if fit != waiting:
                unserved = {item.pk for item in waiting[len(fit) :]}
                served = [item for item in items if item.pk not in unserved]
                end_turns(queue, served, cursors, state.marks)
        return started, _queue(fitting, state)

    return _under_lock(work, timing.LOCK_WAIT_SECONDS)


def _fitting(items: Sequence[Candidate], room: QueueRoom) -> list[Candidate]:
    """Return the first of these for which there is room."""
    fit: list[Candidate] = []
    for item in items:
        if room.is_over():
            break
        room.take(item.lane.job_type)
        fit.append(item)
    return fit


def _pick_share(queues: Collection[Queue], count: int, state: PassState) -> dict[Queue, list[Candidate]]:
    """Return up to ``count`` jobs, by their queues, the most urgent first.

    None goes before a more urgent job that is queued: its ticket is pushed only after the commit that queued it.
    """
    queued = state.in_flight.queued
    least = max([queue.priority for queue, tickets in queued.items() if tickets and queue in queues], default=0)
    priorities = {queue.priority for queue in queues}
    picked: dict[Queue, list[Candidate]] = {}
    wanted = [item for item in BY_URGENCY if item in priorities and item >= least]
    for queue, job_types in state.waiting_types(wanted).items():
        # What has a rate or goes to try takes the usual way, where each is counted. So does what has so many places:
        # turns for them would be counted though the worker leaves some.
        limits = state.limits
        kinds = [name for name in job_types if limits.is_at_ease(name) and limits.left_of_type(name) >= NO_LIMIT]
        if count > 0 and queue in queues:
            picked[queue] = pick(queue, kinds, QueueRoom(count), state)
            count -= len(picked[queue])
    return picked


def _queue(picked: Sequence[Candidate], state: PassState) -> list[Moved]:
    """Move these jobs to Queued; return those that moved, in the given order."""
    order = {item.pk: turn for turn, item in enumerate(picked)}
    moves = [Move(pk=item.pk, to_status=Status.QUEUED, values=QUEUED) for item in picked]
    # Due still: what was picked may have been given a later moment since.
    moved = move(moves, Terms(sources=DISPATCHABLE, actor=SYSTEM, skip_locked=True, only_due=True))
    moved = _without_other_lanes(moved, {item.pk: item.lane.key for item in picked})
    moved.sort(key=lambda item: order[item.pk])
    backlog.note_taken(moved)
    if picked:
        state.limits.note_moved(picked, order.keys() & {item.pk for item in moved})
    return moved


def _without_other_lanes(moved: Sequence[Moved], keys: Mapping[int, int]) -> list[Moved]:
    """Put jobs back to Pending that came into another lane after they were picked, and return the others.

    A later submission may have given a job another value of the concurrency key since. The pass counted the job for the
    key of before, and the other key may be full. Nobody sees it Queued, since this is the transaction that queued it.
    """
    strays = {item.pk for item in moved if item.lane_key != keys[item.pk]}
    if strays:
        unqueue(strays, OTHER_KEY)
    return [item for item in moved if item.pk not in strays]


def _fill(state: PassState) -> Queued:
    """Queue what the broker has room for, and name the queues of which tickets are to be called back.

    Those hold more than was expected, and more than one organization has jobs for them. The next one must not wait for
    all that.
    """
    size, queued = window.read_window(), state.in_flight.queued
    overfull = [queue for queue, tickets in queued.items() if queue in size.sizes and size.is_overfull(queue, tickets)]
    waiting = state.waiting_types(BY_URGENCY)
    picked: list[Candidate] = []
    for queue, job_types in waiting.items():
        room = size.room(queue, job_types, queued)
        if not room.is_over():
            picked += pick(queue, job_types, room, state)
    shared = [queue for queue in overfull if _is_shared(queue, waiting.get(queue, ()), state)]
    return Queued(_queue(picked, state), {queue: size.sizes[queue] for queue in shared})


def _is_shared(queue: Queue, job_types: Collection[str], state: PassState) -> bool:
    """Return whether more than one organization has jobs that are queued or wait for a queue."""
    holders = {pk for pk, _ in state.in_flight.queued[queue]}
    return len(holders) > 1 or any(not page.seen.issubset(holders) for page in _pages(queue, job_types, 1, state))


def _under_lock(work: Callable[[PassState], T], seconds: float) -> T | None:
    """Pick jobs and move them under the dispatcher's lock; None if others have it for so many seconds.

    The server ends a holder that is silent for a while, as a process that is frozen.
    """

    def make_pass() -> T | None:
        lease = in_flight.take_lock(seconds)
        if lease is None:
            return None
        unseen = new_jobs.keep_new_jobs_out()  # before the count, which sees what is stored by then
        state = PassState(in_flight.count_in_flight(), backlog.read_marks(lease.state))
        state.in_flight.unseen = unseen
        in_flight.leave_out_held(state.in_flight, state.marks.written)
        done = work(state)
        written = state.to_write()
        if written is not None:
            EngineLease.primary.filter(pk=lease.pk).update(state=written)
        return done

    return database.in_transaction(make_pass, timing.LOCK_SILENCE_SECONDS)
