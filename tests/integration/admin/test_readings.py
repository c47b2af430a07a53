"""The admin shows what the engine did and decides nothing itself."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from django_jobs import submit_job
from django_jobs.models import ExecutionLog, Job, Membership, Organization
from tests.support import admin
from tests.support.admin import MODELS, asked, text, url
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.tuning import Tuning

READ_ONLY = ("job", "executionlog")


@pytest.fixture
def organization() -> Organization:
    return make_organization(name="ORG-MINE")


@pytest.fixture
def job(organization: Organization) -> Job:
    return submit_job(make_job_type(), organization, {"colour": "blue"})


@pytest.fixture
def foreign_job() -> Job:
    return submit_job(make_job_type(), make_organization(name="ORG-THEIRS"), {"colour": "red"})


@pytest.fixture
def log(job: Job) -> ExecutionLog:
    return ExecutionLog.objects.create(
        job=job,
        organization_id=job.organization_id,
        to_status="Failed",
        timestamp=timezone.now(),
        actor="worker",
        message="why",
        traceback="SECRET TRACE",
    )


@pytest.fixture
def superuser() -> Client:
    return admin.superuser()


@pytest.fixture
def system_admin() -> Client:
    return admin.system_admin()


@pytest.fixture
def member(organization: Organization) -> Client:
    return admin.staff_of(organization)


def test_lists_and_details_render_for_a_superuser(
    subtests: pytest.Subtests, superuser: Client, log: ExecutionLog
) -> None:
    Membership.objects.create(user=make_user(), organization=log.job.organization)
    for model in MODELS:
        with subtests.test(model=model):
            row = {
                "job": log.job,
                "executionlog": log,
                "jobtype": log.job.job_type,
                "organization": log.job.organization,
                "membership": Membership.objects.get(),
            }[model]
            assert "ORG-MINE" in text(superuser, url("job", "changelist"))
            text(superuser, url(model, "changelist"))
            text(superuser, url(model, "changelist"), q="x")
            text(superuser, url(model, "change", row.pk))
            text(superuser, url(model, "history", row.pk))


@pytest.mark.parametrize("model", ["jobtype", "organization", "membership"])
def test_what_may_be_added_has_its_form(superuser: Client, system_admin: Client, model: str) -> None:
    text(superuser, url(model, "add"))
    text(system_admin, url(model, "add"))


@pytest.mark.parametrize("model", READ_ONLY)
def test_nobody_writes_jobs_and_logs(superuser: Client, log: ExecutionLog, model: str) -> None:
    pk = log.job_id if model == "job" else log.pk
    assert superuser.get(url(model, "add")).status_code == 403
    assert superuser.post(url(model, "change", pk), {"status": "Completed"}).status_code == 403
    assert superuser.post(url(model, "delete", pk), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("model", ["jobtype", "organization", "membership"])
def test_staff_without_the_right_writes_nothing(member: Client, organization: Organization, model: str) -> None:
    keys: dict[str, str | int] = {
        "jobtype": make_job_type().pk,
        "organization": organization.pk,
        "membership": Membership.objects.get().pk,
    }
    assert member.get(url(model, "change", keys[model])).status_code == 200
    addresses = [url(model, "add"), url(model, "change", keys[model]), url(model, "delete", keys[model])]
    assert [member.post(address, {"post": "yes"}).status_code for address in addresses] == [403, 403, 403]


@pytest.mark.parametrize("model", READ_ONLY)
def test_a_history_tells_nobody_who_may_not_see_it_whether_the_row_is_there(
    model: str, organization: Organization, log: ExecutionLog
) -> None:
    pk = log.job_id if model == "job" else log.pk
    stranger = admin.staff_of(organization, permissions=[])
    assert [stranger.get(url(model, "history", key)).status_code for key in (pk, pk + 1_000)] == [403, 403]


def test_staff_see_their_own_organizations_jobs_alone(member: Client, job: Job, foreign_job: Job) -> None:
    page = text(member, url("job", "changelist"))
    assert job.name in page
    assert foreign_job.name not in page
    assert "ORG-THEIRS" not in page
    assert foreign_job.name not in text(member, url("job", "changelist"), q="ORG-THEIRS").replace("ORG-THEIRS", "")
    assert member.get(url("job", "change", foreign_job.pk)).status_code == 302
    assert "blue" in text(member, url("job", "change", job.pk))


def test_staff_see_their_own_organizations_logs_alone(member: Client, job: Job, foreign_job: Job) -> None:
    page = text(member, url("executionlog", "changelist"))
    assert job.name in page
    assert foreign_job.name not in page
    for name in (foreign_job.name, f"JOB-1999-{job.pk:05d}"):
        assert list(asked(member, {"q": name}, "executionlog").result_list) == []
    theirs = ExecutionLog.objects.filter(job=foreign_job).values_list("pk", flat=True)[0]
    assert member.get(url("executionlog", "change", theirs)).status_code == 302


def test_a_row_of_the_log_follows_can_view(member: Client, log: ExecutionLog, settings: Settings) -> None:
    address = url("executionlog", "change", log.pk)
    assert member.get(address).status_code == 200
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OwnJobsOnly"}
    assert member.get(address).status_code == 302


def test_staff_see_their_own_organizations_and_memberships_alone(mine: Organization, theirs: Organization) -> None:
    colleague, other = make_user("kim_of_mine", member_of=[mine]), make_user("lee_of_theirs", member_of=[theirs])
    own, foreign = Membership.objects.get(user=colleague), Membership.objects.get(user=other)
    client = admin.staff_of(mine)
    for model, names, (shown, hidden) in (
        ("organization", ("ORG-MINE", "ORG-THEIRS"), (mine, theirs)),
        ("membership", ("kim_of_mine", "lee_of_theirs"), (own, foreign)),
    ):
        page = text(client, url(model, "changelist"))
        assert [name in page for name in names] == [True, False]
        assert client.get(url(model, "change", shown.pk)).status_code == 200
        assert client.get(url(model, "change", hidden.pk)).status_code == 302


def test_tracebacks_are_for_system_admins(member: Client, system_admin: Client, log: ExecutionLog) -> None:
    address = url("executionlog", "change", log.pk)
    assert "SECRET TRACE" in text(system_admin, address)
    assert "SECRET TRACE" not in text(member, address)
    assert "SECRET TRACE" not in text(member, url("job", "change", log.job_id))


def test_results_of_a_suspended_organization_are_withheld_from_its_members(
    member: Client, system_admin: Client, job: Job
) -> None:
    Job.objects.filter(pk=job.pk).update(result={"answer": "forty-two"})
    assert "forty-two" in text(member, url("job", "change", job.pk))
    Organization.objects.update(is_active=False)
    assert "forty-two" not in text(member, url("job", "change", job.pk))
    assert "forty-two" in text(system_admin, url("job", "change", job.pk))


def test_search_finds_exact_ids(superuser: Client, job: Job, foreign_job: Job) -> None:
    for term, found in [(job.name, [job]), ("ORG-THEIRS", [foreign_job]), ("JOB-1999-00001", []), ("ORG", [])]:
        assert list(asked(superuser, {"q": term}).queryset) == found
    logs = asked(superuser, {"q": job.name}, "executionlog").queryset
    assert {row.job_id for row in logs} == {job.pk}


@pytest.mark.parametrize("query", [{"status": "nonsense"}, {"organization": "x"}, {"q": "\x00"}, {"q": "' OR 1=1"}])
def test_strange_queries_do_no_harm(superuser: Client, job: Job, query: dict[str, str]) -> None:
    assert superuser.get(url("job", "changelist"), query).status_code == 200


def test_filters_narrow_the_list(superuser: Client, job: Job, foreign_job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(status="Dead Letter", ready_at=None)
    assert list(asked(superuser, {"status": "Dead Letter"}).queryset) == [job]
    waiting = asked(superuser, {"status": foreign_job.status}).queryset
    assert job not in waiting
    mine = asked(superuser, {"organization": job.organization_name}).queryset
    assert list(mine) == [job]


def test_lists_count_no_further_than_the_cap(superuser: Client, job: Job, foreign_job: Job, tuning: Tuning) -> None:
    tuning.set(capped_count_rows=1)
    assert superuser.get(url("job", "changelist")).context["cl"].result_count == 1


def test_deleting_an_organization_leaves_its_jobs(system_admin: Client, job: Job) -> None:
    system_admin.post(url("organization", "delete", job.organization_id), {"post": "yes"})
    assert not Organization.objects.exists()
    assert Job.objects.filter(pk=job.pk).exists()
    assert "ORG-MINE" in text(system_admin, url("job", "changelist"))
    assert "ORG-MINE" in text(system_admin, url("job", "change", job.pk))


def test_a_log_row_is_escaped_and_cut(superuser: Client, log: ExecutionLog) -> None:
    ExecutionLog.objects.filter(pk=log.pk).update(message="<script>" + "x" * 60_000 + "LAST")
    address = url("executionlog", "change", log.pk)
    page = text(superuser, address)
    assert "<script>x" not in page
    assert "LAST" not in page
    assert "LAST" in text(superuser, address, all="1")


@pytest.mark.parametrize("model", ["jobtype", "organization", "job"])
def test_a_history_does_not_tell_those_without_permission_what_there_is(
    model: str, organization: Organization, job: Job
) -> None:
    client = admin.staff_of(organization, permissions=[])
    there: dict[str, str | int] = {"jobtype": job.job_type_id, "organization": organization.pk, "job": job.pk}
    addresses = [url(model, "history", key) for key in (there[model], 999_999)]
    assert [client.get(address).status_code for address in addresses] == [403, 403]
