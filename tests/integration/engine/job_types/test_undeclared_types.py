"""A type that code declares and that has no row yet: who is told why it is unknown, and who is not."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs import job_handler, submit_job, submit_jobs
from django_jobs.exceptions import InvalidSubmission
from django_jobs.models import JobType, Organization
from tests.support import handlers
from tests.support.commands import run
from tests.support.factories import make_system_admin, make_user

pytestmark = pytest.mark.usefixtures("broker")

TOLD, UNKNOWN = "not_synced", "unknown_job_type"


@pytest.fixture(autouse=True)
def declared_only(nothing_declared: object) -> None:
    job_handler("bake", submit_by="members")(handlers.do_nothing)


def refusal(organization: Organization, name: str = "bake", user: Any = None) -> str:
    with pytest.raises(InvalidSubmission) as caught:
        submit_job(name, organization, user=user)
    assert name in caught.value.errors["job_type"][0]
    (code,) = caught.value.codes["job_type"]
    return code


def test_server_code_is_told_that_the_row_is_missing(organization: Organization) -> None:
    assert refusal(organization) == TOLD


def test_a_system_admin_is_told_too(organization: Organization) -> None:
    assert refusal(organization, user=make_system_admin()) == TOLD


@pytest.mark.parametrize("role", ["member_of", "admin_of"])
def test_to_other_users_the_type_is_unknown(organization: Organization, role: str) -> None:
    assert refusal(organization, user=make_user(**{role: [organization]})) == UNKNOWN  # type: ignore[arg-type]


def test_a_type_that_no_code_declares_is_unknown(organization: Organization) -> None:
    assert refusal(organization, "cook") == UNKNOWN


def test_it_is_told_in_many_submissions_at_once(organization: Organization) -> None:
    items = [{"job_type": name, "organization": organization} for name in ("bake", "cook")]
    with pytest.raises(InvalidSubmission) as caught:
        submit_jobs(items)
    assert caught.value.codes == {"0.job_type": [TOLD], "1.job_type": [UNKNOWN]}


def test_a_type_that_is_there_but_closed_to_users_is_not_said_to_be_missing(organization: Organization) -> None:
    run("jobs_sync")
    JobType.objects.update(submit_by="code")
    assert refusal(organization, user=make_system_admin()) == UNKNOWN


def test_after_a_synchronization_it_is_submitted(organization: Organization) -> None:
    run("jobs_sync")
    assert submit_job("bake", organization).job_type_id == "bake"
