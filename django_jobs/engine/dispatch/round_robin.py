"""The rule of fairness: within a priority, organizations take turns, and each has a limit of jobs in flight.

This module alone decides which jobs go next. :func:`pick` decides for the dispatcher, which works alone under its
lock. :func:`takes_no_turn` decides for a job that was just submitted and may go without the dispatcher, and
:func:`goes_at_once` for one that is about to be.

Another rule of fairness is another version of this module.
"""

from __future__ import annotations

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.access import may_start
from django_jobs.engine.dispatch import backlog, tenant_shares
from django_jobs.engine.dispatch.backlog import Page
from django_jobs.engine.dispatch.lane_marks import LaneMarks
from django_jobs.engine.dispatch.pass_state import PassState
from django_jobs.engine.dispatch.tenant_shares import Share
from django_jobs.engine.dispatch.type_flow import flow_of
from django_jobs.engine.dispatch.weighted_turns import turns
from django_jobs.engine.dispatch.window import Window
from django_jobs.engine.ports import Queue
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.lane_values import ALL_TYPES, Candidate, Lane, Walk
from django_jobs.engine.store.transition_values import Condition, all_of, any_of
from django_jobs.models import Job, get_organization_model
from django_jobs.statuses import Priority

if TYPE_CHECKING:
    from django_jobs.engine.store.base import Store

_PRIORITIES: Final = tuple(map(int, Priority))
#: Marks in the rule for new jobs: what differs from job to job.
_JOB, _ORGANIZATION, _NEAR, _FAR, _ROOM = "job", "organization", "near", "far", "room"
#: As many new jobs are stored as Queued at the same moment.
_MOST_UNSEEN: Final = 1


def takes_no_turn(job: Job, most_at_once: int) -> Condition | None:
    """Return the condition under which a new job may be queued without a turn; None if it has to wait for one.

    It may be queued if it is due, no other job waits with its priority or a higher one, and its organization is below
    its limit. Of new jobs with one priority, each sees the others wait, or counts them as in flight.

    Jobs that are being queued at this moment are not counted yet. So near its limit an organization's new job goes
    without a turn only if it leaves room for one job of each higher priority, and none waits with a lower priority.
    What waits is queued by the dispatcher, ``most_at_once`` jobs in one pass: below that distance it is near. And it
    leaves room for the job that may be stored as Queued at this moment.

    A delayed job waits here from when it is brought into the lanes, within a second of its moment. New jobs may go
    before it until then; and one that goes in the moments of its bringing may be one too many for its organization.
    """
    if not _needs_no_pass(job):
        return None
    ask, limit = store(), tenant_shares.limit_for(job)
    rule = _rule(ask, job.priority)
    limit -= _MOST_UNSEEN if _queues_new_jobs() else 0
    values = {
        _JOB: job.pk,
        _ORGANIZATION: ask.key_to_database(job.organization_id),
        _FAR: limit - most_at_once,
        _NEAR: limit - sum(priority > job.priority for priority in _PRIORITIES),
    }
    return Condition(rule.sql, tuple([values.get(param, param) for param in rule.params]))


@functools.cache
def _rule(ask: Store, own: int) -> Condition:
    """Return the condition for any job of this priority, made once; the job's values take the places of the marks."""
    higher = [priority for priority in _PRIORITIES if priority > own]
    lower = [priority for priority in _PRIORITIES if priority < own]
    may_go_near = [ask.has_fewer_in_flight(_ORGANIZATION, _NEAR)]
    may_go_near += [ask.nothing_waits_of(_ORGANIZATION, priority) for priority in lower]
    has_room = any_of(ask.has_fewer_in_flight(_ORGANIZATION, _FAR), all_of(*may_go_near))
    is_first = [ask.nothing_else_waits(priority, _JOB) for priority in (own, *higher)]
    return all_of(has_room, ask.is_due(_JOB), *is_first)


def goes_at_once(job: Job, size: Window) -> Condition | None:
    """Return the condition under which a job may be stored as Queued; None if it has to wait.

    It may be where little is in flight at all, nothing waits before it nor of its organization, the window has room,
    and half of its organization's limit is free. The other half is for what others queue at this moment and is not
    counted yet. Of these jobs one at a time is stored, and all others leave room for it.
    """
    queue = Queue(job.job_type.pool, job.priority)
    if not (_needs_no_pass(job) and _queues_new_jobs()):
        return None
    ask, limit = store(), tenant_shares.limit_for(job) // 2
    # What is queued is counted by priority, for any pool: with several, less may go than has room.
    rule = _rule_at_once(ask, job.priority, frozenset(rival.priority for rival in size.rivals[queue]))
    values = {_ORGANIZATION: ask.key_to_database(job.organization_id), _NEAR: limit, _ROOM: size.sizes[queue]}
    return Condition(rule.sql, tuple([values.get(param, param) for param in rule.params]))


def _needs_no_pass(job: Job) -> bool:
    """Return whether a new job may go without the dispatcher, who alone knows what limits leave."""
    kind = flow_of(job.job_type)
    return not (kind.is_paused or kind.has_limits) and kind.pool in pools.names()


def _queues_new_jobs() -> bool:
    """Return whether new jobs may be stored as Queued at all: not where half of a limit is none."""
    return store().queues_new_jobs and tenant_shares.default_limit() > 1


def unseen_at_once() -> int:
    """Keep new jobs from being stored as Queued until the open transaction ends; return how many are at this moment."""
    return _MOST_UNSEEN if _queues_new_jobs() and not store().keeps_new_jobs_out() else 0


@functools.cache
def _rule_at_once(ask: Store, own: int, rivals: frozenset[int]) -> Condition:
    lower = [ask.nothing_waits_of(_ORGANIZATION, priority) for priority in _PRIORITIES if priority < own]
    is_first = [ask.nothing_waits(priority) for priority in _PRIORITIES if priority >= own]
    before_it = sorted(priority for priority in rivals if priority >= own)
    return all_of(*is_first, *lower, ask.is_idle(_ORGANIZATION, _NEAR, before_it, _ROOM))


def pick(queue: Queue, job_types: Collection[str], room: int, state: PassState) -> list[Candidate]:
    """Return up to ``room`` jobs of these types that may go now to a queue.

    One of each organization in turn, by their weights, from behind the one served last. What is picked is counted in
    ``state``, whose cursors get the organization that was served last. Where more organizations wait than a page holds,
    each page gets one round: else those of the next one would wait for many rounds of this one.
    """
    cursors, name = state.marks.cursors, cursor_key(queue)
    picked: list[Candidate] = []
    seen: set[Any] = set()
    cursor: Any = None
    while len(picked) < room:
        before = len(picked)
        is_all = True
        for page in _pages(queue, job_types, room, state):
            seen |= page.seen
            is_all = page.is_all
            found, last = _take(queue, page, room - len(picked), state)
            picked += found
            cursor = cursor if last is None else last
            if len(picked) >= room:
                break
        if cursor is not None and (
            len(seen) > 1 or not is_all
        ):  # alone, one needs no turn, and the cursor no statement
            cursors[name] = str(cursor)
        if is_all or len(picked) == before:
            break
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


def _pages(queue: Queue, job_types: Collection[str], room: int, state: PassState) -> Iterator[Page]:
    """Yield the lanes of these types, as far as those are open, page by page."""
    kinds = tuple(kind for kind in job_types if state.limits.is_open(kind))
    if not kinds:
        return
    passed = state.limits.passed()
    if not tenant_shares.are_limits_asked():
        limit, by_organization = tenant_shares.default_limit() - state.in_flight.unseen, state.in_flight.by_organization
        passed |= {(pk, ALL_TYPES) for pk, count in by_organization.items() if count >= limit}
    after = _organization_pk(state.marks.cursors.get(cursor_key(queue)))
    walk = Walk(queue.priority, kinds, after, bound=backlog.bound_of(state.limits.full(), passed))
    yield from backlog.pages(walk, room, state.marks)


def _organization_pk(text: Any) -> Any:
    return None if text is None else get_organization_model()._meta.pk.to_python(text)


def _open_lanes(lanes: list[Lane]) -> tuple[list[Lane], dict[Any, Share]]:
    """Leave out lanes whose organization is inactive or gone; return the shares of the others' organizations as well.

    Jobs of an organization that is gone would take its neighbors' turns; :mod:`django_jobs.engine.control.tenants` ends
    them. A type that no longer exists is no reason to wait: the claim ends its jobs.
    """
    if not lanes:
        return [], {}
    tenants = database.rows(get_organization_model())
    organizations = tenants.filter(pk__in={lane.organization_pk for lane in lanes})
    active = [organization for organization in database.heard(organizations) if may_start(organization)]
    shares = tenant_shares.shares_of(active)
    return [lane for lane in lanes if lane.organization_pk in shares], shares


def _take(queue: Queue, page: Page, room: int, state: PassState) -> tuple[list[Candidate], Any]:
    """Take jobs of a page, in turns; return also the organization behind which the next turns begin, if that changes.

    Of each organization the job goes first that has been ready the longest.
    """
    lanes, shares = _open_lanes(page.lanes)
    if not lanes:
        return [], None
    weights = {pk: share.weight for pk, share in shares.items()}
    most = _most_of_organization(room, list(weights.values()), is_page=not page.is_all)
    queues = _queues(queue.priority, lanes, most, state)
    order = [pk for pk in dict.fromkeys(lane.organization_pk for lane in lanes) if pk in queues]
    going = turns(order, weights, state.credits(cursor_key(queue)), is_page=not page.is_all)
    in_flight, unseen = state.in_flight.by_organization, state.in_flight.unseen
    picked: list[Candidate] = []
    for pk in going:
        has_room = in_flight[pk] < shares[pk].limit - unseen
        found = _next(queues[pk], state) if has_room else None
        if found is None:
            going.drop(pk, is_empty=has_room)
            continue
        picked.append(found)
        state.take(queue, found)
        if len(picked) >= room:
            break
    going.end()
    return picked, going.cursor


def _most_of_organization(room: int, weights: list[float], *, is_page: bool) -> int:
    """Return how many jobs of one organization to look at.

    Twice an even share, so that organizations with few jobs rarely leave room unused; of a page what its heaviest one
    may get in one round.
    """
    heaviest = max(weights) * len(weights) / sum(weights)
    share = 1 if is_page else math.ceil(room / len(weights))
    return min(room, math.ceil(2 * share * heaviest))


def _next(queue: list[Candidate], state: PassState) -> Candidate | None:
    """Take out the next job of a queue that no limit holds; None where there is none."""
    while queue:
        found = queue.pop()
        if state.limits.left(found.lane) > 0:
            return found
    return None


def _queues(priority: int, lanes: list[Lane], most: int, state: PassState) -> dict[Any, list[Candidate]]:
    """Return what each organization has at the heads of its lanes, the longest ready last."""
    counts = Counter(lane.organization_pk for lane in lanes)
    taken = [
        (lane, min(math.ceil(most / counts[lane.organization_pk]), left))
        for lane in lanes
        if (left := state.limits.left(lane)) > 0
    ]
    queues: dict[Any, list[Candidate]] = defaultdict(list)
    for candidate in _heads(priority, taken, state):
        queues[candidate.organization_pk].append(candidate)
    for queue in queues.values():
        queue.sort(key=lambda item: (item.ready_since, item.pk), reverse=True)
    return queues


def _heads(priority: int, taken: list[tuple[Lane, int]], state: PassState) -> list[Candidate]:
    """Return so many jobs of each lane. Where that is one of each, the walk has seen them already."""
    lanes = [lane for lane, most in taken if most == 1 and state.limits.is_at_ease(lane.job_type)]
    found = state.marks.firsts(priority, lanes) if len(lanes) == len(taken) else None
    return state.marks.heads(priority, taken) if found is None else found
