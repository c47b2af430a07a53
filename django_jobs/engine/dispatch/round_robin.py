"""The rule of fairness: within a priority, organizations take turns, and each has a limit of jobs in flight.

This module decides which jobs go next, for the dispatcher, which works alone under its lock. New jobs that may go
without it, since they take nobody's turn, are for :mod:`.new_jobs` to tell.

Another rule of fairness is another version of this module and of that one.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.dispatch import backlog, first_turns, tenant_shares
from django_jobs.engine.dispatch.backlog import Page
from django_jobs.engine.dispatch.lane_marks import LaneMarks
from django_jobs.engine.dispatch.pass_state import PassState
from django_jobs.engine.dispatch.tenant_shares import Share
from django_jobs.engine.dispatch.type_turns import TypeTurns
from django_jobs.engine.dispatch.weighted_turns import turns
from django_jobs.engine.dispatch.window import Room, Window
from django_jobs.engine.job_types.handlers import TASK_PREFIX
from django_jobs.engine.ports import Queue
from django_jobs.engine.store import database
from django_jobs.engine.store.lane_values import ALL_TYPES, Candidate, Lane, Walk
from django_jobs.models import get_organization_model
from django_jobs.statuses import Priority

#: Of the tasks of one organization so many jobs are looked at, so that a pass takes them in their order.
IN_ORDER_AT_ONCE: Final = 400


def pick(
    queue: Queue, job_types: Collection[str], room: Room, state: PassState, size: Window | None = None
) -> list[Candidate]:
    """Return the jobs of these types that may go now to a queue, as far as there is room.

    One of each organization in turn, by their weights, from behind the one served last. What is picked is counted in
    ``state``, whose cursors get the organization that was served last. Where more organizations wait than a page holds,
    each page gets one round: else those of the next one would wait for many rounds of this one. What room is left when
    all have been seen goes to all of them.

    With the ``size`` of the window, ``state`` gets which of these jobs go first.
    """
    if len(job_types) > backlog.TYPES_AT_ONCE:  # then not all organizations are seen
        size = None
    picked: list[Candidate] = []
    known = Known({}, {})
    cursor, is_all = None, False
    for page in _pages(queue, job_types, room.most, state):
        is_all = page.is_all
        own = _open_lanes(page.lanes)
        known = Known(known.lanes | own.lanes, known.shares | own.shares)
        cursor = _take(queue, own, room, picked, state, size, is_page=not is_all) or cursor
        if room.is_over():
            break
    else:
        if not is_all:
            cursor = _take(queue, known, room, picked, state, size, is_page=False) or cursor
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


def others_wait(queue: Queue, job_types: Collection[str], state: PassState, organizations: Collection[Any]) -> bool:
    """Return whether jobs of these types wait for a queue of other organizations than these."""
    return any(not page.seen.issubset(organizations) for page in _pages(queue, job_types, 1, state))


def _pages(queue: Queue, job_types: Collection[str], wanted: int, state: PassState) -> Iterator[Page]:
    """Yield the lanes of these types, as far as those are open, page by page; ``wanted`` is how many jobs are."""
    kinds = tuple(kind for kind in job_types if state.limits.is_open(kind))
    if not kinds:
        return
    passed = state.limits.passed()
    if not tenant_shares.are_limits_asked():
        limit, by_organization = tenant_shares.default_limit() - state.in_flight.unseen, state.in_flight.by_organization
        passed |= {(pk, ALL_TYPES) for pk, count in by_organization.items() if count >= limit}
    after = _organization_pk(state.marks.cursors.get(cursor_key(queue)))
    walk = Walk(queue.priority, kinds, after, bound=backlog.bound_of(state.limits.full(), passed))
    yield from backlog.pages(walk, wanted, state.marks)


def _organization_pk(text: Any) -> Any:
    return None if text is None else get_organization_model()._meta.pk.to_python(text)


class Known(NamedTuple):
    """Lanes that are open, in their order, and the shares of their organizations."""

    lanes: dict[Lane, None]
    shares: dict[Any, Share]


def _open_lanes(lanes: list[Lane]) -> Known:
    """Leave out lanes whose organization is inactive or gone, or of which that is not known yet.

    Jobs of an organization that is gone would take its neighbors' turns; :mod:`django_jobs.engine.control.tenants` ends
    them. A type that no longer exists is no reason to wait: the claim ends its jobs.
    """
    if not lanes:
        return Known({}, {})
    tenants = database.rows(get_organization_model())
    shares = tenant_shares.known_shares(tenants.filter(pk__in={lane.organization_pk for lane in lanes}))
    return Known({lane: None for lane in lanes if lane.organization_pk in shares}, shares)


def _take(
    queue: Queue,
    known: Known,
    room: Room,
    picked: list[Candidate],
    state: PassState,
    size: Window | None,
    *,
    is_page: bool,
) -> Any:
    """Add jobs to those ``picked``, in turns; return the organization behind which the next turns begin, if any.

    Of each organization the job goes first that has been ready the longest.
    """
    in_flight, unseen = state.in_flight.by_organization, state.in_flight.unseen
    shares = {pk: share for pk, share in known.shares.items() if in_flight[pk] < share.limit - unseen}
    lanes = [lane for lane in known.lanes if lane.organization_pk in shares]
    if not lanes or room.is_over():
        return None
    weights = {pk: share.weight for pk, share in shares.items()}
    looked_at = _most_of_organization(room.most, list(weights.values()), is_page=is_page)
    queues = _queues(queue.priority, lanes, looked_at, state)
    order = [pk for pk in dict.fromkeys(lane.organization_pk for lane in lanes) if pk in queues]
    rooms = {pk: share.limit - unseen - in_flight[pk] for pk, share in shares.items()}
    places = TypeTurns({} if is_page else queues, weights, rooms, state, cursor_key(queue))
    first = _first(queue, known.shares, state, None if is_page else size)
    last = served = None
    going = turns(order, weights, state.credits(cursor_key(queue)), is_page=is_page)
    for last in going:
        has_room = in_flight[last] < shares[last].limit - unseen
        found = _next(queues[last], state, places) if has_room else None
        if found is None:
            going.drop(last, is_empty=has_room)
            continue
        served = last
        picked.append(found)
        if last in first:
            first.remove(last)
            state.first.add(found.pk)
        state.take(queue, found)
        places.take(found)
        if not room.take(found.lane.job_type):
            break
    going.end()
    places.end()
    # Who came last on a page and got nothing, since those before took the last places, is first on the next one.
    return served if is_page and served is not None and last != served else going.cursor


def _first(queue: Queue, shares: Mapping[Any, Share], state: PassState, size: Window | None) -> set[Any]:
    """Return the organizations of which the next job goes first, and keep which weight a new one needs for that."""
    slots = 0 if size is None else size.slots[queue]
    around = {queue.pool} if size is None else {rival.pool for rival in size.rivals[queue]}
    in_flight = set().union(*(state.in_flight.organizations.get(pool, ()) for pool in around))
    contest = first_turns.contest(slots, in_flight, shares)
    state.first_weights[queue] = contest.least_weight
    counts = state.in_flight.by_organization
    return {pk for pk, share in shares.items() if not counts[pk] and contest.lets_first(share)}


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
    for candidate in _heads(priority, taken, state):
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


def _heads(priority: int, taken: list[tuple[Lane, int]], state: PassState) -> list[Candidate]:
    """Return so many jobs of each lane. Where that is one of each, the walk has seen them already."""
    lanes = [lane for lane, most in taken if most == 1 and state.limits.is_at_ease(lane.job_type)]
    found = state.marks.firsts(priority, lanes) if len(lanes) == len(taken) else None
    return state.marks.heads(priority, taken) if found is None else found
