"""Who submitted a job may lose the right to it, or go, before it runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User

from django_jobs import create_batch, get_job_history, get_job_status, schedule_job
from django_jobs.exceptions import PermissionDenied
from django_jobs.models import Job, Membership, Organization
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.brokers import WORKER, MemoryBroker, end, pending_job, raised, reread, returned, running_job
from tests.support.factories import make_job_type, make_user

pytestmark = pytest.mark.usefixtures("broker")

NEEDED = "django_jobs.add_jobtype"


@pytest.fixture
def owner(organization: Organization) -> User:
    return make_user("ada", member_of=[organization], permissions=[NEEDED])


@pytest.fixture
def job(owner: User, organization: Organization) -> Job:
    return pending_job(make_job_type(requires_permission=NEEDED), organization, user=owner)


def after_a_worker_took_it(job: Job, broker: MemoryBroker) -> Job:
    verbs.forget_claim_verdicts()
    verbs.dispatch()
    verbs.claim(broker.take_all(), WORKER)
    return reread(job)


def delete(owner: User) -> None:
    owner.delete()


def deactivate(owner: User) -> None:
    User.objects.filter(pk=owner.pk).update(is_active=False)


def remove(owner: User) -> None:
    Membership.objects.filter(user=owner).delete()


def take_permission(owner: User) -> None:
    owner.user_permissions.remove(Permission.objects.get(codename="add_jobtype"))


def test_an_owner_without_a_name_is_not_taken_for_server_code(
    owner: User, organization: Organization, broker: MemoryBroker
) -> None:
    """As one whose name is an address of mail that is blank."""
    User.objects.filter(pk=owner.pk).update(username="")
    owner.refresh_from_db()
    key, kind = owner.pk, make_job_type()
    job, batch = pending_job(kind, organization, user=owner), create_batch(organization, user=owner)
    Membership.objects.filter(user=owner).update(role=Membership.Role.ADMIN)
    schedule = schedule_job("theirs", kind, organization, every=60, user=owner)
    assert {job.owner_name, batch.owner_name, schedule.owner_name} == {f"user {key}"}
    assert [(row["actor"], row["actor_kind"]) for row in get_job_history(job)] == [(f"user {key}", "user")]
    owner.delete()
    assert after_a_worker_took_it(job, broker).status == "Dead Letter"
    assert verbs.fire_now(schedule).outcome == "failed"
    with pytest.raises(PermissionDenied):
        batch.submit(kind)


LOSSES = [delete, deactivate, remove, take_permission]


@pytest.mark.parametrize("lose", LOSSES)
def test_a_job_whose_owner_lost_the_right_ends_at_the_claim(
    lose: Callable[[User], None], owner: User, job: Job, broker: MemoryBroker, reasons: Reasons
) -> None:
    lose(owner)
    row = after_a_worker_took_it(job, broker)
    assert (row.status, row.attempt, row.error_type, row.owner_name) == ("Dead Letter", 0, "Permanent", "ada")
    assert reasons(job) == ["owner_gone" if lose is delete else "may_not_submit"]
    assert get_job_history(job)[-1]["message"] == row.error_message


def test_the_right_is_kept_without_a_loss(job: Job, broker: MemoryBroker) -> None:
    assert after_a_worker_took_it(job, broker).status == "Running"


@pytest.mark.parametrize("lose", LOSSES)
def test_a_retry_is_a_new_question(
    lose: Callable[[User], None], owner: User, organization: Organization, broker: MemoryBroker
) -> None:
    kind = make_job_type(requires_permission=NEEDED)
    job, claimed = running_job(job_type=kind, organization=organization, user=owner)
    lose(owner)
    end(raised(claimed, retry_after=0))
    assert after_a_worker_took_it(job, broker).status == "Dead Letter"


@pytest.mark.parametrize("lose", LOSSES)
def test_a_running_job_is_not_disturbed(lose: Callable[[User], None], owner: User, organization: Organization) -> None:
    kind = make_job_type(requires_permission=NEEDED)
    _, claimed = running_job(job_type=kind, organization=organization, user=owner)
    lose(owner)
    assert end(returned(claimed)).status == "Completed"


def test_a_job_of_server_code_has_no_owner_to_lose(organization: Organization, broker: MemoryBroker) -> None:
    job = pending_job(make_job_type(requires_permission=NEEDED), organization)
    make_user(member_of=[organization]).delete()
    assert after_a_worker_took_it(job, broker).status == "Running"


def test_a_user_without_a_name_is_an_owner_all_the_same(organization: Organization, broker: MemoryBroker) -> None:
    owner = make_user(member_of=[organization])
    User.objects.filter(pk=owner.pk).update(username="")
    job = pending_job(organization=organization, user=User.objects.get(pk=owner.pk))
    remove(owner)
    assert after_a_worker_took_it(job, broker).status == "Dead Letter"


def test_another_user_of_the_same_name_is_not_the_owner(
    owner: User, job: Job, organization: Organization, broker: MemoryBroker
) -> None:
    delete(owner)
    make_user("ada", member_of=[organization], permissions=[NEEDED])
    assert after_a_worker_took_it(job, broker).status == "Dead Letter"


def test_deleting_the_owner_keeps_the_name_and_moves_nothing(owner: User, job: Job) -> None:
    delete(owner)
    row = reread(job)
    assert (row.owner_id, row.owner_name, row.status) == (None, "ada", "Pending")
    assert get_job_status(job).owner == "ada"


def test_a_job_that_is_due_in_a_year_is_judged_in_a_year(
    owner: User, organization: Organization, broker: MemoryBroker
) -> None:
    job = pending_job(organization=organization, user=owner, run_at=verbs.now() + dt.timedelta(days=365))
    deactivate(owner)
    assert after_a_worker_took_it(job, broker).status == "Pending"
    User.objects.filter(pk=owner.pk).update(is_active=True)
    Job.objects.filter(pk=job.pk).update(ready_at=verbs.now())
    assert after_a_worker_took_it(job, broker).status == "Running"
