"""Who may submit a job type: its members, its admins, or code alone. To others it looks like one that is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from django.contrib.auth.models import User
from django.test import Client

from django_jobs import AccessPolicy, cancel_job, retry_job, submit_job, submit_jobs
from django_jobs.exceptions import InvalidSubmission, JobTypeNotFound, PermissionDenied
from django_jobs.models import Job, JobType, Organization
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.admin import codes_said, text, url
from tests.support.api import client_of
from tests.support.brokers import WORKER, MemoryBroker, job_in, pending_job, reread
from tests.support.cases import rolled_back
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.verbs import ActRights

pytestmark = pytest.mark.usefixtures("broker")

NEEDED: Final = "django_jobs.add_jobtype"
NO: Final[list[str]] = []
ROLES: Final[dict[str, Callable[[Organization], Any]]] = {
    "member": lambda own: make_user(member_of=[own]),
    "organization admin": lambda own: make_user(admin_of=[own]),
    "admin of another and member": lambda own: make_user(member_of=[own], admin_of=[make_organization()]),
    "system admin": lambda _: make_system_admin(),
    "superuser": lambda _: make_user(is_superuser=True),
    "server code": lambda _: None,
}
#: Role by role, what may be submitted of: members, admins, code, and members with a permission.
ALLOWED: Final[dict[str, list[str]]] = {
    "member": ["members"],
    "organization admin": ["members", "admins"],
    "admin of another and member": ["members"],
    "system admin": ["members", "admins", "protected"],
    "superuser": ["members", "admins", "protected"],
    "server code": ["members", "admins", "code", "protected"],
}


@pytest.fixture
def kinds() -> dict[str, JobType]:
    found = {name: make_job_type(type_name=f"a_{name}", submit_by=name) for name in ("members", "admins", "code")}
    return {**found, "protected": make_job_type(type_name="a_protected", requires_permission=NEEDED)}


def errors_of(call: Callable[[], object]) -> dict[str, Any]:
    with pytest.raises(InvalidSubmission) as caught:
        call()
    assert not Job.objects.exists()
    return {"text": str(caught.value), "errors": caught.value.errors, "by_index": caught.value.by_index}


def as_unknown(told: dict[str, Any]) -> dict[str, Any]:
    """The same said of a type that is not there."""
    return {key: eval(repr(value).replace("a_nothing", "a_hidden")) for key, value in told.items()}


def test_a_type_is_submitted_by_those_whom_it_names(
    subtests: pytest.Subtests, kinds: dict[str, JobType], organization: Organization
) -> None:
    for role in ROLES:
        with rolled_back(subtests, role=role):
            user = ROLES[role](organization)
            done = []
            for name, kind in kinds.items():
                try:
                    submit_job(kind, organization, user=user)
                    done.append(name)
                except InvalidSubmission as refusal:
                    assert refusal.codes == {"job_type": ["unknown_job_type"]}  # noqa: PT017
            assert done == ALLOWED[role]


@pytest.mark.parametrize("fields", [{"submit_by": "code"}, {"submit_by": "admins"}, {"requires_permission": NEEDED}])
@pytest.mark.parametrize("more", [{}, {"parameters": [1], "priority": "urgent"}], ids=["alone", "with other errors"])
def test_the_refusal_is_that_of_an_unknown_type(
    fields: dict[str, str], more: dict[str, Any], organization: Organization
) -> None:
    make_job_type(type_name="a_hidden", is_enabled=False, **fields)
    user = make_user(member_of=[organization])
    hidden = errors_of(lambda: submit_job("a_hidden", organization, user=user, **more))
    assert hidden == as_unknown(errors_of(lambda: submit_job("a_nothing", organization, user=user, **more)))
    many = [{"job_type": "a_hidden", "organization": organization, **more}]
    hidden = errors_of(lambda: submit_jobs(many, user=user))
    many[0]["job_type"] = "a_nothing"
    assert hidden == as_unknown(errors_of(lambda: submit_jobs(many, user=user)))


@pytest.mark.parametrize("name", ["a_members", "a_admins", "a_code", "a_nothing"])
def test_where_one_has_no_part_in_the_organization_every_type_is_denied_alike(
    name: str, kinds: dict[str, JobType], organization: Organization
) -> None:
    with pytest.raises(PermissionDenied) as alone:
        submit_job(name, organization, user=make_user(member_of=[make_organization()]))
    with pytest.raises(PermissionDenied) as many:
        submit_jobs([{"job_type": name, "organization": organization}], user=make_user())
    told = [(refusal.value.code, refusal.value.facts, str(refusal.value)) for refusal in (alone, many)]
    assert told == [("no_part", {"job_type": name}, told[0][2])] * 2


def test_without_an_organization_only_what_one_may_submit_anywhere_is_known(kinds: dict[str, JobType]) -> None:
    user = make_user(member_of=[make_organization()], admin_of=[make_organization()])
    told = {
        name: "job_type" in errors_of(lambda kind=kind: submit_job(kind, "nowhere", user=user))["errors"]  # type: ignore[misc]
        for name, kind in kinds.items()
    }
    assert told == {"members": False, "admins": False, "code": True, "protected": True}


ROUTES: Final = ["/api/jobs/", "/api/jobs/bulk/", "/api/method/dartwing.dartwing_core.api.jobs.submit_job"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("own", [True, False], ids=["own organization", "another's"])
@pytest.mark.parametrize("role", ["member", "system admin"])
def test_over_http_a_closed_type_is_told_from_no_unknown_one(
    route: str, own: bool, role: str, organization: Organization
) -> None:
    make_job_type(type_name="a_hidden", submit_by="code")
    client = client_of(ROLES[role](organization))

    def answer(name: str) -> tuple[int, str]:
        tenant = organization if own else Organization.objects.get_or_create(name=f"ORG-{name}")[0]
        body = {"job_type": name, "organization": tenant.name, "parameters": {}}
        response = client.post(route, [body] if "bulk" in route else body, format="json")
        return response.status_code, response.content.decode().replace(name, "NAME")

    assert answer("a_hidden") == answer("a_nothing")
    assert answer("a_hidden")[0] == 400


@pytest.mark.parametrize(
    ("role", "seen"), [("member", ["a_members"]), ("organization admin", ["a_admins", "a_members"])]
)
def test_only_what_one_may_submit_is_listed(
    role: str, seen: list[str], kinds: dict[str, JobType], organization: Organization
) -> None:
    client = client_of(ROLES[role](organization))
    listed = [kind["type_name"] for kind in client.get("/api/job-types/?limit=100").json()["results"]]
    assert [name for name in listed if name in {kind.pk for kind in kinds.values()}] == seen
    for kind in kinds.values():
        assert client.get(f"/api/job-types/{kind.pk}/").status_code == (200 if kind.pk in seen else 404)


def test_system_admins_read_and_write_what_is_for_code(kinds: dict[str, JobType]) -> None:
    client = client_of(make_system_admin())
    assert client.get("/api/job-types/a_code/").json()["submit_by"] == "code"
    changed = client.patch("/api/job-types/a_code/", {"submit_by": "members"}, "json")
    assert changed.json()["submit_by"] == "members"
    assert client.patch("/api/job-types/a_code/", {"submit_by": "everybody"}, "json").status_code == 400


class OpenPolicy(AccessPolicy):
    """A host's rule that says yes to everybody."""

    def can_submit(self, user: Any, organization: Any, job_type: Any) -> bool:
        return True


def test_a_policy_opens_what_is_for_admins_and_not_what_is_for_code(
    kinds: dict[str, JobType], organization: Organization, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.OpenPolicy"}
    user = make_user(member_of=[organization])
    assert submit_job("a_admins", organization, user=user).pk
    with pytest.raises(JobTypeNotFound) as caught:
        submit_job("a_code", organization, user=user)
    assert caught.value.codes == {"job_type": ["unknown_job_type"]}
    client = client_of(user)
    names = {kind["type_name"] for kind in client.get("/api/job-types/?limit=100").json()["results"]}
    assert names >= {"a_members", "a_admins", "a_protected"}
    assert "a_code" not in names


# The admin.


def test_the_admin_submits_nothing_that_is_for_code_alone(kinds: dict[str, JobType], root: Client) -> None:
    assert url("jobtype", "submit", "a_admins") in text(root, url("jobtype", "change", "a_admins"))
    assert url("jobtype", "submit", "a_code") not in text(root, url("jobtype", "change", "a_code"))
    page = root.post(url("jobtype", "submit", "a_code"), {"organization": "x", "parameters": "{}"}, follow=True)
    assert codes_said(page) == ["code_only"]
    assert not Job.objects.exists()


def test_what_is_for_code_alone_is_not_run_again_by_hand(
    kinds: dict[str, JobType], root: Client, organization: Organization
) -> None:
    job = job_in("Completed", job_type=kinds["code"], organization=organization)
    assert url("job", "run_again", job.pk) not in text(root, url("job", "change", job.pk))
    page = root.post(url("job", "run_again", job.pk), {"parameters": "{}", "priority": "1"})
    assert page.context["form"].has_error("__all__", "unknown_job_type")
    assert Job.objects.count() == 1


def test_the_filter_by_type_names_what_one_may_submit_and_ones_jobs(
    kinds: dict[str, JobType], organization: Organization
) -> None:
    make_job_type(type_name="a_stranger", submit_by="code")
    pending_job(make_job_type(type_name="a_foreign", submit_by="code"))
    pending_job(kinds["code"], organization)
    staff = make_user(member_of=[organization], is_staff=True, permissions=["django_jobs.view_job"])
    client = Client()
    client.force_login(staff)
    page = text(client, url("job", "changelist"))
    names = ("members", "admins", "code", "protected", "stranger", "foreign")
    offered = [name for name in names if f"type=a_{name}" in page]
    assert offered == ["members", "code"]


# When the job is claimed.


def after_a_worker_took_it(job: Job, broker: MemoryBroker) -> Job:
    verbs.forget_claim_verdicts()
    verbs.dispatch()
    verbs.claim(broker.take_all(), WORKER)
    return reread(job)


def test_a_job_whose_type_is_for_admins_by_now_ends_at_the_claim(
    organization: Organization, broker: MemoryBroker, reasons: Reasons
) -> None:
    kind = make_job_type()
    job = pending_job(kind, organization, user=make_user(member_of=[organization]))
    JobType.objects.update(submit_by="admins")
    row = after_a_worker_took_it(job, broker)
    assert (row.status, row.error_type, reasons(job)) == ("Dead Letter", "Permanent", ["may_not_submit"])


@pytest.mark.parametrize(("is_member", "status"), [(True, "Running"), (False, "Dead Letter")])
def test_what_was_accepted_before_a_type_was_closed_to_users_runs_while_its_owner_belongs_there(
    is_member: bool, status: str, organization: Organization, broker: MemoryBroker
) -> None:
    owner = make_user(member_of=[organization])
    job = pending_job(make_job_type(), organization, user=owner)
    JobType.objects.update(submit_by="code")
    if not is_member:
        owner.job_memberships.all().delete()
    assert after_a_worker_took_it(job, broker).status == status


def test_what_code_submitted_runs(kinds: dict[str, JobType], organization: Organization, broker: MemoryBroker) -> None:
    assert after_a_worker_took_it(pending_job(kinds["code"], organization), broker).status == "Running"


# The retry by hand.


@pytest.fixture
def dead(organization: Organization) -> Job:
    return job_in("Dead Letter", job_type=make_job_type(requires_permission=NEEDED), organization=organization)


@pytest.fixture
def without(organization: Organization) -> User:
    return make_user(admin_of=[organization], is_staff=True, permissions=["django_jobs.view_job"])


@pytest.fixture
def holder(organization: Organization) -> User:
    return make_user(admin_of=[organization], permissions=[NEEDED])


def test_a_retry_by_hand_needs_the_permission_that_the_type_requires(dead: Job, without: User, holder: User) -> None:
    assert not ActRights("retry", without).may(dead)
    with pytest.raises(PermissionDenied) as caught:
        retry_job(dead, user=without)
    assert (caught.value.code, caught.value.facts) == ("permission_denied", {"job": dead.name})
    assert client_of(without).post(f"/api/jobs/{dead.name}/retry/").status_code == 403
    method = client_of(without).post(
        "/api/method/dartwing.dartwing_core.api.jobs.retry_job", {"job_id": dead.name}, format="json"
    )
    assert (method.status_code, reread(dead).status) == (403, "Dead Letter")
    assert ActRights("retry", holder).may(dead)
    assert retry_job(dead, user=holder).status == "Pending"


def test_the_admin_retries_nothing_without_the_permission(dead: Job, without: User) -> None:
    client = Client()
    client.force_login(without)
    page = client.post(url("job", "retry", dead.pk), follow=True)
    assert codes_said(page) == ["permission_denied"]
    assert reread(dead).status == "Dead Letter"


def test_system_admins_retry_without_it_and_what_is_for_code_too(dead: Job, organization: Organization) -> None:
    assert retry_job(dead, user=make_system_admin()).status == "Pending"
    internal = job_in("Dead Letter", job_type=make_job_type(submit_by="code"), organization=organization)
    assert retry_job(internal, user=make_user(admin_of=[organization])).status == "Pending"


def test_canceling_needs_no_permission_of_the_type(organization: Organization, without: User) -> None:
    job = pending_job(make_job_type(requires_permission=NEEDED), organization)
    assert cancel_job(job, user=without).status == "Canceled"
