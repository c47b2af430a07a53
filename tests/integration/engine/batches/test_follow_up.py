"""What follows a batch, submitted by hand where that was not possible when the batch ended."""

from __future__ import annotations

import pytest

from django_jobs import create_batch, get_batch_status, retry_batch
from django_jobs.engine.control.batches import close_batch, submit_follow_up
from django_jobs.exceptions import BatchNotFound, InvalidTransition, PermissionDenied
from django_jobs.models import Batch, Job, JobType, Organization
from django_jobs.testing import run_jobs
from tests.support.batches import make_batch, state
from tests.support.factories import make_job_type, make_organization, make_user

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def later() -> JobType:
    return make_job_type(type_name="report")


def let_run(kind: JobType, *, enabled: bool) -> None:
    JobType.objects.filter(pk=kind.pk).update(is_enabled=enabled)


@pytest.fixture
def batch(organization: Organization, later: JobType) -> Batch:
    """A batch that has ended without what should follow it."""
    batch = make_batch(organization, "Completed", then={"job_type": later.pk})
    let_run(later, enabled=False)
    run_jobs()
    return batch


def test_it_is_submitted_once_the_cause_is_mended(batch: Batch, later: JobType) -> None:
    assert "disabled" in submit_follow_up(batch).fault
    let_run(later, enabled=True)
    ended = Batch.objects.get(pk=batch.pk).completed_at
    assert submit_follow_up(batch.batch_id).fault == ""
    assert Batch.objects.get(pk=batch.pk).completed_at == ended
    status = get_batch_status(batch)
    assert (status.state, status.fault, status.then_job is None) == ("Completed", "", False)
    with pytest.raises(InvalidTransition, match="nothing is missing"):
        submit_follow_up(batch)
    assert Job.objects.filter(job_type=later).count() == 1


def test_a_fault_of_an_end_that_came_to_naught_is_forgotten(organization: Organization, later: JobType) -> None:
    batch = create_batch(organization, on_failure={"job_type": later.pk})
    kind = make_job_type("fail_for_good")
    batch.submit(kind)
    batch.close()
    let_run(later, enabled=False)
    run_jobs()
    assert "on_failure" in get_batch_status(batch).fault
    JobType.objects.filter(pk=kind.pk).update(handler_method="tests.support.handlers.do_nothing")
    retry_batch(batch)
    run_jobs()
    assert (state(batch), get_batch_status(batch).fault) == ("Completed", "")


def test_managers_may_and_owners_may_not(batch: Batch, organization: Organization, later: JobType) -> None:
    let_run(later, enabled=True)
    owner = make_user("owner", member_of=[organization])
    Batch.objects.filter(pk=batch.pk).update(owner=owner, owner_name="owner")
    with pytest.raises(PermissionDenied):
        submit_follow_up(batch, user=owner)
    with pytest.raises(BatchNotFound):
        submit_follow_up(batch, user=make_user("stranger", admin_of=[make_organization()]))
    submit_follow_up(batch, user=make_user("boss", admin_of=[organization]))


def test_owners_and_managers_close_a_batch(organization: Organization) -> None:
    owner = make_user("owner", member_of=[organization])
    first, second = create_batch(organization, user=owner), create_batch(organization, user=owner)
    with pytest.raises(PermissionDenied):
        close_batch(first, user=make_user("member", member_of=[organization]))
    assert close_batch(first, user=owner).state == "Completed"
    assert close_batch(second.batch_id, user=make_user("boss", admin_of=[organization])).state == "Completed"
