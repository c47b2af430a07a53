"""A policy that raises decides nothing, whatever it raises: it is told as a failure, never as "not found" or "no"."""

from __future__ import annotations

import logging
from typing import Any, Final

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ObjectDoesNotExist
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import OperationalError, models
from django.http import Http404
from rest_framework.exceptions import NotFound

from django_jobs import AccessPolicy, cancel_job, get_job_history, get_job_status, list_jobs, retry_job, submit_job
from django_jobs.exceptions import JobNotFound, JobsError, PermissionDenied, PolicyFailed
from django_jobs.models import Job, Organization
from tests.integration.conftest import Reasons
from tests.support import admin, verbs
from tests.support.api import client_of, url_of
from tests.support.brokers import WORKER, job_in, pending_job, queue_up, reread, ticket_of
from tests.support.factories import make_job_type, make_user
from tests.support.live import LiveClient, by_token, with_clients
from tests.support.policies import Failing
from tests.support.refusals import code_in

pytestmark = pytest.mark.usefixtures("broker")

METHODS: Final = "/api/method/dartwing.dartwing_core.api.jobs"


def missing_relation() -> Exception:
    """What Django raises for a one-to-one relation without a row: a DoesNotExist and an AttributeError in one."""
    kind = type("RelatedObjectDoesNotExist", (models.ObjectDoesNotExist, AttributeError), {})
    error: Exception = kind("User has no profile.")
    return error


ERRORS: Final[dict[str, Exception]] = {
    "KeyError": KeyError("plan"),
    "AttributeError": AttributeError("'User' object has no attribute 'profile'"),
    "RelatedObjectDoesNotExist": missing_relation(),
    "ObjectDoesNotExist": ObjectDoesNotExist("no such plan"),
    "Job.DoesNotExist": Job.DoesNotExist("no such job"),
    "JobNotFound": JobNotFound("no such job"),
    "PermissionDenied": DjangoPermissionDenied("no"),
    "our PermissionDenied": PermissionDenied("no"),
    "Http404": Http404("nothing here"),
    "NotFound": NotFound("nothing here"),
}


@pytest.fixture(params=ERRORS)
def error(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Exception:
    found = ERRORS[request.param]
    monkeypatch.setattr(Failing, "error", found)
    return found


@pytest.fixture
def one_error(monkeypatch: pytest.MonkeyPatch) -> Exception:
    """The one that is most like an answer; each edge is asked with it, since the engine makes one error of all."""
    monkeypatch.setattr(Failing, "error", ERRORS["RelatedObjectDoesNotExist"])
    return ERRORS["RelatedObjectDoesNotExist"]


@pytest.fixture
def member(organization: Organization) -> User:
    return make_user("member", admin_of=[organization])


@pytest.fixture
def job(organization: Organization) -> Job:
    return job_in("Failed", organization=organization)


@pytest.fixture
def _failing(job: Job, settings: Any) -> None:
    """From here on the policy fails."""
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.Failing"}


def told(caplog: pytest.LogCaptureFixture, error: Exception) -> bool:
    """Whether a record with the error's own traceback says that the policy failed."""
    records = [item for item in caplog.records if "event=access_policy_failed" in item.getMessage()]
    return any(item.exc_info and item.exc_info[1] is error and item.levelno == logging.ERROR for item in records)


@pytest.mark.usefixtures("_failing")
def test_python_gets_an_error_that_is_no_answer(error: Exception, job: Job, member: User) -> None:
    for verb in (get_job_status, get_job_history, cancel_job, retry_job):
        with pytest.raises(PolicyFailed) as failure:
            verb(job.name, user=member)
        assert failure.value.__cause__ is error
        assert not isinstance(failure.value, JobsError | ObjectDoesNotExist | AttributeError)
    with pytest.raises(PolicyFailed) as failure:
        submit_job(make_job_type(), job.organization, user=member)
    assert failure.value.__cause__ is error


@pytest.mark.usefixtures("job")
def test_python_gets_that_error_too_of_a_policy_that_cannot_say_whose_jobs_one_sees(
    error: Exception, member: User, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.FailingScope"}
    with pytest.raises(PolicyFailed) as failure:
        list_jobs(user=member)
    assert failure.value.__cause__ is error


@pytest.mark.usefixtures("_failing")
@pytest.mark.parametrize("route", ["", "history", "output", "cancel", "retry"])
def test_rest_answers_500_and_logs_the_traceback(
    route: str, one_error: Exception, job: Job, member: User, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_of(member)
    address = url_of(job, *filter(None, [route]))
    answer = client.post(address) if route in {"cancel", "retry"} else client.get(address)
    assert (answer.status_code, answer.json()["code"]) == (500, "access_policy_failed")
    assert told(caplog, one_error)


@pytest.mark.usefixtures("_failing")
def test_rest_never_takes_it_for_an_answer(
    one_error: Exception, job: Job, member: User, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_of(member)
    assert client.get(url_of(job)).status_code == 500
    assert client.delete(url_of(job)).status_code == 500
    submission = {"job_type": job.job_type_id, "organization": job.organization_name}
    assert client.post("/api/jobs/", submission, format="json").status_code == 500
    assert client.get("/api/job-types/").status_code == 500
    assert told(caplog, one_error)


@pytest.mark.usefixtures("job")
def test_a_policy_that_cannot_say_whose_jobs_one_sees_is_a_500_too(
    one_error: Exception, member: User, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.FailingScope"}
    for address in ("/api/jobs/", "/api/jobs/metrics/", f"{METHODS}.list_jobs"):
        assert client_of(member).get(address).status_code == 500


@pytest.mark.usefixtures("_failing")
def test_methods_answer_500_in_their_own_shape(one_error: Exception, job: Job, member: User) -> None:
    answer = client_of(member).get(f"{METHODS}.get_job_status", {"job_id": job.name})
    assert (answer.status_code, answer.json()["exc_type"]) == (500, "InternalServerError")
    answer = client_of(member).post(f"{METHODS}.cancel_job", {"job_id": job.name})
    assert answer.status_code == 500


@pytest.mark.usefixtures("_failing")
def test_the_admin_answers_500(one_error: Exception, organization: Organization, job: Job) -> None:
    client = admin.staff_of(organization)
    client.raise_request_exception = False
    assert client.get(admin.url("job", "change", job.pk)).status_code == 500


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_failing")
def test_a_socket_is_told_and_stays_open(
    one_error: Exception, job: Job, member: User, caplog: pytest.LogCaptureFixture
) -> None:
    @with_clients(by_token(member))
    async def answers(client: LiveClient) -> list[dict[str, Any]]:
        await client.say({"action": "join", "room": f"job:{job.name}"})
        refused = await client.hear()
        await client.say({"action": "ping"})
        return [refused, await client.hear()]

    refused, pong = answers
    assert (refused["event"], refused["code"]) == ("error", "forbidden")
    assert pong == {"event": "pong"}
    assert told(caplog, one_error)


def test_a_worker_waits_and_asks_again(
    one_error: Exception,
    organization: Organization,
    member: User,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    reasons: Reasons,
) -> None:
    queued = queue_up(pending_job(organization=organization, user=member))
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.Failing"}
    assert verbs.claim([ticket_of(queued)], WORKER) == []
    assert reread(queued).status == "Pending"
    assert reasons(queued) == ["policy_failed"]
    assert type(one_error).__name__ in get_job_history(queued)[-1]["message"]
    assert told(caplog, one_error)


class Unsure(AccessPolicy):
    """Cannot say whose jobs may start."""

    error: Exception = KeyError("plan")

    def is_active(self, organization: Any) -> bool:
        raise self.error


def test_a_status_is_told_to_code_alone_where_nobody_knows_whether_the_organization_is_active(
    organization: Organization, member: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = pending_job(organization=organization)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.Unsure"}
    assert get_job_status(waiting).waiting_for == "organization_inactive"
    with pytest.raises(PolicyFailed):
        get_job_status(waiting, user=member)
    monkeypatch.setattr(Unsure, "error", OperationalError("the database is away"))
    with pytest.raises(OperationalError):
        get_job_status(waiting)


class ListPolicy(AccessPolicy):
    """Returns what is no queryset."""

    def organizations_of(self, user: Any) -> Any:
        return [1, 2]


def test_what_is_no_queryset_is_a_failure_that_says_so(member: User, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.ListPolicy"}
    with pytest.raises(PolicyFailed, match=r"organizations_of\(\).* list") as caught:
        list_jobs(user=member)
    assert caught.value.__cause__ is not None
    assert code_in(caught.value.__cause__) == "not_a_queryset"


class NoPolicy(AccessPolicy):
    """Cannot even be made."""

    def __init__(self) -> None:
        raise AttributeError("no registry")


def test_a_policy_that_cannot_be_made_is_a_failure(member: User, job: Job, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.NoPolicy"}
    assert client_of(member).get(url_of(job)).status_code == 500
