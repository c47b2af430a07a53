"""What a store says of the backlog: its lanes, the jobs at their heads, and conditions about what waits."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest

from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import MemoryBroker, job_in, pending_job, queue_up, start
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import (
    ALL_TYPES,
    LANE_BEGIN,
    NOW,
    SYSTEM,
    Condition,
    Lane,
    LaneBound,
    LaneMark,
    LaneWalk,
    Move,
    Store,
)

pytestmark = pytest.mark.usefixtures("broker")

TOMORROW = dt.timedelta(days=1)
NORMAL, HIGH, CRITICAL = 1, 2, 3


@pytest.fixture
def lanes() -> list[Lane]:
    """Four lanes with Normal priority, in their order, of which the second has nothing that is due; one with High."""
    kinds = sorted((make_job_type(), make_job_type()), key=lambda kind: kind.pk)
    organizations = [make_organization(), make_organization()]
    for organization in organizations:
        for kind in kinds:
            pending_job(kind, organization)
    pending_job(kinds[0], organizations[0], priority="High")
    lanes = [Lane(organization.pk, kind.pk) for organization in organizations for kind in kinds]
    later = Job.objects.get(priority=NORMAL, organization=lanes[1].organization_pk, job_type=lanes[1].job_type)
    Job.objects.filter(pk=later.pk).update(ready_at=later.created_at + TOMORROW)
    return lanes


def walk_of(lanes: list[Lane], **how: Any) -> LaneWalk:
    """A walk over the lanes of all these types."""
    return LaneWalk(NORMAL, tuple({lane.job_type: None for lane in lanes}), **how)


def keyed_lanes(kind: JobType, organization: Organization, count: int) -> list[Lane]:
    """Lanes of one organization and type, one job each, in their order."""
    for key in range(1, count + 1):
        Job.objects.filter(pk=pending_job(kind, organization).pk).update(lane_key=key)
    return [Lane(organization.pk, kind.pk, key) for key in range(1, count + 1)]


def test_lanes_come_by_organizations_due_or_not(each_store: Store, lanes: list[Lane]) -> None:
    steps = each_store.lanes(walk_of(lanes), 10)
    assert [step.lane for step in steps] == lanes
    assert [step.is_due for step in steps] == [True, False, True, True]
    assert not any(step.is_behind for step in steps)


def test_types_that_are_not_asked_for_are_not_walked(each_store: Store, lanes: list[Lane]) -> None:
    assert [step.lane for step in each_store.lanes(walk_of(lanes[:1]), 10)] == [lanes[0], lanes[2]]


def test_a_page_has_so_many_lanes_of_each_type(each_store: Store, lanes: list[Lane]) -> None:
    assert [step.lane for step in each_store.lanes(walk_of(lanes), 1)] == lanes[:2]


def test_a_walk_of_one_type_goes_on_behind_its_last_lane(each_store: Store, lanes: list[Lane]) -> None:
    pages = [each_store.lanes(walk_of(lanes[:1], last=last), 1) for last in (None, lanes[0], lanes[2])]
    assert [[step.lane for step in page] for page in pages] == [[lanes[0]], [lanes[2]], []]


def test_lanes_behind_an_organization_are_told_and_found(each_store: Store, lanes: list[Lane]) -> None:
    first, last = lanes[0].organization_pk, lanes[3].organization_pk
    assert [step.is_behind for step in each_store.lanes(walk_of(lanes, after=first), 10)] == [False, False, True, True]
    assert [step.lane for step in each_store.lanes(walk_of(lanes, behind=first), 10)] == lanes[2:]
    assert each_store.lanes(walk_of(lanes, behind=last), 10) == []


def test_keys_make_lanes_of_their_own(each_store: Store, kind: JobType, organization: Organization) -> None:
    own = keyed_lanes(kind, organization, 3)
    assert [step.lane for step in each_store.lanes(walk_of(own), 10)] == own
    assert [step.lane for step in each_store.lanes(walk_of(own, last=own[0]), 10)] == own[1:]
    (head,) = each_store.heads(NORMAL, [(own[1], 5)])
    assert (head.lane, Job.objects.get(pk=head.pk).lane_key) == (own[1], 2)


def test_the_rest_of_an_organizations_keys_is_hopped_over(each_store: Store, kind: JobType) -> None:
    greedy, other = make_organization(), make_organization()
    own = keyed_lanes(kind, greedy, 6)
    theirs = Lane(pending_job(kind, other).organization_id, kind.pk)
    Job.objects.filter(organization=greedy.pk, lane_key=2).update(ready_at=verbs.now() + TOMORROW)

    def walked(most: int, *full: Lane, **how: Any) -> list[Lane]:
        bound = LaneBound(most, frozenset(full))
        return [step.lane for step in each_store.lanes(walk_of(own, bound=bound, **how), 10)]

    assert walked(2) == [*own[:3], theirs]  # the second one, which has nothing due, does not count
    assert walked(2, own[0], own[2]) == [*own[:5], theirs]
    assert walked(1, last=own[2]) == [own[3], theirs]
    assert walked(9) == [*own, theirs]


def test_full_lanes_and_passed_organizations_do_not_fill_a_page(each_store: Store, kind: JobType) -> None:
    full, passed, free = make_organization(), make_organization(), make_organization()
    lanes = [keyed_lanes(kind, organization, 3) for organization in (full, passed, free)]
    for of in (kind.pk, ALL_TYPES):
        bound = LaneBound(9, frozenset(lanes[0][:2]), frozenset({(passed.pk, of)}))
        steps = each_store.lanes(walk_of(lanes[0], bound=bound), 2)
        assert [step.lane for step in steps] == [*lanes[0], lanes[1][0], lanes[2][0]], of
    elsewhere = LaneBound(9, passed=frozenset({(passed.pk, "another")}))
    assert len(each_store.lanes(walk_of(lanes[0], bound=elsewhere), 20)) == 9


def test_a_lane_has_one_priority(each_store: Store, lanes: list[Lane]) -> None:
    kinds = (lanes[0].job_type, lanes[1].job_type)
    assert [step.lane for step in each_store.lanes(LaneWalk(HIGH, kinds), 10)] == lanes[:1]
    assert each_store.lanes(LaneWalk(CRITICAL, kinds), 10) == []
    assert each_store.waiting_priorities([CRITICAL, HIGH, NORMAL, 0]) == [HIGH, NORMAL]


def test_types_that_wait_are_told_by_priority(each_store: Store, lanes: list[Lane]) -> None:
    first, second = lanes[0].job_type, lanes[1].job_type
    expected = [(HIGH, first), (NORMAL, first), (NORMAL, second)]
    assert sorted(each_store.waiting_types([CRITICAL, HIGH, NORMAL])) == sorted(expected)
    assert each_store.waiting_types([CRITICAL]) == []
    Job.objects.filter(job_type=second).update(is_delayed=True)
    assert sorted(each_store.waiting_types([HIGH, NORMAL])) == sorted(expected[:2])
    assert (NORMAL, second) in each_store.waiting_types([NORMAL], delayed=True)


def test_types_with_marks_need_not_be_told(each_store: Store, lanes: list[Lane]) -> None:
    first, second = lanes[0].job_type, lanes[1].job_type
    for marked in ({(NORMAL, first)}, {(NORMAL, second)}, {(NORMAL, "a"), (NORMAL, "zz"), (HIGH, "zz")}):
        told = set(each_store.waiting_types([HIGH, NORMAL], marked=marked)) | marked
        assert told >= {(HIGH, first), (NORMAL, first), (NORMAL, second)}, marked


def test_heads_are_the_longest_ready_of_each_lane(each_store: Store, kind: JobType, organization: Organization) -> None:
    first, second, third = (pending_job(kind, organization) for _ in range(3))
    Job.objects.filter(pk=third.pk).update(ready_at=third.created_at - TOMORROW)
    other = pending_job(make_job_type(), organization)
    taken = [(Lane(organization.pk, kind.pk), 2), (Lane(organization.pk, other.job_type_id), 5)]
    heads = sorted(each_store.heads(NORMAL, taken), key=lambda head: head.ready_since)
    assert [head.pk for head in heads] == [third.pk, first.pk, other.pk]
    assert {head.organization_pk for head in heads} == {organization.pk}
    assert each_store.heads(NORMAL, []) == []
    assert second.pk not in {head.pk for head in heads}


def test_heads_that_wait_for_their_moment_are_found_when_asked_for(each_store: Store, lanes: list[Lane]) -> None:
    organization, kind, _ = lanes[1]
    Job.objects.filter(organization=organization, job_type=kind).update(is_delayed=True)
    taken = [(lanes[1], 1)]
    assert each_store.heads(NORMAL, taken) == []
    assert len(each_store.heads(NORMAL, taken, delayed=True)) == 1


def test_waiting_jobs_are_those_in_lanes(each_store: Store) -> None:
    waiting = [pending_job(), job_in("Failed")]
    job_in("Queued")
    pending_job(waiting[0].job_type, waiting[0].organization, depends_on=waiting[:1])
    assert {job.pk for job in each_store.waiting_jobs()} == {job.pk for job in waiting}


def holds(condition: Condition) -> bool:
    """Whether a move that asks for the condition moves its job, which waits alone with the lowest priority."""
    job = pending_job(priority="Low")
    moves = [Move(pk=job.pk, to_status="Queued", values={"queued_at": NOW, "ready_at": None})]
    moved = verbs.move(moves, verbs.Terms(sources=["Pending"], actor=SYSTEM, only_if=condition))
    Job.objects.filter(pk=job.pk).delete()
    return bool(moved)


def test_a_condition_asks_whether_a_job_is_due(each_store: Store) -> None:
    job, later, queued = pending_job(), pending_job(), job_in("Queued")
    Job.objects.filter(pk=later.pk).update(ready_at=later.created_at + TOMORROW)
    assert [holds(each_store.is_due(item.pk)) for item in (job, later, queued)] == [True, False, False]


def test_a_condition_asks_whether_another_job_waits_with_a_priority(each_store: Store) -> None:
    job = pending_job()
    assert holds(each_store.nothing_else_waits(NORMAL, job.pk))
    assert holds(each_store.nothing_else_waits(HIGH, job.pk))
    pending_job(priority="High")
    assert not holds(each_store.nothing_else_waits(NORMAL, -1))
    assert not holds(each_store.nothing_else_waits(HIGH, job.pk))


def test_a_condition_asks_whether_an_organization_waits_with_a_priority(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    pending_job(kind, organization)
    asked = [(organization.pk, NORMAL), (organization.pk, HIGH), (make_organization().pk, NORMAL)]
    assert [holds(each_store.nothing_waits_of(*item)) for item in asked] == [False, True, True]


def test_a_condition_asks_how_many_jobs_of_an_organization_are_in_flight(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    queue_up(pending_job(kind, organization))
    start(pending_job(kind, organization))
    job_in("Queued"), pending_job(kind, organization)
    asked = [(organization.pk, 2), (organization.pk, 3), (make_organization().pk, 1)]
    assert [holds(each_store.has_fewer_in_flight(*item)) for item in asked] == [False, True, True]


def test_conditions_are_joined(each_store: Store) -> None:
    true, false = each_store.nothing_else_waits(CRITICAL, -1), each_store.has_fewer_in_flight(make_organization().pk, 0)
    joined = [
        verbs.all_of(true, true),
        verbs.all_of(true, false),
        verbs.any_of(false, true),
        verbs.any_of(false, false),
    ]
    joined.append(verbs.all_of(verbs.any_of(true, false), false))
    assert [holds(condition) for condition in joined] == [True, False, True, False, False]


@pytest.fixture
def marking_store(each_store: Store) -> Store:
    """A store whose walks begin at marks."""
    if not each_store.marks_lanes:
        pytest.skip("This store ignores marks.")
    return each_store


def test_walks_tell_the_same_whichever_lanes_have_a_mark_before_their_jobs(
    each_store: Store, lanes: list[Lane]
) -> None:
    keyed = Job.objects.filter(organization=lanes[3].organization_pk, job_type=lanes[3].job_type).first()
    assert keyed is not None
    other = pending_job(keyed.job_type, Organization.objects.get(pk=keyed.organization_id))
    Job.objects.filter(pk=other.pk).update(lane_key=7)
    lanes = [*lanes, lanes[3]._replace(key=7)]
    everywhere = [*lanes, Lane(lanes[0].organization_pk, "a"), lanes[0]._replace(key=-5), lanes[4]._replace(key=9)]
    starts: list[dict[str, Any]] = [{}, {"bound": LaneBound(1)}, {"bound": LaneBound(1, frozenset(lanes[:1]))}]
    starts += [{"behind": lane.organization_pk} for lane in lanes[::3]]
    starts += [{"last": lane} for lane in lanes]
    for how in starts:
        of = [how["last"]] if "last" in how else lanes
        walk = walk_of(of, after=lanes[0].organization_pk, **how)
        plain = [step[:3] for step in each_store.lanes(walk, 10)]
        for marked in itertools.chain.from_iterable(itertools.combinations(everywhere, n) for n in (1, 2, 8)):
            steps = each_store.lanes(walk, 10, dict.fromkeys(marked, LANE_BEGIN))
            told = [step[:3] for step in steps if step.lane in lanes]
            assert told == plain, (how, marked)
            assert not any(step.is_due for step in steps if step.lane not in lanes)


def test_a_marked_lane_is_looked_at_from_its_mark_on(marking_store: Store, kind: JobType) -> None:
    early, late = pending_job(kind), pending_job(kind)
    Job.objects.filter(pk=late.pk).update(organization=early.organization_id)
    lane = Lane(early.organization_id, kind.pk)
    (step,) = marking_store.lanes(walk_of([lane]), 10)
    assert step.first is not None
    assert step.first.pk == early.pk
    for pk, first in ((early.pk, early.pk), (late.pk, late.pk)):
        mark = LaneMark(str(Job.objects.get(pk=pk).ready_at), pk)
        (step,) = marking_store.lanes(walk_of([lane]), 10, {lane: mark})
        assert step.first is not None
        assert (step.first.pk, step.is_due) == (first, True)
        heads = marking_store.heads(NORMAL, [(lane, 5)], starts={lane: mark})
        assert [head.pk for head in heads] == [early.pk, late.pk][-2 if pk == early.pk else -1 :]
    (step,) = marking_store.lanes(walk_of([lane]), 10, {lane: LaneMark(str(late.ready_at), late.pk + 1)})
    assert (step.lane, step.is_due, step.first) == (lane, False, None)


def test_no_mark_is_told_that_an_open_transaction_may_still_get_behind(marking_store: Store) -> None:
    job = pending_job()
    (young,) = marking_store.lanes(LaneWalk(NORMAL, (job.job_type_id,)), 10)
    Job.objects.filter(pk=job.pk).update(ready_at=job.created_at - TOMORROW)
    (old,) = marking_store.lanes(LaneWalk(NORMAL, (job.job_type_id,)), 10)
    assert (young.mark != young.first, old.mark == old.first) == (True, True)
    (again,) = marking_store.lanes(LaneWalk(NORMAL, (job.job_type_id,)), 10, {young.lane: young.mark or LANE_BEGIN})
    assert again.first is None


@pytest.mark.parametrize("closed", ["full", "passed"])
def test_a_walk_is_told_of_thousands_of_lanes_that_may_not_go(
    broker: MemoryBroker, kind: JobType, organization: Organization, closed: str
) -> None:
    broker.is_down = True
    job = pending_job(kind, organization)
    many = range(organization.pk + 1, organization.pk + 2_001)
    bound = LaneBound(
        50,
        full=frozenset(Lane(pk, kind.pk) for pk in many) if closed == "full" else frozenset(),
        passed=frozenset((pk, kind.pk) for pk in many) if closed == "passed" else frozenset(),
    )
    steps = verbs.store().lanes(LaneWalk(job.priority, (kind.pk,), bound=bound), 50)
    assert [step.lane for step in steps] == [Lane(organization.pk, kind.pk)]
