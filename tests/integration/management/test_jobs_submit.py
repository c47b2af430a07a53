"""``manage.py jobs_submit``: what it submits, how it answers people and programs, and what it refuses."""

from __future__ import annotations

import datetime as dt
import io
import json
from typing import Any

import pytest
from django.db import OperationalError
from pytest_django import Settings

from django_jobs.models import Job, JobType, Organization
from django_jobs.statuses import Priority, Status
from django_jobs.values import JobStatus
from tests.support import verbs
from tests.support.batches import make_batch
from tests.support.brokers import end, raised, reread, returned, start
from tests.support.commands import Answer, call
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.tuning import Tuning
from tests.support.verbs import ExitCode, Interpose

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture(autouse=True)
def kind() -> JobType:
    return make_job_type(type_name="greet_newcomers")


@pytest.fixture(autouse=True)
def acme() -> Organization:
    return make_organization(name="acme")


def submit(*arguments: str) -> Answer:
    return call("jobs_submit", "greet_newcomers", "acme", *arguments)


def stdin(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_it_submits_a_job_of_the_system_and_tells_its_id() -> None:
    answer = submit('{"customer": 7}')
    job = Job.objects.get()
    assert answer == Answer(0, f"{job.name} Pending\n", "")
    assert (job.input_parameters, job.owner_name) == ({"customer": 7}, "")


def test_programs_get_the_status_of_the_job() -> None:
    answer = submit("--json")
    assert list(answer.facts) == list(JobStatus.__dataclass_fields__)
    assert (answer.code, answer.facts["job_id"], answer.err) == (0, Job.objects.get().name, "")


def test_each_option_reaches_the_job(acme: Organization) -> None:
    parent = submit_parent()
    batch = make_batch(acme, close=False)
    answer = submit(
        *("--priority", "high", "--depends-on", parent.name, "--run-after", "ended", "--batch", batch.batch_id),
        *("--unique-key", "k", "--deduplication-window", "60", "--job-timeout", "9", "--max-retries", "2"),
        *("--metadata", '{"ticket": 5}', "--run-at", "2099-01-01T00:00:00Z", "--expires-at", "2099-01-02T00:00:00Z"),
    )
    assert answer.code == 0
    job = Job.objects.get(batch=batch)
    assert (job.priority, job.timeout_seconds, job.max_retries) == (Priority.HIGH, 9, 2)
    assert (job.metadata, job.run_at) == ({"ticket": 5}, dt.datetime(2099, 1, 1, tzinfo=dt.UTC))
    assert job.expires_at == dt.datetime(2099, 1, 2, tzinfo=dt.UTC)
    again = submit("--unique-key", "k", "--deduplication-window", "60", "--json")
    assert (again.code, again.error["code"], again.error["job_id"]) == (1, "duplicate_job", job.name)


def test_of_the_same_work_that_a_user_may_not_see_no_id_is_told(acme: Organization, settings: Settings) -> None:
    same = ("--unique-key", "k", "--deduplication-window", "60", "--json")
    submit(*same)
    make_user("bea", member_of=[acme])
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OwnJobsOnly"}
    answer = submit(*same, "--user", "bea")
    assert (answer.code, answer.error["code"], answer.error["job_id"]) == (1, "duplicate_job", None)


def submit_parent() -> Job:
    assert submit('{"parent": true}').code == 0
    return Job.objects.get()


def test_parameters_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, '{"from": "stdin"}')
    assert submit("-").code == 0
    assert Job.objects.get().input_parameters == {"from": "stdin"}


def test_a_user_submits_with_their_rights_and_owns_the_job(kind: JobType, acme: Organization) -> None:
    make_user("ann", member_of=[acme])
    make_user("bob")
    assert submit("--user", "ann").code == 0
    assert Job.objects.get().owner_name == "ann"
    refused = submit("--user", "bob", "--json")
    assert (refused.code, refused.error["code"]) == (ExitCode.REFUSED, "permission_denied")
    unknown = submit("--user", "anne")
    assert (unknown.code, unknown.reason) == (ExitCode.USAGE, "unknown_user")


@pytest.mark.parametrize(
    ("arguments", "code", "reason", "told"),
    [
        (["{customer: 7}"], 2, "not_json", ""),
        (["[7]"], 2, "not_an_object", '{"customer": 7}'),
        (["null"], 2, "not_an_object", ""),
        (['{"a": NaN}'], 2, "not_json", "NaN"),
        (['{"a":' * 200_00 + "1" + "}" * 200_00], 2, "not_json", ""),
        (['{"a": "' + "x" * 100_000 + '"}'], 1, "too_large", "65536"),
        (["--metadata", "[]"], 2, "not_an_object", ""),
        (["--priority", "urgent"], 1, "invalid_choice", "--priority: "),
        (["--timeout", "soon"], 2, "", "--timeout: "),
        (["--run-at", "tomorrow"], 2, "", "--run-at: "),
        (["--depends-on", "7"], 1, "not_a_job_id", "'7'"),
        (["--job-timeout", "0"], 1, "out_of_range", "--job-timeout: "),
        (["--timeout", "5"], 2, "needs_wait", "--wait"),
        (["--wiat"], 2, "", "--wait"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_is_told_with_its_exit_code(arguments: list[str], code: int, reason: str, told: str) -> None:
    answer = submit(*arguments)
    assert told in answer.err
    assert (answer.code, answer.reason, answer.out, Job.objects.exists()) == (code, reason, "", False)
    as_json = submit(*arguments, "--json")
    assert told in as_json.error["message"]
    assert (as_json.code, as_json.error["exit_code"]) == (code, code)


def test_a_name_that_is_not_there_is_told_with_those_that_are_near() -> None:
    answer = call("jobs_submit", "greet_newcommer", "Acne")
    assert (answer.code, answer.reason) == (ExitCode.USAGE, "unknown_job_type")
    assert all(name in answer.err for name in ("'greet_newcommer'", "greet_newcomers", "'Acne'"))
    error = call("jobs_submit", "greet_newcommer", "acme", "--json").error
    assert (error["code"], error["did_you_mean"]) == ("unknown_name", ["greet_newcomers"])
    assert call("jobs_submit", "greet_newcomers", "Acne").reason == "unknown_organization"
    far = call("jobs_submit", "zzz", "acme", "--json")
    assert (far.reason, far.error["did_you_mean"]) == ("unknown_job_type", [])


def test_a_user_is_told_of_no_type_and_no_organization_that_they_may_not_know(acme: Organization) -> None:
    make_job_type(type_name="greet_secretly", submit_by="code")
    make_user("ann", member_of=[acme])
    for arguments in (("greet_secretl", "acme"), ("greet_newcomers", "acm")):
        answer = call("jobs_submit", *arguments, "--user", "ann", "--json")
        assert not {"greet_secretly", "acme"} & set(answer.error["did_you_mean"])
        assert "secretly" not in answer.err


def test_a_batch_and_a_users_organization_that_are_not_there_are_unknown_names(acme: Organization) -> None:
    make_user("ann", member_of=[acme])
    no_batch = submit("--batch", "BATCH-2026-00001", "--json")
    assert (no_batch.code, no_batch.error["code"]) == (ExitCode.USAGE, "unknown_name")
    no_organization = call("jobs_submit", "greet_newcomers", "acm", "--user", "ann", "--json")
    assert (no_organization.code, no_organization.error["code"]) == (ExitCode.USAGE, "unknown_name")


def test_a_job_to_wait_for_that_is_not_there_is_an_unknown_name() -> None:
    parent = submit_parent()
    other = parent.name.replace(str(parent.created_at.year), "1999")
    assert submit("--depends-on", other, "--json").error["code"] == "unknown_name"
    make_user("ann", member_of=[make_organization(name="other")])
    answer = call("jobs_submit", "greet_newcomers", "other", "--depends-on", other, "--user", "ann", "--json")
    assert (answer.error["code"], answer.error["did_you_mean"]) == ("unknown_name", [])


def test_a_paused_type_takes_the_job_and_says_so(kind: JobType) -> None:
    JobType.objects.update(is_paused=True)
    answer = submit()
    assert (answer.code, Job.objects.count()) == (0, 1)
    assert "manage.py jobs_resume greet_newcomers" in answer.err
    assert submit("--json").facts["waiting_for"] == "type_paused"


def test_what_is_wrong_with_a_parameter_has_its_path(acme: Organization) -> None:
    answer = call("jobs_submit", "send_welcome_email", "acme", '{"user_id": 5}')
    assert answer.err.startswith("parameters.user_id: ")
    assert "customer" in answer.err


def test_a_disabled_type_refuses_it(kind: JobType) -> None:
    JobType.objects.update(is_enabled=False)
    answer = submit("--json")
    assert (answer.code, answer.error["code"]) == (ExitCode.REFUSED, "job_type_disabled")


def test_a_backlog_that_is_full_says_when_to_come_back(settings: Settings) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_BACKLOG_PER_ORGANIZATION": 1}
    submit('{"first": true}')
    error = submit("--json").error
    assert (error["code"], error["retry_after"] > 0) == ("queue_full", True)


@pytest.mark.parametrize(
    ("outcome", "code", "word"),
    [(returned, 0, None), (raised, ExitCode.REFUSED, "failed")],
    ids=["completed", "failed"],
)
def test_waiting_ends_with_what_became_of_the_job(
    monkeypatch: pytest.MonkeyPatch, outcome: Any, code: int, word: str | None
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: end(outcome(start(Job.objects.get()))))
    JobType.objects.update(max_retries=0)
    answer = submit("--wait", "--json")
    assert (answer.code, answer.facts["status"]) == (code, reread(Job.objects.get()).status)
    assert (json.loads(answer.err)["error"]["code"] if answer.err else None) == word


def test_a_user_is_told_no_result_that_they_may_not_read(
    monkeypatch: pytest.MonkeyPatch, settings: Any, acme: Organization
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("password",)}
    JobType.objects.update(deduplication_window=0)
    make_user("ann", member_of=[acme])
    make_user("root", is_superuser=True)
    result = {"password": "hush", "sent": 1}
    monkeypatch.setattr("time.sleep", lambda _: end(returned(start(Job.objects.latest("pk")), result)))
    for name, told in ("ann", "********"), ("root", "hush"):
        assert submit("--wait", "--json", "--user", name).facts["result"] == {"password": told, "sent": 1}
    assert submit("--wait", "--json").facts["result"] == result
    same = ("--on-duplicate", "return", "--unique-key", "k", "--deduplication-window", "60", "--json")
    submit("--wait", *same)
    assert submit(*same, "--user", "ann").facts["result"] == {"password": "********", "sent": 1}


def test_waiting_for_a_job_that_is_canceled_has_an_exit_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: call("jobs_cancel", Job.objects.get().name))
    answer = submit("--wait", "--json")
    assert (answer.code, answer.facts["status"], answer.error["code"]) == (5, Status.CANCELED, "canceled")


def test_time_that_runs_out_leaves_the_job_to_go_on() -> None:
    answer = submit("--wait", "--timeout", "0", "--json")
    job = Job.objects.get()
    assert (answer.code, answer.facts["job_id"], answer.facts["status"]) == (4, job.name, Status.PENDING)
    assert list(answer.error) == ["code", "message", "exit_code", "job_id"]
    assert (answer.error["code"], answer.error["exit_code"], answer.error["job_id"]) == ("timed_out", 4, job.name)


def test_waiting_can_be_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    answer = submit("--wait", "--json")
    assert (answer.code, answer.error["code"]) == (ExitCode.NOT_AWAITED, "interrupted")


def test_a_job_that_is_deleted_while_it_is_waited_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: Job.objects.all().delete())
    answer = submit("--wait", "--json")
    assert (answer.code, answer.error["code"]) == (ExitCode.REFUSED, "deleted")


def test_waiting_outlives_a_database_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    real = verbs.Scope.job
    errors = [OperationalError("away"), None]  # the command looks before it waits

    def look(scope: Any, job_id: str) -> Job:
        if errors and (error := errors.pop()):
            raise error
        return real(scope, job_id)

    monkeypatch.setattr(verbs.Scope, "job", look)
    monkeypatch.setattr("time.sleep", lambda _: None)
    answer = submit("--wait", "--timeout", "0.2")
    assert "OperationalError" in answer.err
    assert answer.code == ExitCode.NOT_AWAITED


def test_that_no_worker_is_alive_is_said_while_it_waits(monkeypatch: pytest.MonkeyPatch, tuning: Tuning) -> None:
    tuning.set(no_worker_warning_seconds=0)
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert submit("--wait", "--timeout", "0.2").err.count("manage.py jobs_worker") == 1


def test_a_database_that_is_away_is_told_in_one_line(interpose: Interpose) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("no route\nto host")

    interpose("submit_job", fail)
    answer = submit()
    assert (answer.code, answer.err.count("\n"), "to host" in answer.err) == (ExitCode.UNAVAILABLE, 1, False)
    assert "(OperationalError: no route)" in answer.err
    assert "manage.py migrate" in answer.err
    assert submit("--json").error["code"] == "unavailable"
