"""What a policy returns is an answer, or a failure that says so: nothing opens because Python counts it as true."""

from __future__ import annotations

from typing import Any, Final

import pytest
from django.contrib.auth.models import Group, User

from django_jobs import AccessPolicy, get_job_status, list_jobs
from django_jobs.exceptions import JobNotFound, PolicyFailed
from django_jobs.models import Job, Organization
from tests.support import verbs
from tests.support.api import client_of, url_of
from tests.support.brokers import WORKER, job_in, pending_job, queue_up, reread, ticket_of
from tests.support.factories import make_user
from tests.support.refusals import code_in

pytestmark = pytest.mark.usefixtures("broker")


async def coroutine() -> bool:
    return False


ANSWERS: Final[dict[str, Any]] = {
    "None": lambda: None,
    "str": lambda: "no",
    "list": list,
    "a coroutine": coroutine,
    "function": lambda: lambda: False,
    "QuerySet": User.objects.none,
}


class Given(AccessPolicy):
    """Answers everything with what the test says."""

    answer: Any = None

    @staticmethod
    def _given(*_: Any) -> Any:
        return Given.answer()

    is_member: Any = _given
    is_organization_admin: Any = _given
    is_system_admin: Any = _given
    is_active: Any = _given
    can_submit: Any = _given
    can_view: Any = _given
    can_cancel: Any = _given
    can_retry: Any = _given
    can_delete: Any = _given
    can_read_output: Any = _given
    organizations_of: Any = _given


@pytest.fixture
def member(organization: Organization) -> User:
    return make_user("member", member_of=[organization])


@pytest.fixture
def job(organization: Organization) -> Job:
    return job_in("Failed", organization=organization)


def follow(settings: Any, policy: type) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.{policy.__name__}"}


def test_what_is_neither_yes_nor_no_is_a_failure_that_names_it(
    subtests: pytest.Subtests, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ANSWERS:
        for question in ("is_active", "can_view", "can_retry", "is_system_admin"):
            with subtests.test(kind=kind, question=question):
                monkeypatch.setattr(Given, "answer", staticmethod(ANSWERS[kind]))
                with pytest.raises(PolicyFailed) as caught:
                    getattr(Given(), question)(None, None)
                text: Any = caught.value.__cause__ and caught.value.__cause__.args[0]
                assert (text.code, text.values) == ("not_true_or_false", {"question": question, "answer": kind})


def test_rest_opens_nothing_for_such_an_answer(
    subtests: pytest.Subtests, member: User, job: Job, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ANSWERS:
        with subtests.test(kind=kind):
            monkeypatch.setattr(Given, "answer", staticmethod(ANSWERS[kind]))
            follow(settings, Given)
            client = client_of(member)
            answers = [client.get(url_of(job)), client.post(url_of(job, "retry")), client.delete(url_of(job))]
            answers.append(client.patch(f"/api/job-types/{job.job_type_id}/", {"description": "mine"}, format="json"))
            assert [answer.status_code for answer in answers] == [500] * 4
            assert {answer.json()["code"] for answer in answers} == {"access_policy_failed"}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_worker_waits_and_asks_again(
    kind: str, organization: Organization, member: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued = queue_up(pending_job(organization=organization, user=member))
    monkeypatch.setattr(Given, "answer", staticmethod(ANSWERS[kind]))
    follow(settings, Given)
    assert verbs.claim([ticket_of(queued)], WORKER) == []
    assert reread(queued).status == "Pending"


@pytest.mark.parametrize(("answer", "sees"), [(1, True), (0, False), (True, True), (False, False)])
def test_zero_and_one_are_answers_too(
    answer: Any, sees: bool, member: User, job: Job, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class_answers = {"is_system_admin": lambda *_: False, "organizations_of": lambda *_: Organization.objects.all()}
    for name, given in class_answers.items():
        monkeypatch.setattr(Given, name, given)
    monkeypatch.setattr(Given, "answer", staticmethod(lambda: answer))
    follow(settings, Given)
    if sees:
        monkeypatch.setattr(Given, "is_active", lambda *_: True)
        assert get_job_status(job.name, user=member).job_id == job.name
    else:
        with pytest.raises(JobNotFound):
            get_job_status(job.name, user=member)


class OfAnotherModel(AccessPolicy):
    """Says whose jobs somebody sees in rows of a model whose keys mean something else."""

    def organizations_of(self, user: Any) -> Any:
        return Group.objects.all()


def test_keys_of_another_model_are_no_organizations(
    member: User, organization: Organization, job: Job, settings: Any
) -> None:
    Group.objects.create(pk=organization.pk, name="by chance of the same key")
    follow(settings, OfAnotherModel)
    assert client_of(member).get(url_of(job)).status_code == 500
    with pytest.raises(PolicyFailed, match=r"auth\.Group.*django_jobs\.Organization") as caught:
        list_jobs(user=member)
    assert caught.value.__cause__ is not None
    assert code_in(caught.value.__cause__) == "another_model"


class Leaving(AccessPolicy):
    """Calls something that wants to end the process."""

    def can_submit(self, user: Any, organization: Any, job_type: Any) -> bool:
        raise SystemExit(3)

    def can_view(self, user: Any, job: Any) -> bool:
        raise SystemExit(3)


def test_no_worker_ends_because_a_policy_exits(organization: Organization, member: User, settings: Any) -> None:
    queued = queue_up(pending_job(organization=organization, user=member))
    follow(settings, Leaving)
    assert verbs.claim([ticket_of(queued)], WORKER) == []
    assert reread(queued).status == "Pending"


def test_rest_answers_a_policy_that_exits_as_one_that_raises(member: User, job: Job, settings: Any) -> None:
    follow(settings, Leaving)
    answer = client_of(member).get(url_of(job))
    assert (answer.status_code, answer.json()["code"]) == (500, "access_policy_failed")
