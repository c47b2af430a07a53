"""Whose turn it is to be dispatched, and who stands aside."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from django_jobs.models import EngineLease, Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import ALL_QUEUES, WORKER, MemoryBroker, pending_job, reread, start, ticket_of
from tests.support.factories import make_job_type, make_organization
from tests.support.tuning import Tuning
from tests.support.verbs import LaneWalk


def start_queued(job: Job) -> None:
    assert verbs.claim([ticket_of(job)], WORKER)


def test_a_flood_of_one_organization_leaves_the_others_their_turns(broker: MemoryBroker, kind: JobType) -> None:
    flooding, quiet, other = (make_organization() for _ in range(3))
    for _ in range(30):
        pending_job(kind, flooding)
    late = [pending_job(kind, organization) for organization in (quiet, other)]
    verbs.dispatch()
    assert {job.pk for job in late} < set(broker.pks()[:3])


def test_an_organization_with_a_flood_of_types_gets_no_more_turns(broker: MemoryBroker) -> None:
    flooding, quiet = make_organization(), make_organization()
    for kind in [make_job_type() for _ in range(6)]:
        for _ in range(3):
            pending_job(kind, flooding)
    late = [pending_job(kind, quiet) for _ in range(3)]
    verbs.dispatch()
    assert {job.pk for job in late} < set(broker.pks())


def test_the_next_turn_is_the_next_organizations(broker: MemoryBroker, kind: JobType) -> None:
    organizations = [make_organization() for _ in range(12)]
    for organization in organizations:
        for _ in range(2):
            pending_job(kind, organization)
    served = []
    for _ in range(2):
        verbs.dispatch()
        tickets = broker.take_all()
        served += [Job.objects.get(pk=ticket.pk).organization_id for ticket in tickets]
        for ticket in tickets:
            start_queued(Job.objects.get(pk=ticket.pk))
    assert set(served[:12]) == {organization.pk for organization in organizations}


def test_no_organization_has_more_in_flight_than_it_may(broker: MemoryBroker, kind: JobType, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 2}
    crowded, other = make_organization(), make_organization()
    start(pending_job(kind, crowded))
    jobs = [pending_job(kind, crowded) for _ in range(3)] + [pending_job(kind, other)]
    verbs.dispatch()
    assert set(broker.pks()) == {jobs[0].pk, jobs[3].pk}


@pytest.mark.parametrize("fields", [{"is_paused": True}, {"is_enabled": False}])
def test_jobs_of_a_closed_type_wait_while_others_go(
    broker: MemoryBroker, kind: JobType, fields: dict[str, bool]
) -> None:
    organization, closed = make_organization(), make_job_type()
    waiting = pending_job(closed, organization)
    JobType.objects.filter(pk=closed.pk).update(**fields)
    goes = pending_job(kind, organization)
    verbs.dispatch()
    assert broker.pks() == [goes.pk]
    assert reread(waiting).status == "Pending"


def test_jobs_of_an_inactive_organization_wait_while_others_go(broker: MemoryBroker, kind: JobType) -> None:
    organization = make_organization()
    waiting, goes = pending_job(kind, organization), pending_job(kind)
    organization.is_active = False
    organization.save()
    verbs.dispatch()
    assert broker.pks() == [goes.pk]
    organization.is_active = True
    organization.save()
    verbs.dispatch()
    assert reread(waiting).status == "Queued"


def test_jobs_of_an_organization_that_is_gone_take_nobodys_turn(broker: MemoryBroker, kind: JobType) -> None:
    organization = make_organization()
    pending_job(kind, organization)
    organization.delete()
    goes = pending_job(kind)
    verbs.dispatch()
    assert broker.pks() == [goes.pk]


def test_a_lost_cursor_only_starts_the_round_again(broker: MemoryBroker) -> None:
    for _ in range(2):  # of two organizations; one alone needs no turns
        pending_job()
    verbs.dispatch()
    assert EngineLease.objects.get(pk="dispatcher").state
    EngineLease.objects.filter(pk="dispatcher").delete()
    pending_job()
    assert verbs.dispatch() == 1


def passes(broker: MemoryBroker, count: int) -> list[list[Job]]:
    """What each of so many passes queued; its jobs begin at once, and make room for the next ones."""
    found = []
    for _ in range(count):
        verbs.dispatch()
        found.append([Job.objects.get(pk=ticket.pk) for ticket in broker.take_all()])
        for job in found[-1]:
            start_queued(job)
    return found


def test_organizations_that_had_fewer_turns_in_a_pass_begin_the_next_one(broker: MemoryBroker, kind: JobType) -> None:
    organizations = [make_organization() for _ in range(5)]
    for organization in organizations * 3:
        pending_job(kind, organization)
    first, second = ([job.organization_id for job in jobs] for jobs in passes(broker, 2))
    assert len(first) == 8
    assert set(second[:2]) == {organization.pk for organization in organizations} - set(first[5:])


@pytest.fixture
def _two_slots() -> None:
    """A worker that wants two tickets within reach."""
    verbs.announce_worker(WORKER, ALL_QUEUES, slots=2)


@pytest.mark.usefixtures("_two_slots")
def test_an_organization_with_more_types_than_a_walk_looks_at_takes_nobodys_turn(broker: MemoryBroker) -> None:
    broker.is_down = True
    greedy, quiet = make_organization(), make_organization()
    kinds = [make_job_type() for _ in range(60)]
    for kind in kinds:
        pending_job(kind, greedy)
    late = [pending_job(kinds[0], quiet) for _ in range(3)]
    broker.is_down = False
    assert {job.pk for job in late} < {job.pk for queued in passes(broker, 4) for job in queued}


@pytest.mark.usefixtures("_two_slots")
def test_among_many_organizations_and_types_each_gets_its_turn_in_time(broker: MemoryBroker) -> None:
    broker.is_down = True
    kinds = [make_job_type() for _ in range(14)]
    closed, shut = kinds[:2]
    greedy = [make_organization() for _ in range(5)]
    modest, inactive = [make_organization() for _ in range(6)], make_organization()
    for organization in [*greedy, inactive]:
        for kind in kinds:
            pending_job(kind, organization)
    for organization in modest:
        pending_job(closed, organization), pending_job(kinds[-1], organization)
    JobType.objects.filter(pk=closed.pk).update(is_paused=True)
    JobType.objects.filter(pk=shut.pk).update(is_enabled=False)
    Organization.objects.filter(pk=inactive.pk).update(is_active=False)
    broker.is_down = False
    turns = [job.organization_id for queued in passes(broker, 6) for job in queued]
    assert sorted(turns[:11]) == sorted(organization.pk for organization in [*greedy, *modest])


@pytest.mark.usefixtures("_two_slots")
def test_no_type_of_an_organization_waits_for_ever_behind_its_others(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.is_down = True
    organization = make_organization()
    kinds = sorted((make_job_type() for _ in range(60)), key=lambda kind: kind.pk)
    oldest = pending_job(kinds[-1], organization)
    for kind in kinds[:-1]:
        pending_job(kind, organization)
    broker.is_down = False
    ends = iter([slice(None, verbs.TYPES_PER_ORGANIZATION)] * 7 + [slice(-verbs.TYPES_PER_ORGANIZATION, None)])
    monkeypatch.setattr(random, "sample", lambda items, _: items[next(ends)])
    assert oldest in [job for queued in passes(broker, 8) for job in queued]


@pytest.mark.usefixtures("_two_slots")
def test_many_lanes_of_an_organization_keep_a_walk_from_no_other(broker: MemoryBroker) -> None:
    broker.is_down = True
    organizations = [make_organization() for _ in range(2)]
    for kind in [make_job_type() for _ in range(60)]:
        pending_job(kind, organizations[0])
    pending_job(kind, organizations[1])
    kinds = tuple(JobType.objects.values_list("pk", flat=True))
    walk = LaneWalk(1, kinds, bound=verbs.backlog_bound(frozenset(), frozenset()))
    lanes = [lane for page in verbs.backlog_pages(walk, 10) for lane in page.lanes]
    assert {lane.organization_pk for lane in lanes} == {item.pk for item in organizations}


def test_more_organizations_than_a_page_holds_fill_all_the_room_of_one_pass(
    broker: MemoryBroker, tuning: Tuning
) -> None:
    """A further round of a page goes on behind what was picked, and no job is counted twice."""
    tuning.set(backlog_lanes_at_once=4)
    verbs.announce_worker("a-worker", ALL_QUEUES, slots=100)
    limited = make_job_type(max_running=20)
    broker.is_down = True
    for _ in range(6):
        organization = make_organization()
        for _ in range(4):
            pending_job(limited, organization)
    broker.is_down = False
    verbs.dispatch()
    rows = Job.objects.filter(status="Queued").values_list("organization_id", flat=True)
    assert sorted(Counter(rows).values()) == [3, 3, 3, 3, 4, 4]
