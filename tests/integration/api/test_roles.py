"""Every route for every kind of user: one table says who gets which answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from django.db.models import Q
from django.test import TestCase

from django_jobs.models import Job, JobType, Organization
from tests.support.api import client_of, url_of
from tests.support.brokers import job_in
from tests.support.cases import rolled_back
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user

pytestmark = pytest.mark.usefixtures("broker")

ROLES: Final[dict[str, Callable[[Organization], Any]]] = {
    "anonymous": lambda _: None,
    "stranger": lambda _: make_user(),
    "foreign member": lambda _: make_user(member_of=[make_organization()]),
    "foreign admin": lambda _: make_user(admin_of=[make_organization()]),
    "member": lambda own: make_user(member_of=[own]),
    "organization admin": lambda own: make_user(admin_of=[own]),
    "system admin": lambda _: make_system_admin(),
}
OUTSIDERS: Final = ("stranger", "foreign member", "foreign admin")


class Stage:
    """One organization and its jobs, submitted by somebody else."""

    def __init__(self) -> None:
        self.organization = make_organization()
        self.kind = make_job_type()
        self.unused = make_job_type()

    def job(self, status: str) -> Job:
        with TestCase.captureOnCommitCallbacks(execute=True):
            return job_in(status, job_type=self.kind, organization=self.organization)

    def submission(self) -> dict[str, Any]:
        return {"job_type": self.kind.pk, "organization": self.organization.name}

    def new_type(self) -> dict[str, Any]:
        return {"type_name": "new_one", "handler_method": "tests.support.handlers.echo"}


def row(outsider: int, member: int, admin: int, system: int, stranger: int | None = None) -> dict[str, int]:
    """The status for each role; nobody gets anywhere without an account."""
    known = dict.fromkeys(OUTSIDERS, outsider) | ({"stranger": stranger} if stranger else {})
    return {"anonymous": 401, **known, "member": member, "organization admin": admin, "system admin": system}


Call = Callable[[Stage, Any], Any]
CALLS: Final[dict[str, tuple[Call, dict[str, int]]]] = {
    "submit": (lambda s, c: c.post("/api/jobs/", s.submission(), "json"), row(400, 201, 201, 201)),
    "bulk": (lambda s, c: c.post("/api/jobs/bulk/", [s.submission()], "json"), row(400, 201, 201, 201)),
    "list": (lambda _, c: c.get("/api/jobs/"), row(200, 200, 200, 200)),
    "list of the organization": (
        lambda s, c: c.get("/api/jobs/", {"organization": s.organization.name}),
        row(400, 200, 200, 200),
    ),
    "status": (lambda s, c: c.get(url_of(s.job("Pending"))), row(404, 200, 200, 200)),
    "history": (lambda s, c: c.get(url_of(s.job("Pending"), "history")), row(404, 200, 200, 200)),
    "output": (lambda s, c: c.get(url_of(s.job("Completed"), "output")), row(404, 404, 404, 404)),
    "cancel": (lambda s, c: c.post(url_of(s.job("Pending"), "cancel")), row(404, 403, 200, 200)),
    "cancel what runs": (lambda s, c: c.post(url_of(s.job("Running"), "cancel")), row(404, 403, 202, 202)),
    "retry": (lambda s, c: c.post(url_of(s.job("Dead Letter"), "retry")), row(404, 403, 200, 200)),
    "delete": (lambda s, c: c.delete(url_of(s.job("Completed"))), row(404, 403, 403, 204)),
    "metrics": (lambda _, c: c.get("/api/jobs/metrics/"), row(200, 200, 200, 200)),
    "metrics of the organization": (
        lambda s, c: c.get("/api/jobs/metrics/", {"organization": s.organization.name}),
        row(400, 200, 200, 200),
    ),
    "socket ticket": (lambda _, c: c.post("/api/jobs/socket-ticket/"), row(200, 200, 200, 200)),
    "job types": (lambda _, c: c.get("/api/job-types/"), row(200, 200, 200, 200)),
    "job type": (lambda s, c: c.get(f"/api/job-types/{s.kind.pk}/"), row(200, 200, 200, 200, stranger=404)),
    "make a job type": (lambda s, c: c.post("/api/job-types/", s.new_type(), "json"), row(403, 403, 403, 201)),
    "change a job type": (
        lambda s, c: c.patch(f"/api/job-types/{s.kind.pk}/", {"is_paused": True}, "json"),
        row(403, 403, 403, 200),
    ),
    "replace a job type": (
        lambda s, c: c.put(f"/api/job-types/{s.kind.pk}/", {**s.new_type(), "type_name": s.kind.pk}, "json"),
        row(403, 403, 403, 200),
    ),
    "delete a job type": (lambda s, c: c.delete(f"/api/job-types/{s.unused.pk}/"), row(403, 403, 403, 204)),
}
METHOD: Final = "/api/method/dartwing.dartwing_core.api.jobs."
METHODS: Final[dict[str, tuple[Call, dict[str, int]]]] = {
    "submit_job": (lambda s, c: c.post(f"{METHOD}submit_job", s.submission(), "json"), row(400, 200, 200, 200)),
    "get_job_status": (
        lambda s, c: c.get(f"{METHOD}get_job_status", {"job_id": s.job("Pending").name}),
        row(404, 200, 200, 200),
    ),
    "get_job_history": (
        lambda s, c: c.get(f"{METHOD}get_job_history", {"job_id": s.job("Pending").name}),
        row(404, 200, 200, 200),
    ),
    "list_jobs": (
        lambda s, c: c.get(f"{METHOD}list_jobs", {"organization": s.organization.name}),
        row(400, 200, 200, 200),
    ),
    "get_job_metrics": (
        lambda s, c: c.get(f"{METHOD}get_job_metrics", {"organization": s.organization.name}),
        row(400, 200, 200, 200),
    ),
    "cancel_job": (
        lambda s, c: c.post(f"{METHOD}cancel_job", {"job_id": s.job("Pending").name}, "json"),
        row(404, 403, 200, 200),
    ),
    "retry_job": (
        lambda s, c: c.post(f"{METHOD}retry_job", {"job_id": s.job("Dead Letter").name}, "json"),
        row(404, 403, 200, 200),
    ),
}
ALL: Final = {**CALLS, **METHODS}
TABLE: Final = [(name, role, status) for name, (_, statuses) in ALL.items() for role, status in statuses.items()]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_who_gets_which_answer_and_a_refusal_changes_nothing(subtests: pytest.Subtests, stage: Stage) -> None:
    for name, role, status in TABLE:
        with rolled_back(subtests, call=name, role=role):
            client = client_of(ROLES[role](stage.organization))
            types = type_rows()
            answer = ALL[name][0](stage, client)
            assert answer.status_code == status
            assert status < 400 or (touched_jobs(), type_rows()) == ([], types)


def type_rows() -> set[tuple[Any, ...]]:
    return set(JobType.objects.values_list("pk", "is_paused", "handler_method"))


def touched_jobs() -> list[Job]:
    """Jobs that somebody submitted or canceled, and not the stage's own ones."""
    asked_for = Q(status="Canceled") | Q(cancel_requested_at__isnull=False)
    return list(Job.objects.filter(asked_for | ~Q(owner_name="")))


def test_anothers_job_and_one_that_is_not_there_read_alike(subtests: pytest.Subtests, stage: Stage) -> None:
    for name in told_to_foreign_admins(404):
        with rolled_back(subtests, call=name), pytest.MonkeyPatch.context() as monkeypatch:
            client = client_of(ROLES["foreign admin"](stage.organization))
            foreign = ALL[name][0](stage, client)
            job = Job.objects.get()
            Job.objects.all()._raw_delete("default")
            monkeypatch.setattr(stage, "job", lambda _, job=job: job)
            missing = ALL[name][0](stage, client)
            assert (missing.status_code, missing.json()) == (foreign.status_code, foreign.json())


def test_anothers_organization_and_one_that_is_not_there_read_alike(subtests: pytest.Subtests, stage: Stage) -> None:
    for name in told_to_foreign_admins(400):
        with rolled_back(subtests, call=name):
            client = client_of(ROLES["foreign admin"](stage.organization))
            foreign = ALL[name][0](stage, client)
            Organization.objects.filter(pk=stage.organization.pk).delete()
            missing = ALL[name][0](stage, client)
            assert (missing.status_code, missing.json()) == (foreign.status_code, foreign.json())
            assert f"'{stage.organization.name}'" in str(foreign.json())


def told_to_foreign_admins(status: int) -> list[str]:
    return [name for name, (_, statuses) in ALL.items() if statuses["foreign admin"] == status]


@pytest.mark.parametrize(("role", "seen"), [("stranger", 0), ("foreign admin", 0), ("member", 1), ("system admin", 2)])
def test_a_list_holds_what_one_may_see(role: str, seen: int, stage: Stage) -> None:
    stage.job("Pending")
    job_in("Pending")
    assert client_of(ROLES[role](stage.organization)).get("/api/jobs/").json()["count"] == seen


@pytest.mark.parametrize("role", ["member", "organization admin", "system admin"])
def test_owners_cancel_what_is_theirs(role: str, stage: Stage) -> None:
    client = client_of(ROLES[role](stage.organization))
    job_id = client.post("/api/jobs/", stage.submission(), "json").json()["job_id"]
    answer = client.post(url_of(job_id, "cancel"))
    assert (answer.status_code, answer.json()["status"]) == (200, "Canceled")


def test_a_deactivated_user_is_nobody(stage: Stage) -> None:
    client = client_of(make_user(member_of=[stage.organization], is_active=False))
    assert client.get(url_of(stage.job("Pending"))).status_code == 404
