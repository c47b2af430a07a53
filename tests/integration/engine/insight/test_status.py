"""Reading a job: what it does, why it waits, what happened to it, and waiting for its end."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from django_jobs import cancel_job, get_job_history, get_job_status, wait_for_job
from django_jobs.exceptions import JobFailed, JobNotFound
from django_jobs.models import Job, JobType, Organization
from django_jobs.values import JobStatus
from tests.support import verbs
from tests.support.brokers import end, job_in, pending_job, returned, running_job, start
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.refusals import refused
from tests.support.statements import statements_of
from tests.support.verbs import HELD_WORDS, JobWait

pytestmark = pytest.mark.usefixtures("broker")


def test_a_status_holds_what_may_be_told() -> None:
    job, claimed = running_job(priority="High", parameters={"a": 1})
    end(returned(claimed, {"rows": 3}, "a/b.pdf"))
    status = get_job_status(job.name)
    assert (status.job_id, status.job_type, status.organization) == (job.name, job.job_type_id, job.organization_name)
    assert (status.status, status.priority, status.progress, status.attempt) == ("Completed", "High", 100, 1)
    assert (status.result, status.output_reference, status.owner) == ({"rows": 3}, "a/b.pdf", "")
    assert (status.cancel_requested, status.depends_on, status.waiting_for) == (False, [], None)


def test_a_status_is_frozen() -> None:
    status = get_job_status(pending_job())
    with pytest.raises(dataclasses.FrozenInstanceError):
        status.status = "Completed"  # type: ignore[misc]


def test_a_status_as_a_dict_has_all_its_fields_in_order() -> None:
    status = get_job_status(pending_job())
    assert list(status.as_dict()) == [field.name for field in dataclasses.fields(JobStatus)]
    assert status.as_dict()["created_at"] == status.created_at


def test_without_an_output_the_reference_is_none() -> None:
    assert get_job_status(pending_job()).output_reference is None


def test_times_are_in_utc() -> None:
    offset = get_job_status(pending_job()).created_at.utcoffset()
    assert offset == dt.timedelta(0)


def test_a_requested_cancel_is_told() -> None:
    assert get_job_status(cancel_job(job_in("Running"))).cancel_requested


@pytest.mark.parametrize("status", ["Running", "Completed", "Canceled", "Dead Letter"])
def test_a_job_that_does_not_wait_waits_for_nothing(status: str) -> None:
    assert get_job_status(job_in(status)).waiting_for is None


@pytest.mark.parametrize(
    ("status", "reason"), [("Failed", "retry"), ("Timed Out", "retry"), ("Queued", "broker"), ("Pending", "window")]
)
def test_a_waiting_job_says_why(status: str, reason: str) -> None:
    assert get_job_status(job_in(status)).waiting_for == reason


def test_a_delayed_job_waits_for_its_moment() -> None:
    job = pending_job(run_at=verbs.now() + dt.timedelta(hours=1))
    assert get_job_status(job).waiting_for == "run_at"


def test_a_job_waits_for_its_organization_to_be_active() -> None:
    job = pending_job()
    Organization.objects.update(is_active=False)
    assert get_job_status(job).waiting_for == "organization_inactive"


@pytest.mark.parametrize(
    ("fields", "reason"), [({"is_enabled": False}, "type_disabled"), ({"is_paused": True}, "type_paused")]
)
def test_a_job_waits_for_its_type_to_be_open(fields: dict[str, bool], reason: str) -> None:
    job = pending_job()
    JobType.objects.update(**fields)
    assert get_job_status(job).waiting_for == reason


@pytest.mark.parametrize(
    ("model", "fields", "reason"),
    [
        (Organization, {"is_active": False}, "organization_inactive"),
        (JobType, {"is_enabled": False}, "type_disabled"),
        (JobType, {"is_paused": True}, "type_paused"),
    ],
)
def test_what_people_hold_back_does_not_wait_for_its_moment(model: Any, fields: Any, reason: str) -> None:
    """Its moment may come, and it would not run."""
    jobs = [job_in("Failed"), job_in("Timed Out"), pending_job(run_at=verbs.now() + dt.timedelta(hours=1))]
    model.objects.update(**fields)
    statuses = [get_job_status(job) for job in jobs]
    assert [status.waiting_for for status in statuses] == [reason] * 3
    assert all(status.next_retry_at or status.run_at for status in statuses)
    words = [verbs.status_in_words(status, verbs.now()) for status in statuses]
    assert words == [str(HELD_WORDS[reason])] * 3


def test_a_job_waits_while_its_organization_has_enough_in_flight(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 1}
    organization = make_organization()
    start(pending_job(organization=organization))
    assert get_job_status(pending_job(organization=organization)).waiting_for == "limit"


def test_a_child_waits_for_its_parents() -> None:
    organization = make_organization()
    parents = [pending_job(organization=organization) for _ in range(2)]
    status = get_job_status(pending_job(organization=organization, depends_on=parents))
    assert (status.waiting_for, status.depends_on) == ("dependency", [job.name for job in parents])


def completed_with_output() -> tuple[Job, User]:
    """A job with a result and an output, and a member of its organization."""
    organization = make_organization()
    _, claimed = running_job(organization=organization)
    return end(returned(claimed, {"rows": 3}, "a/b.pdf")), make_user(member_of=[organization])


@pytest.mark.parametrize("read", [get_job_status, wait_for_job])
def test_results_of_a_suspended_organization_are_withheld_from_users(read: Any) -> None:
    job, member = completed_with_output()
    Organization.objects.update(is_active=False)
    for user in (member, make_system_admin()):
        status = read(committed(job), user=user)
        assert (status.status, status.result, status.output_reference) == ("Completed", None, None)


def test_results_of_a_suspended_organization_are_read_by_trusted_code() -> None:
    job, _ = completed_with_output()
    Organization.objects.update(is_active=False)
    status = get_job_status(job)
    assert (status.result, status.output_reference) == ({"rows": 3}, "a/b.pdf")


def test_results_are_readable_once_the_organization_is_active_again() -> None:
    job, user = completed_with_output()
    Organization.objects.update(is_active=False)
    Organization.objects.update(is_active=True)
    assert get_job_status(job, user=user).result == {"rows": 3}


@pytest.mark.parametrize(("status", "most"), [("Completed", 3), ("Running", 3), ("Queued", 4), ("Pending", 6)])
def test_a_status_takes_few_statements(status: str, most: int) -> None:
    job = job_in(status)
    assert statements_of(lambda: get_job_status(job)) <= most


def test_the_history_tells_every_step_in_order() -> None:
    history = get_job_history(job_in("Completed"))
    assert [(entry["from_status"], entry["to_status"], entry["attempt"]) for entry in history] == [
        ("", "Pending", 0),
        ("Pending", "Queued", 0),
        ("Queued", "Running", 1),
        ("Running", "Completed", 1),
    ]
    assert set(history[0]) == {
        "id",
        "from_status",
        "to_status",
        "timestamp",
        "actor",
        "actor_kind",
        "message",
        "attempt",
    }


@pytest.mark.parametrize("read", [get_job_status, get_job_history, wait_for_job])
def test_what_a_user_may_not_see_is_not_found(read: Any) -> None:
    with pytest.raises(JobNotFound):
        read(pending_job(), user=make_user(member_of=[make_organization()]))


@pytest.mark.parametrize("job_id", ["JOB-1999-00001", "nonsense", ""])
def test_an_unknown_job_is_not_found(job_id: str) -> None:
    with pytest.raises(JobNotFound):
        get_job_status(job_id)


def test_a_member_reads_the_jobs_of_the_organization() -> None:
    organization = make_organization()
    job = pending_job(organization=organization)
    assert get_job_status(job, user=make_user(member_of=[organization])).job_id == job.name


def committed(job: Job) -> Job:
    """A job that this connection takes for committed, though a test's transaction is around it."""
    verbs.database_connection().__dict__.pop("django_jobs_uncommitted", None)
    return job


@pytest.mark.parametrize(
    "limits",
    [
        {"max_running": 1},
        {"max_running_per_organization": 1},
        {"concurrency_key": "account"},
        {"max_starts": 1, "max_starts_window": 3600},
        {"concurrency_key": "account", "max_running_per_key": 9, "max_starts_per_key": 1, "max_starts_window": 3600},
    ],
    ids=["type", "organization", "key", "starts", "starts of a key"],
)
def test_a_job_that_a_limit_of_its_type_holds_waits_for_concurrency(
    organization: Organization, limits: dict[str, Any]
) -> None:
    kind = make_job_type(**limits)
    first, second = (pending_job(kind, organization, parameters={"account": 7}) for _ in range(2))
    verbs.dispatch()
    assert [get_job_status(job).waiting_for for job in (first, second)] == ["broker", "concurrency"]


def test_waiting_for_a_completed_job_returns_its_status() -> None:
    assert wait_for_job(committed(job_in("Completed"))).status == "Completed"


@pytest.mark.parametrize("status", ["Canceled", "Dead Letter"])
def test_waiting_for_a_job_that_ended_otherwise_raises(status: str) -> None:
    job = committed(job_in(status))
    with pytest.raises(JobFailed) as caught:
        wait_for_job(job)
    assert (caught.value.status.job_id, caught.value.status.status) == (job.name, status)


@pytest.mark.parametrize("status", ["Pending", "Failed", "Running"])
def test_waiting_ends_when_time_runs_out(status: str) -> None:
    with refused(TimeoutError, "not_completed") as caught:
        wait_for_job(committed(job_in(status)), timeout=0)
    assert status in str(caught.value)


def test_a_handler_cannot_wait_for_another_job() -> None:
    _, claimed = running_job()
    token = verbs.current_job.set(claimed)
    try:
        with refused(RuntimeError, "in_handler"):
            wait_for_job(committed(pending_job()))
    finally:
        verbs.current_job.reset(token)


def test_the_submitting_transaction_cannot_wait() -> None:
    with transaction.atomic():
        job = pending_job()
        with refused(RuntimeError, "in_transaction"):
            wait_for_job(job)


def test_a_wait_looks_several_times_a_second_however_long_it_lasts() -> None:
    wait = JobWait(committed(pending_job()), 300, None)
    assert max(pause for _ in range(50) if isinstance(pause := wait.look(), float)) <= 0.25
