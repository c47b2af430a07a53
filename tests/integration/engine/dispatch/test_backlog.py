"""Walking the waiting jobs lane by lane."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs.models import Job
from tests.support import verbs
from tests.support.brokers import MemoryBroker, pending_job
from tests.support.factories import make_job_type, make_organization
from tests.support.tuning import Tuning
from tests.support.verbs import Lane, LaneWalk


@pytest.fixture
def lanes(broker: MemoryBroker, tuning: Tuning) -> list[Lane]:
    """Six lanes with Normal priority: three organizations, two types each; read one of each type at a time."""
    tuning.set(backlog_lanes_of_type=1)
    kinds = sorted((make_job_type(), make_job_type()), key=lambda kind: kind.pk)
    expected = []
    for organization in [make_organization() for _ in range(3)]:
        for kind in kinds:
            pending_job(kind, organization)
            expected.append(Lane(organization.pk, kind.pk))
    pending_job(kinds[0], make_organization(), priority="High")
    return expected


def walked(lanes: list[Lane], priority: int, after: int | None) -> list[Lane]:
    """The lanes of a walk over all these types."""
    kinds = tuple({lane.job_type: None for lane in lanes})
    walk = LaneWalk(priority, kinds, after, bound=verbs.backlog_bound(frozenset(), frozenset()))
    return [lane for page in verbs.backlog_pages(walk, 1) for lane in page.lanes]


def test_every_lane_of_a_priority_is_walked_once(lanes: list[Lane]) -> None:
    assert walked(lanes, 1, None) == lanes


def test_the_walk_begins_behind_the_organization_that_was_served_last(lanes: list[Lane]) -> None:
    assert walked(lanes, 1, lanes[0].organization_pk) == lanes[2:] + lanes[:2]
    assert walked(lanes, 1, lanes[2].organization_pk) == lanes[4:] + lanes[:4]


def test_behind_the_last_organization_the_walk_begins_at_the_start(lanes: list[Lane]) -> None:
    assert walked(lanes, 1, lanes[5].organization_pk) == lanes


def test_a_priority_without_jobs_has_no_lanes(lanes: list[Lane]) -> None:
    assert walked(lanes, 0, None) == walked(lanes, 0, 1) == []


def test_a_lane_whose_jobs_all_wait_for_their_moment_is_passed_by(lanes: list[Lane]) -> None:
    tomorrow = verbs.now() + dt.timedelta(days=1)
    sleeping = lanes[1]
    Job.objects.filter(organization=sleeping.organization_pk, job_type=sleeping.job_type).update(ready_at=tomorrow)
    assert walked(lanes, 1, None) == [lanes[0], *lanes[2:]]
    assert walked(lanes, 1, lanes[2].organization_pk) == [*lanes[4:], lanes[0], *lanes[2:4]]


def test_of_each_lane_the_longest_ready_come_first(broker: MemoryBroker) -> None:
    organization, kind = make_organization(), make_job_type()
    jobs = [pending_job(kind, organization) for _ in range(3)]
    Job.objects.filter(pk=jobs[2].pk).update(ready_at=verbs.now() - dt.timedelta(hours=1))
    lane = Lane(organization.pk, kind.pk)
    assert [found.pk for found in verbs.store().heads(1, [(lane, 1)])] == [jobs[2].pk]


def test_of_no_lanes_there_are_no_heads(broker: MemoryBroker) -> None:
    assert verbs.store().heads(1, []) == []
