"""``manage.py jobs_pause`` and ``jobs_resume``: types, schedules, operations and the rest."""

from __future__ import annotations

import io

import pytest
from django.contrib.admin.models import LogEntry
from django.db import OperationalError

from django_jobs import schedule_job
from django_jobs.models import Breaker, JobType, Operation, Organization, Schedule, Worker, WorkerOrder
from django_jobs.statuses import BreakerState
from tests.support import verbs
from tests.support.breakers import make_fragile_type, open_by_failures
from tests.support.brokers import pending_job
from tests.support.commands import QUEUES, call
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.operations import dead, finish
from tests.support.verbs import ExitCode, Interpose, SwitchCommand

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture(autouse=True)
def letters() -> JobType:
    return make_job_type(type_name="print_letters")


def paused() -> set[str]:
    return set(JobType.objects.filter(is_paused=True).values_list("pk", flat=True))


def switched(*arguments: str) -> tuple[str, str, str]:
    """What the command made of the only one that it was to switch."""
    (found,) = call(*arguments, "--json").facts["targets"]
    return found["kind"], found["name"], found["result"]


def test_types_are_paused_and_resumed() -> None:
    make_job_type(type_name="fold_letters")
    answer = call("jobs_pause", "print_letters", "fold_letters")
    assert (answer.code, answer.out.count("\n")) == (0, 2)
    assert all(name in answer.out for name in ("print_letters", "fold_letters"))
    assert paused() == {"print_letters", "fold_letters"}
    assert call("jobs_resume", "print_letters").code == 0
    assert paused() == {"fold_letters"}
    twice = call("jobs_pause", "print_letters", "print_letters", "--json").facts
    assert (twice["paused"], twice["unchanged"]) == (1, 0)


def test_what_is_so_already_is_no_error() -> None:
    call("jobs_pause", "print_letters")
    answer = call("jobs_pause", "print_letters", "--json")
    assert answer.code == 0
    assert answer.facts == {
        "paused": 0,
        "unchanged": 1,
        "refused": 0,
        "targets": [{"kind": "job_type", "name": "print_letters", "result": "unchanged", "reason": ""}],
    }


def test_one_name_that_is_not_there_leaves_all_as_it_is() -> None:
    answer = call("jobs_pause", "print_letters", "print_leters", "--json")
    assert (answer.code, answer.reason) == (2, "unknown_job_type")
    assert (answer.error["name"], answer.error["did_you_mean"]) == ("print_leters", ["print_letters"])
    assert paused() == set()


def test_all_types_are_paused_once_somebody_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert call("jobs_pause", "--all").code == ExitCode.REFUSED
    assert paused() == set()
    assert call("jobs_pause", "--all", "--yes").code == 0
    assert paused() == set(JobType.objects.values_list("pk", flat=True))


def test_a_schedule_is_paused_and_resumed() -> None:
    schedule_job("nightly", "print_letters", every=3600)
    assert switched("jobs_pause", "--schedule", "nightly") == ("schedule", "nightly", "paused")
    assert not Schedule.objects.get().is_enabled
    assert switched("jobs_pause", "--schedule", "nightly") == ("schedule", "nightly", "unchanged")
    assert "nightly" in call("jobs_pause", "--schedule", "nightly").out
    assert switched("jobs_resume", "--schedule", "nightly") == ("schedule", "nightly", "resumed")
    assert Schedule.objects.get().is_enabled
    unknown = call("jobs_pause", "--schedule", "nightyl", "--json")
    assert unknown.reason == "unknown_schedule"


def test_of_schedules_with_one_name_the_number_says_which() -> None:
    first, second = (schedule_job("nightly", "print_letters", make_organization(), every=3600) for _ in range(2))
    refused = call("jobs_pause", "--schedule", "nightly")
    assert (refused.code, refused.reason) == (2, "ambiguous")
    assert all(f"{row.pk} ({row.organization})" in refused.err for row in (first, second))
    assert switched("jobs_pause", "--schedule", str(second.pk)) == ("schedule", f"nightly #{second.pk}", "paused")
    schedule_job("nightly", "print_letters", every=3600)
    assert switched("jobs_pause", "--schedule", "nightly") == ("schedule", "nightly", "paused")
    assert Schedule.objects.get(is_enabled=True) == first


def test_an_operation_is_paused_and_resumed(letters: JobType) -> None:
    dead(letters, 1)
    call("jobs_retry", "--all", "--yes")
    operation = Operation.objects.get()
    number = str(operation.pk)
    assert call("jobs_pause", "--operation", number).code == 0
    assert Operation.objects.get().state == "paused"
    assert call("jobs_resume", "--operation", number).code == 0
    finish(operation)
    for command in ("jobs_pause", "jobs_resume"):
        over = call(command, "--operation", number, "--json")
        assert (over.code, over.reason, "done" in over.error["message"]) == (1, "over", True)
    partly = call("jobs_pause", "--operation", number, letters.pk, "--json")
    assert (partly.code, partly.error["code"], partly.facts["paused"], paused()) == (1, "partly_done", 1, {letters.pk})
    assert call("jobs_cancel", "--stop-operation", number).reason == "over"
    assert call("jobs_pause", "--operation", "x").reason == "unknown_operation"


def test_an_organization_is_suspended_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    make_organization(name="acme")
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    assert call("jobs_pause", "--organization", "acme").reason == "nobody_there"
    assert Organization.objects.get(name="acme").is_active
    assert call("jobs_pause", "--organization", "acme", "--yes").code == 0
    assert not Organization.objects.get(name="acme").is_active
    assert call("jobs_resume", "--organization", "acme", "--yes").code == 0
    assert Organization.objects.get(name="acme").is_active
    unknown = call("jobs_pause", "--organization", "Acne", "--yes", "--json")
    assert unknown.reason == "unknown_organization"


def test_a_hosts_own_organizations_are_the_hosts_to_suspend(interpose: Interpose) -> None:
    interpose("organization_model_name", lambda: "shop.Tenant")
    answer = call("jobs_pause", "--organization", "acme", "--yes")
    assert (answer.code, answer.reason) == (2, "own_organizations")


def test_workers_are_told_to_take_no_new_jobs() -> None:
    verbs.announce_worker("host-1-aa", QUEUES, slots=1)
    Worker.objects.update(supervisor="host-1")
    assert call("jobs_pause", "--worker", "host-1-aa").code == 0
    assert WorkerOrder.objects.get().order == WorkerOrder.Order.QUIET
    assert call("jobs_resume", "--worker", "host-1").code == 0
    assert WorkerOrder.objects.get().order == WorkerOrder.Order.RESUME
    order = WorkerOrder.objects.get()
    assert switched("jobs_resume", "--worker", "host-1-aa") == ("worker", "host-1-aa", "unchanged")
    assert WorkerOrder.objects.get().ordered_at == order.ordered_at
    unknown = call("jobs_pause", "--worker", "host-1-ab", "--json")
    assert (unknown.reason, unknown.error["did_you_mean"]) == ("unknown_worker", [])


def test_a_worker_that_was_ordered_nothing_takes_jobs_already() -> None:
    verbs.announce_worker("host-1-aa", QUEUES, slots=1)
    verbs.announce_worker("host-1-bb", QUEUES, slots=1)
    Worker.objects.update(supervisor="host-1")
    answer = call("jobs_resume", "--worker", "host-1-aa", "--json")
    assert (answer.code, answer.facts["unchanged"], WorkerOrder.objects.count()) == (0, 1, 0)
    both = call("jobs_pause", "--worker", "host-1-aa", "--worker", "host-1-bb", "--json")
    assert (both.facts["paused"], both.facts["unchanged"]) == (1, 1)
    make_user("ann")
    refused = call("jobs_pause", "--worker", "host-1-aa", "--user", "ann")
    assert (refused.code, refused.reason) == (1, "not_system_admin")


def test_a_breaker_is_closed() -> None:
    open_by_failures(make_fragile_type(type_name="fragile"))
    assert switched("jobs_resume", "--breaker", "fragile") == ("breaker", "fragile", "resumed")
    assert Breaker.objects.get().state == BreakerState.CLOSED
    assert switched("jobs_resume", "--breaker", "fragile") == ("breaker", "fragile", "unchanged")
    assert call("jobs_resume", "--breaker", "print_leters").code == ExitCode.USAGE


def test_users_switch_what_they_may_and_the_history_names_them() -> None:
    make_user("root", is_superuser=True)
    make_user("ann")
    refused = call("jobs_pause", "print_letters", "--user", "ann", "--json")
    assert (refused.code, refused.facts["refused"], paused()) == (1, 1, set())
    assert call("jobs_pause", "print_letters", "--user", "root").code == 0
    entry = LogEntry.objects.get()
    assert (entry.user.get_username(), entry.object_id, entry.is_change()) == ("root", "print_letters", True)


def test_the_history_names_who_switched_what(letters: JobType) -> None:
    root = make_user("root", is_superuser=True)
    make_organization(name="acme")
    schedule_job("nightly", "print_letters", every=3600)
    dead(letters, 1)
    call("jobs_retry", "--all", "--yes")
    verbs.announce_worker("host-1-aa", QUEUES, slots=1)
    Worker.objects.update(supervisor="host-1")
    for option, name in (
        ("--schedule", "nightly"),
        ("--operation", str(Operation.objects.get().pk)),
        ("--organization", "acme"),
        ("--worker", "host-1-aa"),
    ):
        for command in ("jobs_pause", "jobs_resume"):
            before = LogEntry.objects.count()
            assert call(command, option, name, "--yes", "--user", "root").code == 0
            assert set(LogEntry.objects.order_by("pk")[before:].values_list("user", flat=True)) == {root.pk}
    open_by_failures(make_fragile_type(type_name="fragile"))
    for arguments in (
        ("jobs_resume", "--breaker", "fragile"),
        ("jobs_cancel", "--stop-operation", str(Operation.objects.get().pk)),
    ):
        before = LogEntry.objects.count()
        assert call(*arguments, "--user", "root").code == 0
        assert set(LogEntry.objects.order_by("pk")[before:].values_list("user", flat=True)) == {root.pk}


def test_a_user_switches_nothing_that_they_may_not(letters: JobType) -> None:
    acme = make_organization(name="acme")
    make_organization(name="other")
    make_user("ann", member_of=[acme])
    schedule_job("nightly", "print_letters", acme, every=3600)
    dead(letters, 1)
    call("jobs_retry", "--all", "--yes")
    number = str(Operation.objects.get().pk)
    open_by_failures(make_fragile_type(type_name="fragile"))
    call("jobs_pause", "print_letters")
    for reason, *arguments in (
        ("not_system_admin", "jobs_resume", "print_letters"),
        ("not_system_admin", "jobs_resume", "--breaker", "fragile"),
        ("not_system_admin", "jobs_pause", "--organization", "acme"),
        ("unknown_organization", "jobs_pause", "--organization", "other"),
        ("unknown_schedule", "jobs_pause", "--schedule", "nightly"),
        ("unknown_operation", "jobs_pause", "--operation", number),
        ("unknown_operation", "jobs_cancel", "--stop-operation", number),
    ):
        answer = call(*arguments, "--yes", "--user", "ann")
        code = ExitCode.USAGE if reason.startswith("unknown") else ExitCode.REFUSED
        assert (answer.code, answer.reason, number in answer.err) == (code, reason, number in arguments)
    assert (paused(), Schedule.objects.get().is_enabled) == ({"print_letters"}, True)
    assert (Operation.objects.get().state, Breaker.objects.get().state) == ("running", BreakerState.OPEN)
    assert not Organization.objects.filter(is_active=False).exists()


@pytest.mark.parametrize("arguments", [["print_leters"], ["--breaker", "print_leters"], ["--worker", "host-1-ab"]])
def test_a_user_is_told_of_no_names_that_they_may_not_know(arguments: list[str]) -> None:
    verbs.announce_worker("host-1-aa", QUEUES, slots=1)
    make_user("ann")
    answer = call("jobs_resume", *arguments, "--user", "ann", "--json")
    assert (answer.code, answer.error["did_you_mean"]) == (ExitCode.USAGE, [])


def test_a_paused_type_lets_its_jobs_wait(letters: JobType) -> None:
    job = pending_job(letters)
    call("jobs_pause", "print_letters")
    assert job.status == "Pending"


@pytest.mark.parametrize(("command", "last"), [("jobs_pause", "--worker"), ("jobs_resume", "--breaker")])
def test_nothing_to_switch_is_told_with_all_that_could_be(command: str, last: str) -> None:
    answer = call(command)
    assert (answer.code, answer.reason, last in answer.err) == (2, "names_nothing", True)


@pytest.mark.parametrize("command", ["jobs_pause", "jobs_resume"])
def test_a_database_that_is_away_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("no route\nto host")

    monkeypatch.setattr(SwitchCommand, "targets", fail)
    answer = call(command, "print_letters", "--json")
    assert (answer.code, answer.error["code"]) == (ExitCode.UNAVAILABLE, "unavailable")
