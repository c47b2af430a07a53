"""An organization goes: its jobs end with the reason, and nobody else notices."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from django_jobs import cancel_job, get_job_history, get_job_status, retry_job, submit_job
from django_jobs.exceptions import JobNotFound
from django_jobs.models import Job, Organization
from tests.support import verbs
from tests.support.brokers import WORKER, MemoryBroker, end, job_in, pending_job, raised, reread, returned, running_job
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.tuning import Tuning
from tests.support.verbs import OrphanWatch, Scheduler

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def organization() -> Organization:
    return make_organization(name="ORG-GONE")


def pk_of_gone(organization: Organization) -> int:
    """Delete it, and return what its jobs still point to."""
    pk = organization.pk
    organization.delete()
    return pk


def bury_all() -> int:
    """One whole pass, however many batches it takes."""
    watch, total = OrphanWatch(), 0
    while count := watch.bury():
        total += count
    return total


def assert_buried(job: Job) -> None:
    row = reread(job)
    assert (row.status, row.error_type, row.is_orphaned) == ("Dead Letter", "Permanent", False)
    assert row.organization_name == "ORG-GONE"
    assert row.completed_at
    assert (row.ready_at, row.next_retry_at) == (None, None)
    last = get_job_history(job)[-1]
    assert (last["message"], last["actor"]) == (row.error_message, "scheduler")


@pytest.mark.parametrize("status", ["Pending", "Queued", "Failed", "Timed Out"])
def test_whatever_waits_ends_at_the_schedulers_next_tick(status: str, organization: Organization) -> None:
    job = job_in(status, organization=organization)
    organization.delete()
    assert Scheduler("one").tick()["bury_orphans"] == 1
    assert_buried(job)


def test_a_job_that_is_due_in_a_year_ends_now(organization: Organization) -> None:
    job = pending_job(organization=organization, run_at=verbs.now() + dt.timedelta(days=365))
    organization.delete()
    assert bury_all() == 1
    assert_buried(job)


def test_what_waits_for_parents_ends_with_the_same_reason(organization: Organization) -> None:
    kind = make_job_type()
    parent = submit_job(kind, organization)
    child = submit_job(kind, organization, depends_on=parent)
    grandchild = submit_job(kind, organization, depends_on=[child, parent])
    organization.delete()
    assert bury_all() == 3
    assert_buried(parent)
    assert_buried(child)
    assert_buried(grandchild)


def test_jobs_of_paused_types_end_too(organization: Organization) -> None:
    kind = make_job_type()
    job = pending_job(kind, organization)
    kind.is_paused = True
    kind.save()
    organization.delete()
    bury_all()
    assert_buried(job)


def test_a_running_job_completes(organization: Organization) -> None:
    job, claimed = running_job(organization=organization)
    organization.delete()
    assert bury_all() == 0
    assert end(returned(claimed)).status == "Completed"
    assert reread(job).organization_name == "ORG-GONE"


def test_a_running_job_that_fails_is_not_tried_again(organization: Organization) -> None:
    job, claimed = running_job(organization=organization)
    organization.delete()
    assert end(raised(claimed)).status == "Failed"
    bury_all()
    assert_buried(job)


@pytest.mark.parametrize("status", ["Completed", "Canceled"])
def test_what_has_ended_stays_as_it_is(status: str, organization: Organization) -> None:
    job = job_in(status, organization=organization)
    organization.delete()
    assert bury_all() == 0
    assert reread(job).status == status


def test_jobs_of_others_are_left_alone(organization: Organization) -> None:
    other = pending_job()
    inactive = pending_job(organization=make_organization())
    Organization.objects.filter(pk=inactive.organization_id).update(is_active=False)
    pending_job(organization=organization)
    organization.delete()
    assert bury_all() == 1
    assert (reread(other).status, reread(inactive).status) == ("Pending", "Pending")


def test_orphans_take_neither_a_turn_nor_a_place_in_the_window(
    broker: MemoryBroker, organization: Organization
) -> None:
    kind = make_job_type(default_priority="Critical")
    for _ in range(20):
        pending_job(kind, organization)
    organization.delete()
    others = [pending_job(kind) for _ in range(3)]
    verbs.dispatch()
    assert broker.pks() == [job.pk for job in others]


def test_many_end_in_bounded_batches(tuning: Tuning, organization: Organization) -> None:
    tuning.set(tenant_deletion_jobs=2)
    kind = make_job_type()
    for _ in range(5):
        pending_job(kind, organization)
    organization.delete()
    watch = OrphanWatch()
    assert [watch.bury() for _ in range(4)] == [2, 2, 1, 0]


def test_the_walk_goes_on_where_it_stopped(tuning: Tuning, organization: Organization) -> None:
    tuning.set(backlog_lanes_at_once=2, tenant_deletion_pages=1)
    kind = make_job_type()
    for _ in range(4):
        pending_job(kind)
    late = make_organization(name="late")
    pending_job(kind, late)
    late.delete()
    watch = OrphanWatch()
    assert [watch.bury() for _ in range(3)] == [0, 0, 1]


def test_a_claim_ends_what_still_has_a_ticket(
    broker: MemoryBroker,
    organization: Organization,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: Any,
) -> None:
    job = pending_job(organization=organization)
    verbs.dispatch()
    organization.delete()
    with django_capture_on_commit_callbacks(execute=True):
        assert verbs.claim(broker.take_all(), WORKER) == []
    row = reread(job)
    assert (row.status, row.error_type, row.attempt) == ("Dead Letter", "Permanent", 0)
    assert [found.code for found in caplog.records if found.levelname == "ERROR"] == ["organization_gone"]  # type: ignore[attr-defined]


def test_deleting_a_tenant_touches_no_row(organization: Organization) -> None:
    job = pending_job(organization=organization)
    pk = pk_of_gone(organization)
    row = reread(job)
    assert (row.status, row.organization_id, row.organization_name) == ("Pending", pk, "ORG-GONE")


def test_its_jobs_are_a_secret_of_the_system_admins(organization: Organization) -> None:
    member, manager = make_user(member_of=[organization]), make_user(admin_of=[organization])
    job = pending_job(organization=organization, user=member)
    organization.delete()
    for verb in (get_job_status, get_job_history, cancel_job, retry_job):
        for user in (member, manager):
            with pytest.raises(JobNotFound):
                verb(job.name, user=user)
    assert not Job.objects.visible_to(manager).exists()
    assert get_job_status(job, user=make_system_admin()).organization == "ORG-GONE"


def test_a_system_admin_may_still_cancel_its_jobs(organization: Organization) -> None:
    job = pending_job(organization=organization)
    organization.delete()
    assert cancel_job(job, user=make_system_admin()).status == "Canceled"


def test_a_dead_job_that_is_retried_ends_again(organization: Organization) -> None:
    job = pending_job(organization=organization)
    organization.delete()
    bury_all()
    retry_job(job, user=make_system_admin())
    bury_all()
    assert_buried(job)
