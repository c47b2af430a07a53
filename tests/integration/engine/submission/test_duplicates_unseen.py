"""Submissions that name, or equal, a colleague's job that the policy hides: nothing is told of it."""

from __future__ import annotations

from typing import Any, Final

import pytest
from django.contrib.auth.models import User

from django_jobs import submit_for_each, submit_job, submit_jobs
from django_jobs.exceptions import DuplicateJob, InvalidSubmission
from django_jobs.models import Job, JobType, Organization
from tests.support import admin, verbs
from tests.support.api import client_of
from tests.support.factories import make_job_type, make_user
from tests.support.verbs import Interpose

pytestmark = pytest.mark.usefixtures("broker")

METHOD: Final = "/api/method/dartwing.dartwing_core.api.jobs.submit_job"


@pytest.fixture
def kind() -> JobType:
    return make_job_type(deduplication_window=300)


@pytest.fixture
def owner(organization: Organization) -> User:
    return make_user("owner", member_of=[organization])


@pytest.fixture
def colleague(organization: Organization, settings: Any) -> User:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OwnJobsOnly"}
    return make_user("colleague", member_of=[organization])


@pytest.fixture
def earlier(kind: JobType, organization: Organization, owner: User) -> Job:
    return submit_job(kind, organization, user=owner)


@pytest.fixture
def looked_before(earlier: Job, interpose: Interpose) -> None:
    """The first look at what is there was taken before any of it was."""
    find = verbs.find_duplicates
    looks: list[dict[Any, Any]] = [{}]
    interpose("find_duplicates", lambda keys: looks.pop() if looks else find(keys))


@pytest.mark.parametrize("on_duplicate", ["raise", "return", "replace"])
def test_python_neither_tells_nor_returns_it(
    on_duplicate: str, earlier: Job, kind: JobType, organization: Organization, colleague: User
) -> None:
    with pytest.raises(DuplicateJob) as refusal:
        submit_job(kind, organization, user=colleague, on_duplicate=on_duplicate)
    assert (refusal.value.is_visible, refusal.value.existing) == (False, earlier)
    assert earlier.name not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_many_at_once_do_not_tell_it_either(
    earlier: Job, kind: JobType, organization: Organization, colleague: User
) -> None:
    item = {"job_type": kind, "organization": organization}
    with pytest.raises(DuplicateJob) as refusal:
        submit_jobs([{**item, "parameters": {"a": 1}}, item], user=colleague)
    assert (refusal.value.index, earlier.name in str(refusal.value)) == (1, False)


def test_many_at_once_do_not_give_it_back(
    earlier: Job, kind: JobType, organization: Organization, colleague: User
) -> None:
    item = {"job_type": kind, "organization": organization, "on_duplicate": "return"}
    with pytest.raises(DuplicateJob) as refusal:
        submit_jobs([{**item, "parameters": {"a": 1}}, item], user=colleague)
    assert (refusal.value.index, earlier.name in str(refusal.value)) == (1, False)
    done = submit_for_each(kind, [organization], user=colleague, on_duplicate="replace")
    assert (done.submitted, done.skipped) == ([], {organization.name: "duplicate_job"})


def test_what_came_in_between_the_look_and_the_insert_is_not_given_back_either(
    earlier: Job, kind: JobType, organization: Organization, colleague: User, looked_before: object
) -> None:
    item = {"job_type": kind, "organization": organization, "on_duplicate": "return"}
    with pytest.raises(DuplicateJob) as refusal:
        submit_jobs([{**item, "parameters": {"a": 1}}, item], user=colleague)
    assert (refusal.value.index, refusal.value.is_visible) == (1, False)
    assert earlier.name not in str(refusal.value)
    assert Job.objects.count() == 1


def test_what_came_in_between_and_may_be_seen_is_given_back(
    earlier: Job, kind: JobType, organization: Organization, owner: User, colleague: User, looked_before: object
) -> None:
    item = {"job_type": kind, "organization": organization, "on_duplicate": "return"}
    assert submit_jobs([{**item, "parameters": {"a": 1}}, item], user=owner)[1] == earlier


def test_many_are_given_back(kind: JobType, organization: Organization, owner: User, colleague: User) -> None:
    items = [
        {"job_type": kind, "organization": organization, "on_duplicate": "return", "parameters": {"n": n}}
        for n in range(40)
    ]
    jobs = submit_jobs(items, user=owner)
    assert submit_jobs(items, user=owner) == jobs


def test_rest_leaves_out_what_the_user_may_not_know(
    earlier: Job, kind: JobType, organization: Organization, colleague: User
) -> None:
    body = {"job_type": kind.pk, "organization": organization.name}
    for address, sent in (("/api/jobs/", body), ("/api/jobs/bulk/", [body])):
        answer = client_of(colleague).post(address, sent, format="json")
        assert (answer.status_code, answer.json()["code"]) == (409, "duplicate_job")
        assert answer.json().keys() - {"index"} == {"detail", "code"}
        assert earlier.name not in answer.content.decode()


def test_methods_leave_it_out_too(earlier: Job, kind: JobType, organization: Organization, colleague: User) -> None:
    body = {"job_type": kind.pk, "organization": organization.name}
    answer = client_of(colleague).post(METHOD, body, format="json")
    assert (answer.json()["exc_type"], answer.json().keys()) == ("DuplicateError", {"exc_type", "message"})
    assert earlier.name not in answer.content.decode()


def test_who_may_see_it_is_told(earlier: Job, kind: JobType, organization: Organization, owner: User) -> None:
    body = {"job_type": kind.pk, "organization": organization.name}
    answer = client_of(owner).post("/api/jobs/", body, format="json").json()
    assert (answer["existing_job_id"], answer["status"]) == (earlier.name, earlier.status)
    assert submit_job(kind, organization, user=owner, on_duplicate="return") == earlier


def test_the_admins_form_does_not_tell_it(
    earlier: Job, kind: JobType, organization: Organization, colleague: User, settings: Any
) -> None:
    User.objects.filter(pk=colleague.pk).update(is_staff=True, is_superuser=True)
    client = admin.client_of(User.objects.get(pk=colleague.pk))
    fields = {"organization": organization.name, "parameters": "{}", "priority": ""}
    page: Any = client.post(admin.url("jobtype", "submit", kind.pk), fields)
    assert page.context["form"].has_error("__all__", "duplicate_job")
    assert earlier.name not in page.content.decode()


def test_a_job_that_is_hidden_cannot_be_waited_for(
    earlier: Job, kind: JobType, organization: Organization, colleague: User, owner: User
) -> None:
    fields: dict[str, Any] = {"parameters": {"a": 1}, "depends_on": earlier}
    item: dict[str, Any] = {"job_type": kind, "organization": organization, **fields}
    with pytest.raises(InvalidSubmission) as refusal:
        submit_job(**item, user=colleague)
    assert refusal.value.codes == {"depends_on": ["unknown_job"]}
    with pytest.raises(InvalidSubmission) as refusal:
        submit_jobs([item], user=colleague)
    assert refusal.value.codes == {"0.depends_on": ["unknown_job"]}
    seen = submit_job(**item, user=owner)
    assert seen.depends_on.get() == earlier
