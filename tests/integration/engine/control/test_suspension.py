"""A suspended organization: nothing new starts, what runs ends, and it goes on by itself."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import TestCase

from django_jobs import get_job_status, submit_job
from django_jobs.exceptions import InvalidSubmission
from django_jobs.models import Job, Organization
from tests.support import verbs
from tests.support.brokers import WORKER, MemoryBroker, end, job_in, pending_job, raised, reread, returned, running_job
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import OrphanWatch, Scheduler

pytestmark = pytest.mark.usefixtures("broker")


def suspend(organization: Organization) -> None:
    Organization.objects.filter(pk=organization.pk).update(is_active=False)
    verbs.forget_claim_verdicts()


def reactivate(organization: Organization) -> None:
    """As a person does in the admin: the row is read, changed and saved, and the transaction commits."""
    row = Organization.objects.get(pk=organization.pk)
    row.is_active = True
    with TestCase.captureOnCommitCallbacks(execute=True):
        row.save()
    verbs.forget_claim_verdicts()


def test_it_submits_nothing(organization: Organization) -> None:
    suspend(organization)
    with pytest.raises(InvalidSubmission) as caught:
        submit_job(make_job_type(), organization)
    assert caught.value.codes == {"organization": ["organization_inactive"]}


@pytest.mark.parametrize("status", ["Pending", "Failed", "Timed Out"])
def test_its_waiting_jobs_wait(status: str, organization: Organization, broker: MemoryBroker) -> None:
    job = job_in(status, organization=organization)
    broker.lose_tickets()
    suspend(organization)
    Job.objects.update(ready_at=job.created_at)
    assert verbs.dispatch() == 0
    assert (reread(job).status, get_job_status(job).waiting_for) == (status, "organization_inactive")


def test_a_queued_job_is_withdrawn_when_a_worker_takes_its_ticket(
    organization: Organization, broker: MemoryBroker
) -> None:
    job = pending_job(organization=organization)
    verbs.dispatch()
    suspend(organization)
    assert verbs.claim(broker.take_all(), WORKER) == []
    assert (reread(job).status, reread(job).attempt) == ("Pending", 0)
    assert verbs.dispatch() == 0


def test_a_running_job_completes(organization: Organization) -> None:
    _, claimed = running_job(organization=organization)
    suspend(organization)
    assert end(returned(claimed)).status == "Completed"


def test_a_running_job_that_fails_waits_with_its_retry(organization: Organization) -> None:
    job, claimed = running_job(organization=organization)
    suspend(organization)
    end(raised(claimed, retry_after=0))
    assert verbs.dispatch() == 0
    reactivate(organization)
    assert reread(job).status == "Queued"


def test_a_suspended_organizations_jobs_are_no_orphans(organization: Organization) -> None:
    pending_job(organization=organization)
    suspend(organization)
    assert OrphanWatch().bury() == 0


def test_saving_it_as_active_sends_its_jobs_off_at_once(organization: Organization, broker: MemoryBroker) -> None:
    job = pending_job(organization=organization)
    suspend(organization)
    reactivate(organization)
    assert broker.pks() == [job.pk]


def test_a_rolled_back_reactivation_sends_nothing_off(organization: Organization, broker: MemoryBroker) -> None:
    pending_job(organization=organization)
    suspend(organization)
    with TestCase.captureOnCommitCallbacks():
        organization.save()
    assert broker.pks() == []


def test_a_new_or_inactive_organization_wakes_nobody(organization: Organization, broker: MemoryBroker) -> None:
    with TestCase.captureOnCommitCallbacks() as callbacks:
        make_organization(name="ORG-NEW")
        make_organization(is_active=False)
    assert callbacks == []


def test_reactivated_by_an_update_it_goes_on_at_the_next_tick(organization: Organization, broker: MemoryBroker) -> None:
    job = pending_job(organization=organization)
    suspend(organization)
    Scheduler("one").tick()
    Organization.objects.update(is_active=True)
    Scheduler("one").tick()
    assert broker.pks() == [job.pk]


def test_thousands_of_waiting_jobs_of_it_delay_nobody(
    organization: Organization, broker: MemoryBroker, django_assert_max_num_queries: Any
) -> None:
    kind = make_job_type(default_priority="Critical")
    job = pending_job(kind, organization)
    rows = list(Job.objects.filter(pk=job.pk).values())
    copies = [Job(**{**row, "id": None, "job_type_id": kind.pk}) for row in rows for _ in range(2_000)]
    Job.objects.bulk_create(copies)
    suspend(organization)
    other = pending_job(kind)
    with django_assert_max_num_queries(35):  # where each hop from lane to lane is a statement
        verbs.dispatch()
    assert broker.pks() == [other.pk]
