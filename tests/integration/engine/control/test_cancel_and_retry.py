"""What people do to a job: the verbs over every status, and who may."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser

from django_jobs import cancel_job, get_job_history, retry_job
from django_jobs.exceptions import InvalidTransition, JobNotFound, PermissionDenied
from django_jobs.models import Organization
from django_jobs.statuses import Status
from tests.support import verbs
from tests.support.brokers import MemoryBroker, job_in, reread, start
from tests.support.cases import rolled_back
from tests.support.factories import make_organization, make_system_admin, make_user
from tests.support.verbs import OperationOrder, Ticket

pytestmark = pytest.mark.usefixtures("broker")

RETRYABLE = ["Failed", "Timed Out", "Dead Letter"]


def cancel_by(name: str) -> OperationOrder:
    return OperationOrder("cancel", verbs.user_named(name))


@pytest.mark.parametrize("status", ["Pending", "Queued", "Failed", "Timed Out"])
def test_a_waiting_job_is_canceled_at_once(status: str) -> None:
    job = cancel_job(job_in(status))
    assert (job.status, job.canceled_by, job.ready_at, job.next_retry_at) == ("Canceled", "system", None, None)
    assert job.canceled_at is not None
    last = get_job_history(job)[-1]
    assert (last["from_status"], last["to_status"], last["actor"]) == (status, "Canceled", "system")


def test_a_running_job_is_asked_to_stop(broker: MemoryBroker, django_capture_on_commit_callbacks: Any) -> None:
    job = job_in("Running")
    with django_capture_on_commit_callbacks(execute=True):
        row = cancel_job(job.name)
    assert (row.status, row.canceled_by, row.cancel_requested_at is not None) == ("Running", "system", True)
    assert broker.hints == [("worker-1", [job.name])]


def test_a_cancel_whose_hint_is_lost_is_no_error(broker: MemoryBroker, django_capture_on_commit_callbacks: Any) -> None:
    job = job_in("Running")
    broker.is_down = True
    with django_capture_on_commit_callbacks(execute=True):
        assert cancel_job(job).cancel_requested_at is not None


@pytest.mark.parametrize("status", ["Pending", "Running", "Canceled"])
def test_canceling_again_is_no_error_and_changes_nothing(status: str) -> None:
    first = cancel_job(job_in(status))
    second = cancel_job(first)
    assert (second.status, second.canceled_at) == (first.status, first.canceled_at)
    assert second.cancel_requested_at == first.cancel_requested_at


def test_canceling_many_again_keeps_who_asked_first_and_when() -> None:
    job = job_in("Running")
    assert verbs.perform_operation(cancel_by("ann"), [job.pk]).asked == {job.pk}
    first = reread(job)
    assert verbs.perform_operation(cancel_by("ben"), [job.pk]).asked == set()
    again = reread(job)
    assert (again.canceled_by, again.cancel_requested_at) == ("ann", first.cancel_requested_at)


def test_workers_are_told_at_once_which_of_many_jobs_are_canceled(
    broker: MemoryBroker, django_capture_on_commit_callbacks: Any
) -> None:
    jobs = [job_in("Running"), job_in("Running"), job_in("Pending")]
    with django_capture_on_commit_callbacks(execute=True):
        verbs.perform_operation(cancel_by("ann"), [job.pk for job in jobs])
        assert broker.hints == []
    assert broker.hints == [("worker-1", [jobs[0].name, jobs[1].name])]


@pytest.mark.parametrize("status", ["Completed", "Dead Letter"])
def test_a_job_that_ended_cannot_be_canceled(status: str) -> None:
    job = job_in(status)
    with pytest.raises(InvalidTransition) as caught:
        cancel_job(job)
    assert (caught.value.job_id, caught.value.status, caught.value.verb) == (job.name, status, "cancel")


@pytest.mark.parametrize("status", RETRYABLE)
def test_a_job_that_failed_is_given_a_new_life(status: str) -> None:
    job = retry_job(job_in(status))
    assert (job.status, job.retry_count, job.error_message, job.error_type) == ("Pending", 0, "", "")
    assert (job.completed_at, job.started_at, job.queued_at, job.next_retry_at) == (None, None, None, None)
    assert job.ready_at is not None
    assert (job.result, job.output_reference, job.progress, job.worker_name) == (None, "", 0, "")


def test_a_job_that_has_not_failed_cannot_be_retried(subtests: pytest.Subtests) -> None:
    for status in sorted(set(Status.values) - set(RETRYABLE)):
        with rolled_back(subtests, status=status):
            job = job_in(status)
            with pytest.raises(InvalidTransition) as caught:
                retry_job(job)
            assert (caught.value.status, caught.value.verb, reread(job).status) == (status, "retry", status)


def test_the_attempt_goes_on_counting_after_a_retry() -> None:
    job = retry_job(job_in("Dead Letter"))
    assert job.attempt == 1
    assert start(job).attempt == 2


def test_a_retried_job_is_dispatched_with_the_commit(
    broker: MemoryBroker, django_capture_on_commit_callbacks: Any
) -> None:
    job = job_in("Dead Letter")
    with django_capture_on_commit_callbacks(execute=True):
        retry_job(job)
    assert broker.tickets == [Ticket(job.pk, job.created_at.year, 2, 1)]


def test_an_unknown_job_is_not_found(subtests: pytest.Subtests) -> None:
    verbs: list[Any] = [cancel_job, retry_job]
    for verb in verbs:
        for job_id in ("JOB-2026-99999", "nonsense", "", "JOB-1999-00001"):
            with subtests.test(verb=verb, job_id=job_id), pytest.raises(JobNotFound):
                verb(job_id)


@pytest.mark.parametrize("verb", [cancel_job, retry_job])
def test_another_organizations_job_is_not_found(verb: Any, organization: Organization) -> None:
    job = job_in("Failed", organization=organization)
    for user in (make_user(admin_of=[make_organization()]), AnonymousUser()):
        with pytest.raises(JobNotFound):
            verb(job, user=user)


def test_the_owner_may_cancel_but_not_retry(organization: Organization) -> None:
    owner = make_user(member_of=[organization])
    job = job_in("Failed", organization=organization, user=owner)
    with pytest.raises(PermissionDenied):
        retry_job(job, user=owner)
    assert cancel_job(job, user=owner).canceled_by == owner.username


@pytest.mark.parametrize("verb", [cancel_job, retry_job])
def test_another_member_may_neither_cancel_nor_retry(verb: Any, organization: Organization) -> None:
    job = job_in("Failed", organization=organization)
    with pytest.raises(PermissionDenied):
        verb(job, user=make_user(member_of=[organization]))
    assert reread(job).status == "Failed"


@pytest.mark.parametrize(("verb", "status"), [(cancel_job, "Canceled"), (retry_job, "Pending")])
def test_the_organizations_admin_may_both(verb: Any, status: str, organization: Organization) -> None:
    admin = make_user(admin_of=[organization])
    job = verb(job_in("Failed", organization=organization), user=admin)
    assert job.status == status
    assert get_job_history(job)[-1]["actor"] == admin.username


@pytest.mark.parametrize(("verb", "status"), [(cancel_job, "Canceled"), (retry_job, "Pending")])
def test_a_system_admin_may_both_everywhere(verb: Any, status: str) -> None:
    assert verb(job_in("Failed"), user=make_system_admin()).status == status


@pytest.mark.parametrize(("verb", "status"), [(cancel_job, "Pending"), (retry_job, "Dead Letter")])
def test_the_history_names_who_did_it_also_when_that_user_is_gone(
    organization: Organization, verb: Any, status: str
) -> None:
    admin = make_user("ada", admin_of=[organization])
    job = verb(job_in(status, organization=organization), user=admin)
    admin.delete()
    assert get_job_history(job)[-1]["actor"] == "ada"


def test_the_history_names_what_acted_where_nobody_did() -> None:
    job = job_in("Completed")
    assert [row["actor"] for row in get_job_history(job)] == ["system", "system", "worker", "worker"]


def test_who_canceled_stands_in_the_row(organization: Organization) -> None:
    admin = make_user("ada", admin_of=[organization])
    assert cancel_job(job_in("Queued", organization=organization), user=admin).canceled_by == "ada"
    assert cancel_job(job_in("Running", organization=organization), user=admin).canceled_by == "ada"
