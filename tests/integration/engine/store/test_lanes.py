"""What a store says of the backlog: its lanes, the jobs at their heads, and conditions about what waits."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.store.base import Store
from django_jobs.engine.store.lane_values import Lane
from django_jobs.engine.store.transition_values import NOW, Condition, all_of, any_of
from django_jobs.engine.transitions import Move, move
from django_jobs.models import Job, JobType, Organization
from tests.support.brokers import job_in, pending_job, queue_up, start
from tests.support.factories import make_job_type, make_organization

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


def test_lanes_come_in_their_order_due_or_not(each_store: Store, lanes: list[Lane]) -> None:
    steps = each_store.lanes(NORMAL, None, 10)
    assert [step.lane for step in steps] == lanes
    assert [step.is_due for step in steps] == [True, False, True, True]
    assert not any(step.is_behind for step in steps)


def test_a_page_ends_with_its_size_and_the_next_begins_behind_its_last_lane(
    each_store: Store, lanes: list[Lane]
) -> None:
    pages = [each_store.lanes(NORMAL, None, 3, last=last) for last in (None, lanes[2])]
    assert [[step.lane for step in page] for page in pages] == [lanes[:3], lanes[3:]]


def test_lanes_behind_an_organization_are_told_and_found(each_store: Store, lanes: list[Lane]) -> None:
    first = lanes[0].organization_pk
    assert [step.is_behind for step in each_store.lanes(NORMAL, first, 10)] == [False, False, True, True]
    assert [step.lane for step in each_store.lanes(NORMAL, first, 10, behind=True)] == lanes[2:]
    assert each_store.lanes(NORMAL, lanes[3].organization_pk, 10, behind=True) == []


def test_a_lane_has_one_priority(each_store: Store, lanes: list[Lane]) -> None:
    assert [step.lane for step in each_store.lanes(HIGH, None, 10)] == lanes[:1]
    assert each_store.lanes(CRITICAL, None, 10) == []
    assert each_store.waiting_priorities([CRITICAL, HIGH, NORMAL, 0]) == [HIGH, NORMAL]


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
    taken = [(lanes[1], 1)]
    assert each_store.heads(NORMAL, taken) == []
    assert len(each_store.heads(NORMAL, taken, due=False)) == 1


def test_waiting_jobs_are_those_in_lanes(each_store: Store) -> None:
    waiting = [pending_job(), job_in("Failed")]
    job_in("Queued")
    pending_job(waiting[0].job_type, waiting[0].organization, depends_on=waiting[:1])
    assert {job.pk for job in each_store.waiting_jobs()} == {job.pk for job in waiting}


def holds(condition: Condition) -> bool:
    """Whether a move that asks for the condition moves its job, which waits alone with the lowest priority."""
    job = pending_job(priority="Low")
    moves = [Move(pk=job.pk, to_status="Queued", values={"queued_at": NOW, "ready_at": None})]
    moved = move(moves, sources=["Pending"], actor=SYSTEM, only_if=condition)
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
    joined = [all_of(true, true), all_of(true, false), any_of(false, true), any_of(false, false)]
    joined.append(all_of(any_of(true, false), false))
    assert [holds(condition) for condition in joined] == [True, False, True, False, False]
