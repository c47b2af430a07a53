"""job-types/: who reads what, and what system admins may write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry, LogEntryManager
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime
from rest_framework.test import APIClient

from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.api import client_of, codes, url_of
from tests.support.breakers import make_fragile_type, open_by_failures
from tests.support.brokers import MemoryBroker, job_in, pending_job
from tests.support.cases import rolled_back
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.verbs import Interpose, JobTypeSerializer

TYPES = "/api/job-types/"
NEW: dict[str, Any] = {
    "type_name": "my_custom_job",
    "display_name": "My Custom Job",
    "handler_method": "tests.support.handlers.execute_my_job",
    "default_timeout": 120,
    "default_priority": "Normal",
    "max_retries": 3,
    "is_enabled": True,
}


@pytest.fixture
def member(broker: MemoryBroker, organization: Organization) -> APIClient:
    return client_of(make_user(member_of=[organization]))


@pytest.fixture
def admin(broker: MemoryBroker) -> APIClient:
    return client_of(make_system_admin())


def names(answer: Any) -> list[str]:
    return [kind["type_name"] for kind in answer.json()["results"]]


def test_a_type_tells_its_fields_and_what_its_parameters_must_be(member: APIClient) -> None:
    told = member.get(f"{TYPES}pdf_generation/").json()
    assert told["default_priority"] == "Normal"
    assert told["parameters_schema"]["properties"]["template"]["enum"] == ["monthly_report", "report"]


def test_the_path_of_a_handler_is_for_system_admins(member: APIClient, admin: APIClient) -> None:
    for client, shows in ((member, False), (admin, True)):
        told = [client.get(f"{TYPES}pdf_generation/").json(), *client.get(TYPES).json()["results"]]
        assert {bool(kind["handler_method"]) for kind in told} == {shows}


def test_what_is_not_given_has_its_default(admin: APIClient) -> None:
    new = {"type_name": "plain", "handler_method": NEW["handler_method"]}
    made = admin.post(TYPES, new, "json").json()
    assert (made["is_enabled"], made["is_paused"], made["default_timeout"]) == (True, False, 300)
    off = admin.put(f"{TYPES}plain/", {**new, "is_enabled": "False", "is_paused": "true"}, "json").json()
    assert (off["is_enabled"], off["is_paused"]) == (False, True)
    assert admin.put(f"{TYPES}plain/", new, "json").json() == made


def test_a_type_without_a_serializer_has_no_schema(member: APIClient) -> None:
    assert member.get(f"{TYPES}{make_job_type().pk}/").json()["parameters_schema"] is None


def test_only_what_one_may_submit_is_listed(member: APIClient, organization: Organization) -> None:
    usable = make_job_type(type_name="a_usable")
    make_job_type(type_name="a_disabled", is_enabled=False)
    make_job_type(type_name="a_protected", requires_permission="django_jobs.add_jobtype")
    make_job_type(type_name="a_paused", is_paused=True)
    assert [name for name in names(member.get(TYPES)) if name.startswith("a_")] == ["a_paused", usable.pk]
    assert member.get(f"{TYPES}a_protected/").status_code == 404
    holder = client_of(make_user(member_of=[organization], permissions=["django_jobs.add_jobtype"]))
    assert holder.get(f"{TYPES}a_protected/").status_code == 200


def test_system_admins_read_all_types(admin: APIClient) -> None:
    make_job_type(type_name="a_disabled", is_enabled=False)
    assert "a_disabled" in names(admin.get(TYPES))


def test_a_policy_of_the_hosts_own_is_asked(member: APIClient, settings: Any) -> None:
    make_job_type(type_name="a_first")
    make_job_type(type_name="a_second")
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OnlyTheFirst"}
    assert names(member.get(TYPES)) == ["a_first"]


def test_types_come_in_pages(member: APIClient) -> None:
    told = member.get(TYPES, {"limit": 2}).json()
    assert len(told["results"]) == 2
    assert names(member.get(told["next"]))[0] not in [kind["type_name"] for kind in told["results"]]
    assert member.get(TYPES, {"nmae": "x"}).json().keys() == {"nmae"}


def test_a_type_is_made(admin: APIClient) -> None:
    answer = admin.post(TYPES, NEW, "json")
    assert (answer.status_code, {name: answer.json()[name] for name in NEW}) == (201, NEW)
    assert JobType.objects.get(pk="my_custom_job").default_timeout == 120
    assert [(row.object_id, row.action_flag) for row in LogEntry.objects.all()] == [("my_custom_job", ADDITION)]


def test_nothing_is_changed_of_which_no_trace_can_be_left(admin: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    unused, job = make_job_type(default_timeout=7), job_in("Completed")

    def fail(*_: Any) -> None:
        raise RuntimeError("no trace")

    monkeypatch.setattr(LogEntryManager, "log_actions", fail)
    calls: list[Callable[[], Any]] = [
        lambda: admin.post(TYPES, NEW, "json"),
        lambda: admin.patch(f"{TYPES}{unused.pk}/", {"default_timeout": 8}, "json"),
        lambda: admin.delete(f"{TYPES}{unused.pk}/"),
        lambda: admin.delete(url_of(job)),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match="no trace"):
            call()
    unused.refresh_from_db()
    assert (unused.default_timeout, JobType.objects.filter(pk=NEW["type_name"]).exists()) == (7, False)
    assert Job.objects.get() == job


def test_bad_fields_are_refused_by_name(subtests: pytest.Subtests, admin: APIClient) -> None:
    cases: list[tuple[str, Any]] = [
        ("type_name", "1 bad name"),
        ("type_name", "pdf_generation"),
        ("type_name", ""),
        ("handler_method", "os.system"),
        ("handler_method", "tests.support.handlers.no_such_function"),
        ("handler_method", "tests.support.handlers.a\x00"),
        ("default_timeout", 0),
        ("default_timeout", 10**30),
        ("default_timeout", "soon"),
        ("default_priority", "Urgent"),
        ("max_retries", -1),
        ("rate_limit_window", 0),
        ("is_enabled", "perhaps"),
        ("unknown", 1),
        ("declared", {}),
    ]
    for field, value in cases:
        with rolled_back(subtests, field=field, value=value):
            answer = admin.post(TYPES, {**NEW, field: value}, "json")
            assert (answer.status_code, list(answer.json())) == (400, [field])
            assert not JobType.objects.filter(handler_method=NEW["handler_method"]).exists()


def test_a_type_is_changed_in_part(admin: APIClient) -> None:
    kind = make_job_type(default_timeout=7)
    answer = admin.patch(f"{TYPES}{kind.pk}/", {"is_paused": True, "default_priority": 3}, "json")
    kind.refresh_from_db()
    assert (answer.status_code, answer.json()["default_priority"]) == (200, "Critical")
    assert (kind.is_paused, kind.default_timeout, kind.default_priority) == (True, 7, 3)


def test_a_change_leaves_alone_what_somebody_changed_meanwhile(
    admin: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = make_job_type(default_timeout=7, max_retries=2)
    validate = JobTypeSerializer.validate

    def slow(serializer: Any, attrs: dict[str, Any]) -> dict[str, Any]:
        found = validate(serializer, attrs)
        verbs.set_paused("job_type", kind, True)
        JobType.objects.filter(pk=kind.pk).update(max_retries=9)
        return found

    monkeypatch.setattr(JobTypeSerializer, "validate", slow)
    told = admin.patch(f"{TYPES}{kind.pk}/", {"default_timeout": 8}, "json").json()
    kind.refresh_from_db()
    assert (kind.is_paused, kind.max_retries, kind.default_timeout) == (True, 9, 8)
    assert (told["is_paused"], told["max_retries"], told["default_timeout"]) == (True, 9, 8)


@pytest.mark.parametrize(("is_paused", "change"), [(True, {"is_paused": False}), (False, {"max_running": 5})])
def test_what_waits_goes_on_at_once_when_a_change_lets_it(
    admin: APIClient, is_paused: bool, change: dict[str, Any], django_capture_on_commit_callbacks: Any
) -> None:
    kind = make_job_type(is_paused=True)
    job = pending_job(kind)
    JobType.objects.filter(pk=kind.pk).update(is_paused=is_paused)
    with django_capture_on_commit_callbacks(execute=True):
        assert admin.patch(f"{TYPES}{kind.pk}/", change, "json").status_code == 200
    job.refresh_from_db()
    assert job.status == "Queued"


def test_a_pause_leaves_the_trace_of_the_switch_and_other_changes_their_own(admin: APIClient) -> None:
    kind = make_job_type()
    resume = {"is_paused": False, "default_timeout": 9}
    for change in ({"is_paused": True}, {"is_paused": True}, resume, resume, {"default_timeout": 9}):
        assert admin.patch(f"{TYPES}{kind.pk}/", change, "json").status_code == 200
    paused, resumed, changed = LogEntry.objects.filter(object_id=kind.pk).order_by("pk")
    assert len({row.get_change_message() for row in (paused, resumed, changed)}) == 3
    assert {row.action_flag for row in (paused, resumed, changed)} == {CHANGE}
    assert "default_timeout" in changed.get_change_message()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rate_limit", 0),
        ("max_running", 0),
        ("max_running_per_organization", 0),
        ("max_starts", 0),
        ("max_running_per_key", 0),
        ("requires_permission", "nonsense"),
        ("requires_permission", "django_jobs.add_jobtyp"),
    ],
)
def test_a_limit_of_nothing_and_a_permission_that_is_none_are_refused_by_name(
    admin: APIClient, field: str, value: Any
) -> None:
    kind = make_job_type()
    for answer in (
        admin.post(TYPES, {**NEW, field: value}, "json"),
        admin.patch(f"{TYPES}{kind.pk}/", {field: value}, "json"),
        admin.put(f"{TYPES}{kind.pk}/", {**NEW, "type_name": kind.pk, field: value}, "json"),
    ):
        assert (answer.status_code, list(answer.json())) == (400, [field])


def test_a_type_with_values_that_would_be_refused_now_can_be_paused(admin: APIClient) -> None:
    kind = make_job_type()
    JobType.objects.filter(pk=kind.pk).update(rate_limit=0, requires_permission="nonsense")
    assert admin.patch(f"{TYPES}{kind.pk}/", {"is_paused": True}, "json").status_code == 200
    assert admin.patch(f"{TYPES}{kind.pk}/", {"requires_permission": "nonsense"}, "json").status_code == 200


def test_what_was_read_may_be_written_back(admin: APIClient) -> None:
    told = admin.get(f"{TYPES}pdf_generation/").json()
    assert admin.put(f"{TYPES}pdf_generation/", told, "json").json() == told


def test_put_sets_what_it_does_not_have_to_its_default(admin: APIClient) -> None:
    kind = make_job_type(default_timeout=7, max_running=3, description="Old", is_paused=True, default_priority="High")
    body = {"type_name": kind.pk, "display_name": "New", "handler_method": kind.handler_method, "max_retries": 2}
    answer = admin.put(f"{TYPES}{kind.pk}/", body, "json")
    told = answer.json()
    assert answer.status_code == 200
    assert (told["display_name"], told["max_retries"]) == ("New", 2)
    assert (told["default_timeout"], told["max_running"], told["description"]) == (300, None, "")
    assert (told["is_paused"], told["is_enabled"], told["default_priority"]) == (False, True, "Normal")


def test_put_sets_what_it_does_not_have_of_a_declared_type_to_what_code_declares(admin: APIClient) -> None:
    kind = make_job_type(submit_by="admins", default_timeout=7, declared={"submit_by": "code", "default_timeout": 60})
    body = {"type_name": kind.pk, "display_name": "New", "handler_method": kind.handler_method}
    told = admin.put(f"{TYPES}{kind.pk}/", body, "json").json()
    assert (told["submit_by"], told["default_timeout"], told["rate_limit"]) == ("code", 60, None)


def test_a_type_keeps_its_name(admin: APIClient) -> None:
    kind = make_job_type()
    answer = admin.patch(f"{TYPES}{kind.pk}/", {"type_name": "another"}, "json")
    assert (answer.status_code, list(answer.json())) == (400, ["type_name"])
    assert not JobType.objects.filter(pk="another").exists()


def test_a_handler_that_may_not_run_is_refused_later_too(admin: APIClient) -> None:
    kind = make_job_type()
    answer = admin.patch(f"{TYPES}{kind.pk}/", {"handler_method": "os.system"}, "json")
    assert (answer.status_code, list(answer.json())) == (400, ["handler_method"])


def test_a_type_without_jobs_is_deleted(admin: APIClient) -> None:
    kind = make_job_type()
    assert admin.delete(f"{TYPES}{kind.pk}/").status_code == 204
    assert not JobType.objects.filter(pk=kind.pk).exists()
    assert [(row.object_id, row.action_flag) for row in LogEntry.objects.all()] == [(kind.pk, DELETION)]


@pytest.mark.parametrize("comes_meanwhile", [False, True])
def test_a_type_with_jobs_is_kept(admin: APIClient, interpose: Interpose, comes_meanwhile: bool) -> None:
    kind = make_job_type()
    pending_job(kind)
    if comes_meanwhile:
        interpose("has_jobs", lambda **_: False)
    answer = admin.delete(f"{TYPES}{kind.pk}/")
    assert (answer.status_code, answer.json()["code"]) == (409, "job_type_in_use")
    assert JobType.objects.filter(pk=kind.pk).exists()


@pytest.mark.parametrize("name", ["no_such_type", "%00", "a%2Fb", "\u00e4"])
def test_what_is_no_type_is_not_found(admin: APIClient, name: str) -> None:
    assert admin.get(f"{TYPES}{name}/").status_code == 404


LIMITS: dict[str, Any] = {
    "pool": "default",
    "max_running": 10,
    "max_running_per_organization": 3,
    "concurrency_key": "customer_id",
    "max_running_per_key": 2,
    "max_starts": 100,
    "max_starts_per_key": 5,
    "max_starts_window": 3600,
    "breaker_failures": 20,
    "breaker_pause": 30,
    "retention_days": 7,
}


def test_limits_are_written_by_system_admins_and_read_by_who_may_submit(admin: APIClient, member: APIClient) -> None:
    answer = admin.post(TYPES, {**NEW, **LIMITS}, "json")
    assert (answer.status_code, {name: answer.json()[name] for name in LIMITS}) == (201, LIMITS)
    told = member.get(f"{TYPES}my_custom_job/").json()
    assert {name: told[name] for name in LIMITS} == LIMITS
    assert member.patch(f"{TYPES}my_custom_job/", {"max_running": 99}, "json").status_code == 403


def test_what_is_no_limit_is_refused_at_its_field(subtests: pytest.Subtests, admin: APIClient) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"max_running": 0}, "min_value"),
        ({"max_running_per_organization": 0}, "min_value"),
        ({"max_starts": 0}, "min_value"),
        ({"max_starts_per_key": 0, "concurrency_key": "n"}, "min_value"),
        ({"max_running_per_key": 0}, "min_value"),
        ({"max_running": 10**30}, "max_value"),
        ({"concurrency_key": "order.customer"}, "invalid"),
        ({"concurrency_key": "customer id"}, "invalid"),
        ({"max_starts_per_key": 5}, "needs_key"),
        ({"pool": "gpu"}, "unknown_pool"),
        ({"breaker_pause": 0}, "min_value"),
        ({"retention_days": 0}, "min_value"),
    ]
    for values, code in cases:
        with rolled_back(subtests, values=values):
            answer = admin.post(TYPES, {**NEW, **values}, "json")
            assert (answer.status_code, codes(answer)) == (400, {next(iter(values)): [code]})


@pytest.mark.parametrize("name", ["max_running", "max_starts", "rate_limit", "retention_days"])
def test_what_is_said_of_a_limit_of_nothing_is_what_the_console_says(admin: APIClient, name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        JobType(**{name: 0}).clean_fields()
    told = admin.post(TYPES, {**NEW, name: 0}, "json").json()
    assert told[name] == caught.value.message_dict[name]


def test_a_key_that_the_declared_parameters_lack_is_refused(admin: APIClient) -> None:
    answer = admin.patch(f"{TYPES}pdf_generation/", {"concurrency_key": "customer"}, "json")
    assert answer.status_code == 400
    assert codes(answer) == {"concurrency_key": ["unknown_parameter"]}
    (text,) = answer.json()["concurrency_key"]
    assert ("'customer'" in text, "template" in text) == (True, True)
    assert admin.patch(f"{TYPES}pdf_generation/", {"concurrency_key": "template"}, "json").status_code == 200


def test_a_type_whose_pool_and_key_are_gone_is_paused_all_the_same(admin: APIClient) -> None:
    JobType.objects.filter(pk="pdf_generation").update(pool="gone", concurrency_key="gone")
    answer = admin.patch(f"{TYPES}pdf_generation/", {"is_paused": True}, "json")
    assert (answer.status_code, answer.json()["pool"]) == (200, "gone")
    assert list(admin.patch(f"{TYPES}pdf_generation/", {"pool": "lost"}, "json").json()) == ["pool"]


def test_an_open_breaker_is_told_to_system_admins_alone(admin: APIClient, member: APIClient) -> None:
    kind = make_fragile_type()
    assert admin.get(f"{TYPES}{kind.pk}/").json()["breaker"] is None
    row = open_by_failures(kind)
    assert row.opened_at is not None and row.next_try_at is not None  # noqa: PT018
    told = admin.get(f"{TYPES}{kind.pk}/").json()["breaker"]
    assert (told["state"], told["error_message"], told["failures"]) == ("Open", "it failed", kind.breaker_failures)
    assert parse_datetime(told["since"]) == row.opened_at
    assert parse_datetime(told["next_try_at"]) == row.next_try_at
    listed = {item["type_name"]: item["breaker"] for item in admin.get(TYPES, {"limit": 100}).json()["results"]}
    assert {name for name, breaker in listed.items() if breaker} == {kind.pk}
    assert member.get(f"{TYPES}{kind.pk}/").json()["breaker"] is None
    assert told["organization"] == ""
    other, organization = make_fragile_type(), make_organization()
    open_by_failures(other, organization)
    assert admin.get(f"{TYPES}{other.pk}/").json()["breaker"]["organization"] == organization.name


def test_nobody_writes_a_breaker(admin: APIClient) -> None:
    kind = make_fragile_type()
    open_by_failures(kind)
    assert admin.patch(f"{TYPES}{kind.pk}/", {"breaker": None}, format="json").status_code == 200
    assert admin.get(f"{TYPES}{kind.pk}/").json()["breaker"]["state"] == "Open"
