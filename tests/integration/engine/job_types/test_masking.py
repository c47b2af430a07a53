"""What ``SENSITIVE_PARAMETERS`` names is a mask on every door, for whoever may not read it."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, User
from pytest_django import Settings
from rest_framework import serializers

from django_jobs import (
    JobContext,
    aget_job_status,
    await_job,
    get_job_status,
    job_handler,
    list_jobs,
    submit_job,
    wait_for_job,
)
from django_jobs.exceptions import InvalidSubmission, PermanentError
from django_jobs.models import ExecutionLog, Job, Organization
from django_jobs.signals import job_finished
from django_jobs.testing import run_jobs
from tests.support import verbs
from tests.support.api import client_of
from tests.support.brokers import end, reread, returned, running_job
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.refusals import refused
from tests.support.verbs import MASK

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker", "sensitive")]

SECRET: Final = "hunter2-of-ann"
RESULT: Final[dict[str, Any]] = {"rows": [{"Password": SECRET, "n": 1}], "output_reference": "file.csv"}
SHOWN: Final[dict[str, Any]] = {"rows": [{"Password": MASK, "n": 1}], "output_reference": "file.csv"}
METHOD: Final = "/api/method/dartwing.dartwing_core.api.jobs"


@pytest.fixture
def sensitive(settings: Settings) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("password",)}


@pytest.fixture
def tenant() -> Organization:
    return make_organization()


@pytest.fixture
def owner(tenant: Organization) -> User:
    return make_user("ann", member_of=[tenant])


@pytest.fixture
def job(tenant: Organization, owner: User) -> Job:
    _, claimed = running_job(organization=tenant, user=owner, parameters={"password": SECRET})
    return end(returned(claimed, RESULT, "file.csv"))


def everybody(tenant: Organization) -> dict[str, User]:
    return {
        "admin of the organization": make_user(admin_of=[tenant]),
        "manager of all jobs": make_system_admin(),
        "reader": make_user(member_of=[tenant], permissions=["django_jobs.view_sensitive"]),
        "superuser": make_user(is_superuser=True),
    }


def test_only_the_permission_shows_what_is_sensitive(job: Job, tenant: Organization, owner: User) -> None:
    seen = {who: get_job_status(job, user=user).result for who, user in everybody(tenant).items()}
    assert get_job_status(job, user=owner).result == SHOWN
    assert seen == {
        "admin of the organization": SHOWN,
        "manager of all jobs": SHOWN,
        "reader": RESULT,
        "superuser": RESULT,
    }


def test_server_code_and_strangers(job: Job) -> None:
    assert get_job_status(job).result == RESULT
    assert verbs.hidden_from(AnonymousUser()) == {"password"}
    assert verbs.hidden_from(object()) == {"password"}


def test_every_verb_of_python_masks_for_its_user(job: Job, owner: User) -> None:
    verbs.database_connection().__dict__.pop("django_jobs_uncommitted")  # as if it were committed

    async def awaited() -> list[Any]:
        return [await aget_job_status(job.name, user=owner), await await_job(job.name, user=owner)]

    answers = [*list_jobs(user=owner), wait_for_job(job, user=owner), *async_to_sync(awaited)()]
    assert [SECRET in str(answer) for answer in answers] == [False] * 4


def test_no_call_tells_the_owner_a_sensitive_value(subtests: pytest.Subtests, job: Job, owner: User) -> None:
    cases: list[tuple[str, str]] = [
        ("get", "/api/jobs/{0}/"),
        ("get", "/api/jobs/"),
        ("get", f"{METHOD}.get_job_status?job_id={{0}}"),
        ("get", "/api/jobs/?fields=result"),
        ("get", f"{METHOD}.list_jobs"),
        ("get", f"{METHOD}.list_jobs?fields=result"),
        ("get", "/api/jobs/{0}/history/"),
    ]
    for verb, address in cases:
        with subtests.test(verb=verb, address=address):
            answer = getattr(client_of(owner), verb)(address.format(job.name))
            assert job.name in answer.content.decode()
            assert SECRET not in answer.content.decode()


def test_signals_are_server_code(tenant: Organization, owner: User) -> None:
    heard: list[Any] = []

    def hear(status: Any, **_: Any) -> None:
        heard.append(status.result)

    job_finished.connect(hear)
    try:
        submit_job(make_job_type("echo"), tenant, {"password": SECRET}, user=owner)
        run_jobs()
    finally:
        job_finished.disconnect(hear)
    assert heard == [{"echo": {"password": SECRET}}]


@pytest.mark.parametrize("kind", ["permanent", "later", "unknown"])
def test_the_texts_of_an_attempt_that_failed_quote_no_sensitive_parameter(tenant: Organization, kind: str) -> None:
    job = submit_job(make_job_type("quote_the_password"), tenant, {"password": SECRET, "kind": kind})
    run_jobs()
    told = [reread(job).error_message, *ExecutionLog.objects.filter(job=job).values_list("message", "traceback")]
    assert MASK in str(told)
    assert SECRET not in str(told)


@pytest.mark.parametrize(
    ("kind", "room", "is_cut_in_front"),
    [("permanent", 4_000, False), ("later", 4_000, False), ("unknown", 60_000, True)],
)
def test_a_password_at_the_place_where_a_text_is_cut_is_hidden(
    tenant: Organization, kind: str, room: int, is_cut_in_front: bool
) -> None:
    password = "".join(f"{number:03}-" for number in range(8))[:30]
    for half in (room - 45, room - 30, room - 15):
        words = {"behind" if is_cut_in_front else "before": "x" * half}
        job = submit_job(make_job_type("quote_the_password"), tenant, {"password": password, "kind": kind, **words})
        run_jobs()
        told = str(
            [reread(job).error_message, *ExecutionLog.objects.filter(job=job).values_list("message", "traceback")]
        )
        assert [part for part in (password[:8], password[-8:], "003-") if part in told] == []


class Credentials(serializers.Serializer[Any]):
    password = serializers.ChoiceField(choices=["right"], default="hunter3")
    region = serializers.ChoiceField(choices=["eu"], default="eu")


@pytest.fixture
def declared(nothing_declared: object) -> str:

    @job_handler("with_credentials", parameters=Credentials)
    def with_credentials(context: JobContext) -> None:
        """Never run."""

    make_job_type(type_name="with_credentials")
    return "with_credentials"


def test_a_refused_submission_quotes_no_sensitive_parameter(tenant: Organization, declared: str) -> None:
    with refused(InvalidSubmission, {"parameters.password": ["invalid_choice"]}) as refusal:
        submit_job(declared, tenant, {"password": SECRET})
    with pytest.raises(PermanentError, match="password") as invalid:
        verbs.validated_parameters(declared, {"password": SECRET})
    for error in (refusal.value, invalid.value):
        assert (MASK in str(error), SECRET in str(error)) == (True, False)


class ManyCredentials(serializers.Serializer[Any]):
    password = serializers.ListField(child=serializers.CharField(max_length=1))


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_declared")
def test_masking_what_was_refused_costs_no_more_for_each_error() -> None:
    job_handler("with_many", parameters=ManyCredentials)(lambda _context: None)
    began = time.process_time()
    refused = verbs.validate_parameters("with_many", {"password": [f"{number}-%" for number in range(40_000)]})
    assert len(refused) == verbs.MAX_FIELDS
    assert time.process_time() - began < 4  # seconds of CPU; twice that where each error reads the parameters anew


def test_a_schema_tells_no_default_of_a_sensitive_parameter(declared: str) -> None:
    schema: Any = verbs.parameters_schema(declared)
    assert "hunter3" not in json.dumps(schema)
    assert schema["properties"]["region"]["default"] == "eu"


def test_the_reference_of_an_output_is_a_mask_where_its_name_is_sensitive(
    job: Job, owner: User, settings: Settings
) -> None:
    assert get_job_status(job, user=owner).output_reference == "file.csv"
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("output_reference",)}
    assert get_job_status(job, user=owner).output_reference == MASK
    assert get_job_status(job).output_reference == "file.csv"
