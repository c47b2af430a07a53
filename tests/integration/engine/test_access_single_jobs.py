"""A policy that shows people only some jobs of their organization: every door to a single job asks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from django_jobs import cancel_job, get_job_history, get_job_status, retry_job, wait_for_job
from django_jobs.exceptions import JobNotFound
from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.api import client_of, url_of
from tests.support.brokers import pending_job
from tests.support.factories import make_user
from tests.support.outputs import finished_with_file
from tests.support.refusals import refused
from tests.support.verbs import JOB_ROOM, JoinRefused, Room

METHODS: Final = "/api/method/dartwing.dartwing_core.api.jobs."
DOORS: Final[dict[str, Callable[..., Any]]] = {
    "status": get_job_status,
    "history": get_job_history,
    "wait": lambda job, user: wait_for_job(job, 0, user=user),
    "cancel": cancel_job,
    "retry": retry_job,
}


def calling(name: str) -> Callable[[Any, Job], Any]:
    """A call of the quickstart's."""
    return lambda client, job: client.post(f"{METHODS}{name}", {"job_id": job.name})


ROUTES: Final[dict[str, Callable[[Any, Job], Any]]] = {
    "detail": lambda client, job: client.get(url_of(job)),
    "page": lambda client, job: client.get(url_of(job), HTTP_ACCEPT="text/html"),
    "history": lambda client, job: client.get(url_of(job, "history")),
    "output": lambda client, job: client.get(url_of(job, "output")),
    "cancel": lambda client, job: client.post(url_of(job, "cancel")),
    "retry": lambda client, job: client.post(url_of(job, "retry")),
    "delete": lambda client, job: client.delete(url_of(job)),
    **{name: calling(name) for name in ("get_job_status", "get_job_history", "cancel_job", "retry_job")},
}


@pytest.fixture(autouse=True)
def _setting(broker: object, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OwnJobsOnly"}


@pytest.fixture
def owner(organization: Organization) -> Any:
    return make_user(member_of=[organization])


@pytest.fixture
def colleague(organization: Organization) -> Any:
    return make_user(admin_of=[organization])


@pytest.fixture
def job(organization: Organization, owner: Any) -> Job:
    return pending_job(organization=organization, user=owner)


def test_a_job_that_the_policy_does_not_show_is_not_found(subtests: pytest.Subtests, job: Job, colleague: Any) -> None:
    for door in DOORS:
        with subtests.test(door=door), pytest.raises(JobNotFound, match=job.name):
            DOORS[door](job, user=colleague)


def test_no_route_finds_a_job_that_the_policy_does_not_show(
    subtests: pytest.Subtests, job: Job, colleague: Any
) -> None:
    for route in ROUTES:
        with subtests.test(route=route):
            assert ROUTES[route](client_of(colleague), job).status_code == 404


def test_among_jobs_that_are_named_it_is_unknown(job: Job, colleague: Any) -> None:
    for name in ("cancel", "retry"):
        (outcome,) = verbs.act(name, [job.name], user=colleague)
        assert (outcome.result, outcome.status) == ("unknown", "")


def test_its_file_is_not_found_either(organization: Organization, kind: JobType, colleague: Any) -> None:
    job = finished_with_file(organization, kind)
    assert client_of(colleague).get(url_of(job, "output")).json()["code"] == "not_found"


def test_its_room_is_none(job: Job, owner: Any, colleague: Any) -> None:
    room = Room(JOB_ROOM, job.name)
    assert verbs.authorize_join(owner, room).job_pk == job.pk
    with pytest.raises(JoinRefused) as refusal:
        verbs.authorize_join(colleague, room)
    assert refusal.value.code == "not_found"


def test_whom_the_policy_shows_a_job_finds_it(job: Job, owner: Any) -> None:
    assert get_job_status(job, user=owner).status == "Pending"
    assert client_of(owner).get(url_of(job)).status_code == 200
    assert cancel_job(job, user=owner).status == "Canceled"


def test_a_policy_cannot_show_what_lies_outside_the_users_organizations(job: Job, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.Everything"}
    with refused(JobNotFound, "unknown_job"):
        get_job_status(job, user=make_user())
