"""Every verb for every kind of user: one table says who may what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db.models import Q
from django.test import TestCase

from django_jobs import (
    cancel_job,
    get_job_history,
    get_job_status,
    list_jobs,
    retry_job,
    submit_job,
    submit_jobs,
    wait_for_job,
)
from django_jobs.exceptions import InvalidSubmission, JobNotFound, PermissionDenied
from django_jobs.models import Job, Organization
from tests.support.brokers import job_in, pending_job
from tests.support.cases import rolled_back
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user

pytestmark = pytest.mark.usefixtures("broker")

NEEDED: Final = "django_jobs.add_jobtype"
OK: Final = "done"
DENIED: Final = "denied"
UNKNOWN: Final = "unknown"

ROLES: Final[dict[str, Callable[[Organization], Any]]] = {
    "member": lambda own: make_user(member_of=[own]),
    "member with the permission": lambda own: make_user(member_of=[own], permissions=[NEEDED]),
    "member of two": lambda own: make_user(member_of=[make_organization(), own]),
    "organization admin": lambda own: make_user(admin_of=[own]),
    "system admin": lambda _: make_system_admin(),
    "superuser": lambda _: make_user(is_superuser=True),
    "stranger": lambda _: make_user(),
    "member of another": lambda _: make_user(member_of=[make_organization()]),
    "admin of another": lambda _: make_user(admin_of=[make_organization()], permissions=[NEEDED]),
    "inactive member": lambda own: make_user(member_of=[own], is_active=False),
    "inactive admin": lambda own: make_user(admin_of=[own], is_active=False),
    "inactive superuser": lambda _: make_user(is_superuser=True, is_active=False),
    "anonymous": lambda _: AnonymousUser(),
    "server code": lambda _: None,
}
OUTSIDE: Final = dict.fromkeys(
    [
        "stranger",
        "member of another",
        "admin of another",
        "inactive member",
        "inactive admin",
        "inactive superuser",
        "anonymous",
    ]
)
READ: Final = {**dict.fromkeys(ROLES, OK), **dict.fromkeys(OUTSIDE, UNKNOWN)}
MANAGE: Final = {
    **READ,
    "member": DENIED,
    "member with the permission": DENIED,
    "member of two": DENIED,
}
SUBMIT: Final = {**dict.fromkeys(ROLES, OK), **dict.fromkeys(OUTSIDE, DENIED)}
SUBMIT_PROTECTED: Final = {**SUBMIT, "member": UNKNOWN, "member of two": UNKNOWN, "organization admin": UNKNOWN}


class Stage:
    """One organization and what was there before the user came."""

    def __init__(self) -> None:
        self.organization = make_organization()
        self.kind = make_job_type()
        self.protected = make_job_type(requires_permission=NEEDED)

    def job(self, status: str = "Pending") -> Job:
        """Somebody else's, and as if it were committed."""
        with TestCase.captureOnCommitCallbacks(execute=True):
            return job_in(status, job_type=self.kind, organization=self.organization)


@pytest.fixture
def stage() -> Stage:
    return Stage()


VERBS: Final[dict[str, tuple[Callable[[Stage, Any], Any], dict[str, str]]]] = {
    "submit": (lambda stage, user: submit_job(stage.kind, stage.organization, user=user), SUBMIT),
    "submit by id": (lambda stage, user: submit_job(stage.kind, stage.organization.name, user=user), SUBMIT),
    "submit what needs a permission": (
        lambda stage, user: submit_job(stage.protected, stage.organization, user=user),
        SUBMIT_PROTECTED,
    ),
    "submit many": (
        lambda stage, user: submit_jobs(
            [{"job_type": stage.kind, "organization": stage.organization, "parameters": {"n": 1}}], user=user
        ),
        SUBMIT,
    ),
    "status": (lambda stage, user: get_job_status(stage.job(), user=user), READ),
    "history": (lambda stage, user: get_job_history(stage.job(), user=user), READ),
    "wait": (lambda stage, user: wait_for_job(stage.job("Completed"), 1, user=user), READ),
    "list": (lambda stage, user: list_jobs(stage.organization, user=user), READ),
    "cancel another's": (lambda stage, user: cancel_job(stage.job(), user=user), MANAGE),
    "cancel another's that runs": (lambda stage, user: cancel_job(stage.job("Running"), user=user), MANAGE),
    "retry another's": (lambda stage, user: retry_job(stage.job("Dead Letter"), user=user), MANAGE),
}
TABLE: Final = [(verb, role, expected) for verb, (_, row) in VERBS.items() for role, expected in row.items()]


def outcome(call: Callable[[Stage, Any], object], stage: Stage, user: Any) -> str:
    try:
        call(stage, user)
    except (JobNotFound, InvalidSubmission):
        return UNKNOWN
    except PermissionDenied:
        return DENIED
    return OK


def test_who_may_what_and_a_refusal_changes_nothing(subtests: pytest.Subtests, stage: Stage) -> None:
    for verb, role, expected in TABLE:
        with rolled_back(subtests, verb=verb, role=role):
            user = ROLES[role](stage.organization)
            assert outcome(VERBS[verb][0], stage, user) == expected
            assert expected == OK or touched_jobs() == []


def touched_jobs() -> list[Job]:
    """Jobs that somebody submitted or canceled, and not the stage's own ones."""
    asked_for = Q(status="Canceled") | Q(cancel_requested_at__isnull=False)
    return list(Job.objects.filter(asked_for | ~Q(owner_name="")))


def test_owners_cancel_what_is_theirs(subtests: pytest.Subtests, stage: Stage) -> None:
    for role in [role for role in ROLES if role not in OUTSIDE and role != "server code"]:
        with rolled_back(subtests, role=role):
            user = ROLES[role](stage.organization)
            job = pending_job(stage.kind, stage.organization, user=user)
            assert cancel_job(job, user=user).canceled_by == user.username


@pytest.mark.parametrize("role", ["member", "member with the permission"])
def test_owners_do_not_retry_what_is_theirs(role: str, stage: Stage) -> None:
    user = ROLES[role](stage.organization)
    job = job_in("Dead Letter", job_type=stage.kind, organization=stage.organization, user=user)
    with pytest.raises(PermissionDenied):
        retry_job(job, user=user)


def test_owners_who_left_do_not_find_what_was_theirs(subtests: pytest.Subtests, stage: Stage) -> None:
    cases: list[Callable[..., object]] = [get_job_status, get_job_history, cancel_job, retry_job, wait_for_job]
    for verb in cases:
        with rolled_back(subtests, verb=verb):
            user = make_user(member_of=[stage.organization])
            job = pending_job(stage.kind, stage.organization, user=user)
            user.job_memberships.all().delete()
            with pytest.raises(JobNotFound):
                verb(job.name, user=user)


def test_a_job_that_is_not_there_and_one_that_is_not_ones_own_read_alike(stage: Stage) -> None:
    job, user = stage.job(), make_user()
    with pytest.raises(JobNotFound) as foreign:
        get_job_status(job.name, user=user)
    Job.objects.filter(pk=job.pk)._raw_delete("default")
    with pytest.raises(JobNotFound) as missing:
        get_job_status(job.name, user=user)
    assert str(foreign.value) == str(missing.value)


def test_a_list_without_an_organization_holds_what_one_may_see(subtests: pytest.Subtests, stage: Stage) -> None:
    all_of_it = {"system admin": 2, "superuser": 2, "server code": 2}
    for role, seen in ({"member": 1, "organization admin": 1} | all_of_it | dict.fromkeys(OUTSIDE, 0)).items():
        with rolled_back(subtests, role=role, seen=seen):
            user = ROLES[role](stage.organization)
            stage.job()
            pending_job(stage.kind)
            assert len(list_jobs(user=user)) == seen


def test_the_same_scope_is_there_for_querysets(stage: Stage) -> None:
    job = stage.job()
    pending_job(stage.kind)
    assert list(Job.objects.visible_to(ROLES["member"](stage.organization))) == [job]
    assert Job.objects.filter(priority="Normal").visible_to(ROLES["superuser"](stage.organization)).count() == 2
    assert not Job.objects.visible_to(ROLES["inactive superuser"](stage.organization)).exists()
