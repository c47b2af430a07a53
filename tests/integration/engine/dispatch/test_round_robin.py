"""Whose turn it is to be dispatched, and who stands aside."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.execution.claim import claim
from django_jobs.models import EngineLease, Job, JobType
from tests.support.brokers import WORKER, MemoryBroker, pending_job, reread, start, ticket_of
from tests.support.factories import make_job_type, make_organization


def start_queued(job: Job) -> None:
    assert claim([ticket_of(job)], WORKER)


def test_a_flood_of_one_organization_leaves_the_others_their_turns(broker: MemoryBroker, kind: JobType) -> None:
    flooding, quiet, other = (make_organization() for _ in range(3))
    for _ in range(30):
        pending_job(kind, flooding)
    late = [pending_job(kind, organization) for organization in (quiet, other)]
    dispatcher.dispatch()
    assert {job.pk for job in late} < set(broker.pks()[:3])


def test_an_organization_with_a_flood_of_types_gets_no_more_turns(broker: MemoryBroker) -> None:
    flooding, quiet = make_organization(), make_organization()
    for kind in [make_job_type() for _ in range(6)]:
        for _ in range(3):
            pending_job(kind, flooding)
    late = [pending_job(kind, quiet) for _ in range(3)]
    dispatcher.dispatch()
    assert {job.pk for job in late} < set(broker.pks())


def test_the_next_turn_is_the_next_organizations(broker: MemoryBroker, kind: JobType) -> None:
    organizations = [make_organization() for _ in range(12)]
    for organization in organizations:
        for _ in range(2):
            pending_job(kind, organization)
    served = []
    for _ in range(2):
        dispatcher.dispatch()
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
    dispatcher.dispatch()
    assert set(broker.pks()) == {jobs[0].pk, jobs[3].pk}


@pytest.mark.parametrize("fields", [{"is_paused": True}, {"is_enabled": False}])
def test_jobs_of_a_closed_type_wait_while_others_go(
    broker: MemoryBroker, kind: JobType, fields: dict[str, bool]
) -> None:
    organization, closed = make_organization(), make_job_type()
    waiting = pending_job(closed, organization)
    JobType.objects.filter(pk=closed.pk).update(**fields)
    goes = pending_job(kind, organization)
    dispatcher.dispatch()
    assert broker.pks() == [goes.pk]
    assert reread(waiting).status == "Pending"


def test_jobs_of_an_inactive_organization_wait_while_others_go(broker: MemoryBroker, kind: JobType) -> None:
    organization = make_organization()
    waiting, goes = pending_job(kind, organization), pending_job(kind)
    organization.is_active = False
    organization.save()
    dispatcher.dispatch()
    assert broker.pks() == [goes.pk]
    organization.is_active = True
    organization.save()
    dispatcher.dispatch()
    assert reread(waiting).status == "Queued"


def test_jobs_of_an_organization_that_is_gone_take_nobodys_turn(broker: MemoryBroker, kind: JobType) -> None:
    organization = make_organization()
    pending_job(kind, organization)
    organization.delete()
    goes = pending_job(kind)
    dispatcher.dispatch()
    assert broker.pks() == [goes.pk]


def test_a_lost_cursor_only_starts_the_round_again(broker: MemoryBroker) -> None:
    for _ in range(2):  # of two organizations; one alone needs no turns
        pending_job()
    dispatcher.dispatch()
    assert EngineLease.objects.get(pk="dispatcher").state
    EngineLease.objects.filter(pk="dispatcher").delete()
    pending_job()
    assert dispatcher.dispatch() == 1
