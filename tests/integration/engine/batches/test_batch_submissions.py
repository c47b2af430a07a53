"""Submitting jobs into a batch: by whom, what it tells itself, the same work that is there, and what is to follow."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from django_jobs import create_batch, get_batch_status, retry_job, submit_for_each, submit_job, submit_jobs
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, JobTypeDisabled, PermissionDenied
from django_jobs.models import Batch, Job, JobType, Organization
from django_jobs.testing import run_jobs
from tests.support import handlers, verbs
from tests.support.batches import counts, state
from tests.support.brokers import end, pending_job, reread, returned, start
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.refusals import refused

pytestmark = pytest.mark.usefixtures("broker")


@pytest.mark.parametrize("name", ["organization", "batch"])
def test_what_the_batch_tells_is_refused_in_its_submissions(
    organization: Organization, kind: JobType, name: str
) -> None:
    batch = create_batch(organization)
    good: dict[str, Any] = {"job_type": kind.pk}
    told: dict[str, Any] = {name: "ORG-2026-00099"}
    with pytest.raises(InvalidSubmission) as refusal:
        batch.submit_many([good, {**good, **told}])
    assert list(refusal.value.errors) == [f"1.{name}"]
    with pytest.raises(TypeError, match=name):
        batch.submit(kind, **told)
    assert not Job.objects.exists()


@pytest.mark.parametrize("on_duplicate", ["return", "replace"])
def test_the_same_work_is_given_back_though_the_batch_is_closed(organization: Organization, on_duplicate: str) -> None:
    kind = make_job_type(deduplication_window=300)
    batch = create_batch(organization)
    first = batch.submit(kind)
    batch.close()
    assert batch.submit(kind, on_duplicate=on_duplicate) == first
    with refused(InvalidSubmission, {"batch": ["closed"]}):
        batch.submit(kind, {"other": True})
    assert Job.objects.get() == first


def test_what_is_to_follow_is_judged_by_its_type_as_it_is_now(organization: Organization) -> None:
    kind = make_job_type()
    submit_job(kind, organization)  # a process may remember type and organization of its submissions
    for is_enabled in (False, True):
        JobType.objects.filter(pk=kind.pk).update(is_enabled=is_enabled)
        with nullcontext() if is_enabled else pytest.raises(JobTypeDisabled):
            create_batch(organization, then={"job_type": kind.pk})


# -- whose jobs it takes -----------------------------------------------------------------------------------------------


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> Callable[..., JobType]:
    """A job type whose handler is the given function."""

    def make(function: Callable[[Any], Any]) -> JobType:
        name = f"temporary_{id(function)}"
        function.__module__ = handlers.__name__
        monkeypatch.setattr(handlers, name, function, raising=False)
        return make_job_type(name)

    return make


#: Who adds a job: whose batches take it, by whether these are open to members.
TAKEN: dict[str, dict[str, set[str]]] = {
    "server code": {"owner": {"code", "member"}, "members": {"code", "member"}},
    "its owner": {"owner": {"member"}, "members": {"code", "member"}},
    "another member": {"owner": set(), "members": {"code", "member"}},
    "an organization admin": {"owner": {"member"}, "members": {"code", "member"}},
    "a system admin": {"owner": {"member"}, "members": {"code", "member"}},
}
DOORS: dict[str, Any] = {
    "one": lambda kind, organization, batch, user: submit_job(kind, organization, batch=batch, user=user),
    "many": lambda kind, organization, batch, user: submit_jobs(
        [{"job_type": kind, "organization": organization, "batch": batch.batch_id}], user=user
    ),
    "each": lambda kind, organization, batch, user: submit_for_each(kind, [organization], batch=batch, user=user),
}


@pytest.fixture
def people(organization: Organization) -> dict[str, Any]:
    return {
        "server code": None,
        "its owner": make_user(member_of=[organization]),
        "another member": make_user(member_of=[organization]),
        "an organization admin": make_user(admin_of=[organization]),
        "a system admin": make_system_admin(),
    }


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("open_to", ["owner", "members"])
@pytest.mark.parametrize("person", TAKEN)
def test_a_batch_takes_jobs_of_whom_its_end_may_be_left_to(
    organization: Organization, kind: JobType, people: dict[str, Any], person: str, open_to: str, door: str
) -> None:
    for whose, owner in (("code", None), ("member", people["its owner"])):
        batch = create_batch(organization, user=owner, open_to=open_to)
        is_taken = whose in TAKEN[person][open_to]
        with nullcontext() if is_taken else pytest.raises(PermissionDenied, match=batch.batch_id):
            DOORS[door](kind, organization, batch, people[person])
        assert Job.objects.filter(batch=batch).count() == is_taken


def test_nobody_changes_a_job_of_a_batch_who_may_not_add_to_it(organization: Organization) -> None:
    kind = make_job_type(deduplication_window=300)
    batch = create_batch(organization)
    job = batch.submit(kind, unique_key="one")
    given: dict[str, Any] = {
        "unique_key": "one",
        "on_duplicate": "replace",
        "user": make_user(member_of=[organization]),
    }
    with pytest.raises(DuplicateJob):
        submit_job(kind, organization, {"changed": True}, **given)
    made = submit_for_each(kind, [organization], {"changed": True}, **given)
    assert made.skipped == {organization.name: "duplicate_job"}
    assert reread(job).input_parameters == {}
    assert submit_job(kind, organization, {"changed": True}, **given | {"user": None}) == job
    start(job)
    assert submit_job(kind, organization, {"changed": 2}, **given) != job


def test_nobody_learns_of_another_tenants_batch_by_adding_to_it(organization: Organization, kind: JobType) -> None:
    other = make_organization()
    foreign = create_batch(other, user=make_user(member_of=[other]))
    with refused(InvalidSubmission, {"batch": ["unknown_batch"]}):
        submit_job(kind, organization, batch=foreign.batch_id, user=make_user(member_of=[organization]))


def test_who_has_left_the_organization_adds_to_no_batch(organization: Organization, kind: JobType) -> None:
    batch = create_batch(organization, user=make_user(member_of=[organization]), open_to="members")
    with pytest.raises(PermissionDenied):
        submit_job(kind, organization, batch=batch, user=make_user())


def test_its_owner_adds_no_job_of_a_type_that_they_may_not_submit(organization: Organization) -> None:
    batch = create_batch(organization, user=make_user(member_of=[organization]))
    code = make_job_type(submit_by="code")
    with refused(InvalidSubmission, {"job_type": ["unknown_job_type"]}):
        batch.submit(code)
    with refused(InvalidSubmission, {"0.job_type": ["unknown_job_type"]}):
        batch.submit_many([{"job_type": code}])


def test_a_batch_of_server_code_takes_the_jobs_that_its_own_jobs_add_for_their_owner(
    organization: Organization, kind: JobType
) -> None:
    owner = make_user(member_of=[organization])
    batch = create_batch(organization, open_to="members")
    adds = make_job_type("add_to_batch")
    submit_job(adds, organization, {"job_type": kind.pk, "count": 2}, batch=batch, user=owner)
    Batch.objects.update(open_to="owner")
    batch.close()
    run_jobs()
    assert (state(batch), counts(batch)) == ("Completed", {"Completed": 3})


def test_the_job_that_made_a_batch_of_server_code_adds_to_it_in_its_owners_name(
    organization: Organization, kind: JobType, handled: Callable[..., JobType]
) -> None:
    owner = make_user(member_of=[organization])

    def fill(context: Any) -> None:
        context.submit_job(kind, batch=create_batch(context.organization).batch_id)

    job = pending_job(handled(fill), organization, user=owner)
    run_jobs()
    assert reread(job).status == "Completed"
    assert Job.objects.get(job_type=kind).owner_id == owner.pk


def test_what_follows_a_batch_is_not_submitted_by_the_job_in_which_it_ends(
    organization: Organization, kind: JobType, handled: Callable[..., JobType]
) -> None:
    def end_one(context: Any) -> None:
        create_batch(context.organization, then={"job_type": kind.pk}).close()

    pending_job(handled(end_one), organization)
    run_jobs()
    assert Job.objects.get(job_type=kind).submitted_by_id is None


def test_another_handler_adds_to_no_batch_in_its_owners_name_that_the_owner_may_not_add_to(
    organization: Organization, kind: JobType, handled: Callable[..., JobType]
) -> None:
    batch = create_batch(organization)

    def fill(context: Any) -> None:
        context.submit_job(kind, batch=batch.batch_id)

    job = pending_job(handled(fill), organization, user=make_user(member_of=[organization]))
    run_jobs()
    assert reread(job).status == "Dead Letter"
    assert not Job.objects.filter(batch=batch).exists()


@pytest.mark.parametrize("open_to", ["everybody", "", None, 1])
def test_a_batch_is_open_to_its_owner_or_to_members(organization: Organization, open_to: Any) -> None:
    with pytest.raises(InvalidSubmission) as refusal:
        create_batch(organization, open_to=open_to)
    assert list(refusal.value.errors) == ["open_to"]
    assert get_batch_status(create_batch(organization)).open_to == "owner"
    assert get_batch_status(create_batch(organization, open_to="members")).open_to == "members"


def test_a_retried_job_of_a_batch_that_had_ended_adds_jobs_at_once(organization: Organization, kind: JobType) -> None:
    batch = create_batch(organization)
    job = batch.submit(make_job_type("fail_for_good"))
    batch.close()
    run_jobs()
    retry_job(job)
    claimed = start(job)
    assert Batch.objects.get().completed_at is not None, "nobody has added up the retry yet"
    verbs.submit_from_handler(claimed, kind, {}, {"batch": batch.batch_id})
    end(returned(claimed))
    run_jobs()
    assert (state(batch), counts(batch)) == ("Completed", {"Completed": 2})


def test_an_attempt_that_lost_its_job_adds_none_to_the_batch_that_ended_without_it(
    organization: Organization, kind: JobType, handled: Callable[..., JobType]
) -> None:
    refused: list[str] = []
    batch = create_batch(organization)

    def outlive(context: Any) -> None:
        Job.objects.filter(batch=batch).update(attempt=2)  # another worker has it
        try:
            context.submit_job(kind, batch=batch.batch_id)
        except InvalidSubmission as refusal:
            refused.extend(refusal.errors)

    batch.submit(handled(outlive))
    batch.close()
    run_jobs()
    assert refused == ["batch"]
    assert not Job.objects.filter(job_type=kind).exists()
