"""Work of no tenant: its organization is made on the first need, and no door shows it to anybody but system admins."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from django_jobs import (
    cancel_job,
    create_batch,
    get_job_metrics,
    get_job_status,
    list_jobs,
    schedule_job,
    submit_for_each,
    submit_job,
    submit_jobs,
)
from django_jobs.exceptions import (
    InvalidSubmission,
    JobNotFound,
    JobTypeNotFound,
    OrganizationNotFound,
    PermissionDenied,
)
from django_jobs.models import Job, JobType, Membership, Organization
from django_jobs.testing import fire_schedules, run_jobs
from tests.support import admin, verbs
from tests.support.api import client_of, ids, url_of
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user

pytestmark = pytest.mark.usefixtures("broker", "_named")

NAME: Final = "SYSTEM"


@pytest.fixture
def _named(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SYSTEM_ORGANIZATION": NAME}


@pytest.fixture
def kind() -> JobType:
    return make_job_type()


@pytest.fixture
def job(kind: JobType) -> Job:
    return submit_job(kind, None)


@pytest.fixture
def intruder(job: Job, organization: Organization) -> User:
    """Somebody whom a row makes an admin of the system organization, as only code can write it."""
    return make_user(admin_of=[organization, Organization.objects.get(name=NAME)], is_staff=True)


def decide(settings: Any, policy: str) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"tests.support.policies.{policy}"}


def test_the_row_is_made_once_and_its_jobs_run(kind: JobType) -> None:
    jobs = [submit_job(kind, None), submit_job(kind, None), submit_job(kind, NAME)]
    assert [str(status.status) for status in run_jobs()] == ["Completed"] * 3
    row = Organization.objects.get(name=NAME)
    assert (row.title != "", row.is_active, {job.organization_id for job in jobs}) == (True, True, {row.pk})
    assert get_job_status(jobs[0]).organization == NAME


def test_an_id_that_is_a_number_is_known_as_text(kind: JobType, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SYSTEM_ORGANIZATION": 7}
    assert submit_job(kind, "7").organization_name == "7"


def test_many_at_once_may_belong_to_nobody(kind: JobType, organization: Organization) -> None:
    items: list[dict[str, Any]] = [
        {"job_type": kind.pk},
        {"job_type": kind.pk, "organization": None},
        {"job_type": kind.pk, "organization": organization.name},
    ]
    jobs = submit_jobs(items)
    assert [get_job_status(job).organization for job in jobs] == [NAME, NAME, organization.name]


def test_a_batch_may_belong_to_nobody(kind: JobType) -> None:
    with create_batch(None, name="clean up") as batch:
        job = batch.submit(kind)
    assert (batch.organization_name, job.organization_name) == (NAME, NAME)


def test_without_the_setting_the_refusal_says_what_to_set(settings: Any, kind: JobType) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SYSTEM_ORGANIZATION": None}
    for refused in (lambda: submit_job(kind, None), lambda: submit_jobs([{"job_type": kind.pk}])):
        with pytest.raises(OrganizationNotFound, match="SYSTEM_ORGANIZATION"):
            refused()
    with pytest.raises(OrganizationNotFound, match="SYSTEM_ORGANIZATION"):
        create_batch(None)


def test_users_are_told_nothing_of_the_settings(settings: Any, kind: JobType) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SYSTEM_ORGANIZATION": None}
    with pytest.raises(InvalidSubmission) as refusal:
        submit_job(kind, None, user=make_user())
    assert "SYSTEM_ORGANIZATION" not in str(refusal.value.errors)


def test_a_schedule_for_all_leaves_it_out_and_one_for_it_fires(organization: Organization, kind: JobType) -> None:
    schedule_job("for all", kind.pk, every=60)
    schedule_job("for nobody", kind.pk, NAME, every=60)
    fire_schedules(timezone.now() + dt.timedelta(seconds=61))
    assert sorted(Job.objects.values_list("metadata__schedule", "organization_name")) == [
        ("for all", organization.name),
        ("for nobody", NAME),
    ]


def test_for_each_submits_for_whom_it_is_told(job: Job, organization: Organization) -> None:
    found = submit_for_each(job.job_type_id, Organization.objects.order_by("pk"))
    assert {item.organization_name for item in found.submitted} == {NAME, organization.name}


def test_members_of_it_see_nothing_in_python(job: Job, intruder: User, organization: Organization) -> None:
    assert verbs.Scope(intruder).organizations == [organization.pk]
    assert (list_jobs(user=intruder), list(Job.objects.visible_to(intruder))) == ([], [])
    for hidden in (get_job_status, cancel_job):
        with pytest.raises(JobNotFound):
            hidden(job, user=intruder)
    with pytest.raises(JobNotFound):
        list_jobs(NAME, user=intruder)
    with pytest.raises(JobNotFound):
        get_job_metrics(NAME, user=intruder)


def test_members_of_it_submit_nothing(job: Job, intruder: User) -> None:
    for organization in (None, NAME, job.organization):
        with pytest.raises((PermissionDenied, JobTypeNotFound)):
            submit_job(job.job_type_id, organization, user=intruder)
    with pytest.raises(PermissionDenied):
        create_batch(None, user=intruder)


def test_whoever_is_asked_about_it_nobody_is_a_member(job: Job, intruder: User) -> None:
    system, policy = job.organization, verbs.get_policy()
    for user in (intruder, make_user(admin_of=[system], is_superuser=True)):
        for asked in (system, Organization(pk=system.pk)):
            assert not policy.is_member(user, asked)
            assert not policy.is_organization_admin(user, asked)
            assert policy.can_submit(user, asked, job.job_type) == user.is_superuser


def test_members_of_it_manage_no_schedule(job: Job, intruder: User) -> None:
    schedule = schedule_job("nightly", job.job_type_id, NAME, every=60)
    assert list(verbs.Scope(intruder).schedules()) == []
    assert list(verbs.Scope(make_system_admin()).schedules()) == [schedule]


def test_rest_shows_it_to_system_admins_alone(job: Job, intruder: User) -> None:
    member, root = client_of(intruder), client_of(make_system_admin())
    assert (ids(member.get("/api/jobs/")), ids(root.get("/api/jobs/"))) == ([], [job.name])
    assert (member.get(url_of(job)).status_code, root.get(url_of(job)).status_code) == (404, 200)
    submission = {"job_type": job.job_type_id, "organization": NAME}
    assert member.post("/api/jobs/", submission, "json").status_code == 400
    assert root.post("/api/jobs/", submission, "json").status_code == 201


def test_an_unknown_organization_over_rest_is_not_taken_for_none(kind: JobType) -> None:
    root = client_of(make_system_admin())
    submission = {"job_type": kind.pk, "organization": "no such"}
    for address, body in (("/api/jobs/", submission), ("/api/jobs/bulk/", [submission])):
        answer = root.post(address, body, "json")
        assert (answer.status_code, "no such" in str(answer.data), Job.objects.count()) == (400, True, 0)


def test_the_admin_shows_it_to_system_admins_alone(job: Job, organization: Organization, root: Client) -> None:
    staff = admin.staff_of(organization, role="admin")
    Membership.objects.create(user=User.objects.get(username="admin"), organization=job.organization)
    assert (admin.listed(staff), admin.listed(root)) == ([], [job])
    for model in ("organization", "job", "membership"):
        assert NAME not in staff.get(f"/admin/django_jobs/{model}/").content.decode()
    assert staff.get(admin.url("organization", "change", job.organization_id)).status_code == 302
    assert NAME in admin.text(root, "/admin/django_jobs/organization/")


def test_a_policy_of_the_hosts_cannot_open_it(settings: Any, job: Job, intruder: User) -> None:
    decide(settings, "Everything")
    with pytest.raises(JobNotFound):
        get_job_status(job, user=intruder)
    decide(settings, "MembersOfAll")
    assert list_jobs(user=intruder) == []
    with pytest.raises((PermissionDenied, JobTypeNotFound)):
        submit_job(job.job_type_id, None, user=intruder)
    assert client_of(intruder).post(url_of(job, "cancel")).status_code == 404


def test_a_policy_is_asked_by_the_names_of_its_parameters(job: Job, intruder: User, organization: Organization) -> None:
    policy, kind = verbs.get_policy(), job.job_type
    own = submit_job(kind, organization)
    assert policy.can_view(user=intruder, job=own)
    assert not policy.can_view(user=intruder, job=job)
    assert policy.can_submit(intruder, organization=organization, job_type=kind)
    assert not policy.can_submit(user=intruder, organization=job.organization, job_type=kind)
    assert list(policy.organizations_of(user=intruder)) == [organization]


@pytest.mark.parametrize("spelling", ["system", "SYSTEM"])
def test_a_row_that_only_case_tells_apart_is_closed_where_it_gets_the_jobs(settings: Any, spelling: str) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SYSTEM_ORGANIZATION": spelling}
    make_organization(name=NAME)
    job = submit_job(make_job_type(), None)
    assert not verbs.get_policy().is_member(make_user(member_of=[job.organization]), job.organization)


def test_a_membership_of_it_is_refused(job: Job) -> None:
    with pytest.raises(ValidationError) as caught:
        Membership(user=make_user(), organization=job.organization).full_clean()
    assert [error.code for error in caught.value.error_dict["organization"]] == ["no_members"]
    Membership(user=make_user(), organization=make_organization()).full_clean()


def test_jobs_check_finds_nothing_wrong_with_it(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError):
        call_command("jobs_check")  # there are no workers in a test
    assert NAME not in capsys.readouterr().out


@pytest.fixture
def root() -> Client:
    return admin.superuser()
