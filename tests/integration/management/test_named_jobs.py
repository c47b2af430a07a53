"""``manage.py jobs_cancel`` and ``jobs_retry``: jobs by their ids, batches, and all jobs that a filter names."""

from __future__ import annotations

import io
import os
from unittest import mock

import pytest
from django.core.management import call_command
from django.db import OperationalError

from django_jobs.models import Job, JobDependency, JobType, Operation
from django_jobs.statuses import Status
from tests.support import verbs
from tests.support.batches import make_batch
from tests.support.brokers import job_in, pending_job, reread, running_job
from tests.support.commands import call
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.operations import dead, finish
from tests.support.tuning import Tuning
from tests.support.verbs import ExitCode, Interpose

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def letters() -> JobType:
    return make_job_type(type_name="print_letters")


def status(job: Job) -> str:
    return str(reread(job).status)


# --- By their ids


def test_jobs_are_canceled_by_their_ids_and_one_that_runs_is_asked() -> None:
    waiting, (running, _claimed) = pending_job(), running_job()
    answer = call("jobs_cancel", waiting.name, running.name)
    assert answer.code == 0
    first, second, _total = answer.out.splitlines()
    assert (waiting.name in first, running.name in second) == (True, True)
    assert (reread(waiting).canceled_by, reread(running).canceled_by) == ("system", "system")
    assert status(waiting) == Status.CANCELED


def test_repeating_a_cancel_is_no_error() -> None:
    waiting, (running, _claimed) = pending_job(), running_job()
    first = call("jobs_cancel", waiting.name, running.name, "--json").facts
    assert ([item["result"] for item in first["jobs"]], first["canceled"]) == (["canceled", "asked_to_stop"], 1)
    answer = call("jobs_cancel", waiting.name, running.name, "--json")
    assert [item["result"] for item in answer.facts["jobs"]] == ["unchanged", "unchanged"]
    assert (answer.code, answer.facts["unchanged"], answer.facts["canceled"], answer.err) == (0, 2, 0, "")


def test_jobs_that_failed_start_over_by_their_ids() -> None:
    jobs = [job_in(Status.DEAD_LETTER), job_in(Status.FAILED)]
    answer = call("jobs_retry", *(job.name for job in jobs), "--json")
    assert (answer.code, answer.facts["retried"]) == (0, 2)
    assert answer.facts["jobs"][0] == {
        "id": jobs[0].name,
        "result": "retried",
        "status": status(jobs[0]),
        "reason": "",
    }
    assert {status(job) for job in jobs} <= {Status.PENDING, Status.QUEUED}


def test_what_cannot_be_done_to_one_hinders_no_other() -> None:
    job, over = job_in(Status.DEAD_LETTER), job_in(Status.COMPLETED)
    answer = call("jobs_retry", over.name, "JOB-2026-99999", job.name, "--json")
    assert answer.code == ExitCode.REFUSED
    assert {name: answer.facts[name] for name in ("retried", "refused", "unknown")} == {
        "retried": 1,
        "refused": 1,
        "unknown": 1,
    }
    assert (answer.error["code"], answer.reason) == ("partly_done", "invalid_transition")
    assert over.name in answer.error["message"]


def test_a_job_that_is_over_is_refused_with_the_reason() -> None:
    over = job_in(Status.COMPLETED)
    answer = call("jobs_cancel", over.name)
    assert (answer.code, answer.reason) == (1, "invalid_transition")
    assert over.name in answer.err
    (told,) = call("jobs_cancel", over.name, "--json").facts["jobs"]
    assert (told["result"], told["status"], bool(told["reason"])) == ("refused", Status.COMPLETED, True)


def test_a_job_whose_parent_failed_is_refused_with_the_parent() -> None:
    parent = job_in(Status.DEAD_LETTER)
    child = pending_job(organization=parent.organization)
    Job.objects.filter(pk=child.pk).update(status=Status.DEAD_LETTER, ready_at=None)
    JobDependency.objects.create(parent=parent, child=child)
    answer = call("jobs_retry", child.name)
    assert parent.name in answer.err
    assert (answer.code, answer.reason) == (ExitCode.REFUSED, "parent_failed")


@pytest.mark.parametrize("command", ["jobs_cancel", "jobs_retry"])
def test_an_id_that_is_not_there_is_an_unknown_job(command: str) -> None:
    job = pending_job()
    answer = call(command, f"JOB-1999-{job.pk:05d}")
    assert (answer.code, answer.reason, answer.out) == (2, "unknown_job", "")
    assert f"JOB-1999-{job.pk:05d}" in answer.err
    several = call("jobs_cancel", f"JOB-1999-{job.pk:05d}", f"JOB-1998-{job.pk:05d}", "--json")
    assert several.error["code"] == "unknown_name"
    assert call(command, "nonsense", "--json").error["code"] == "unknown_name"


def test_ids_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [pending_job() for _ in range(3)]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join([*(job.name for job in jobs), jobs[0].name, ""])))
    assert call("jobs_cancel", "-", "--json").facts["canceled"] == 3
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert call("jobs_cancel", "-").code == ExitCode.USAGE


def test_standard_input_that_is_no_list_of_ids_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"JOB\xff"), encoding="utf-8"))
    assert call("jobs_cancel", "-").reason == "not_utf8"
    monkeypatch.setattr("sys.stdin", io.StringIO("x" * 1_000_000))
    answer = call("jobs_cancel", "-", "--json")
    assert (answer.code, len(answer.facts["jobs"][0]["id"])) == (2, verbs.MAX_IDS_TEXT)


def test_a_reader_of_the_answer_who_leaves_ends_it_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    job = pending_job()
    with open(writer, "w") as stream:  # noqa: PTH123  (a descriptor; leaving flushes, as the interpreter's end does)
        call_command("jobs_cancel", job.name, stdout=stream)
        stream.write("more")
    assert status(job) == Status.CANCELED


def test_many_ids_go_in_pages(tuning: Tuning) -> None:
    ids = [pending_job().name for _ in range(5)]
    unknown = [f"JOB-2026-9{number:05d}" for number in range(10_000)]
    assert call("jobs_cancel", *unknown, ids[0], "--json").facts["unknown"] == 10_000
    tuning.set(named_jobs_of_a_transaction=2)
    answer = call("jobs_cancel", *ids, "--json")
    assert (answer.facts["canceled"], answer.facts["unchanged"]) == (4, 1)
    assert [item["id"] for item in answer.facts["jobs"]] == ids


def test_a_dry_run_changes_nothing() -> None:
    job = pending_job()
    answer = call("jobs_cancel", job.name, "--dry-run", "--json")
    assert (answer.code, answer.facts["dry_run"], answer.facts["canceled"]) == (0, True, 1)
    assert status(job) == Status.PENDING


def test_batches_are_canceled_and_retried_by_their_ids() -> None:
    batch = make_batch(make_organization(), "Completed")
    answer = call("jobs_cancel", batch.batch_id, batch.batch_id)
    assert (answer.code, answer.out.count(batch.batch_id)) == (0, 1)
    again = call("jobs_cancel", batch.batch_id, "--json")
    assert (again.code, again.facts["canceled"], again.facts["unchanged"]) == (0, 0, 1)
    refused = call("jobs_retry", batch.batch_id)
    assert (refused.code, refused.reason, batch.batch_id in refused.err) == (1, "canceled", True)
    gone = call("jobs_retry", "BATCH-2026-99999")
    assert (gone.code, gone.reason) == (ExitCode.USAGE, "unknown_batch")
    other, job = make_batch(make_organization(), "Completed"), pending_job()
    assert call("jobs_cancel", other.batch_id, job.name, "--json").facts["canceled"] == 2
    assert status(job) == Status.CANCELED
    trial = call("jobs_cancel", batch.batch_id, "--dry-run")
    assert (trial.code, trial.reason) == (ExitCode.USAGE, "jobs_alone")


def test_a_user_does_what_the_policy_lets_them() -> None:
    acme = make_organization(name="acme")
    job, other, foreign = pending_job(organization=acme), pending_job(organization=acme), pending_job()
    make_user("admin", admin_of=[acme])
    make_user("member", member_of=[acme])
    assert call("jobs_cancel", job.name, "--user", "admin").code == 0
    assert reread(job).canceled_by == "admin"
    assert call("jobs_cancel", other.name, "--user", "member").reason == "permission_denied"
    assert status(other) == Status.PENDING
    hidden = call("jobs_cancel", foreign.name, "--user", "admin", "--json")
    assert (hidden.code, hidden.reason) == (2, "unknown_job")
    batch = make_batch(foreign.organization, "Completed")
    assert call("jobs_cancel", batch.batch_id, "--user", "admin").reason == "unknown_batch"
    assert call("jobs_cancel", "--all", "--dry-run", "--user", "admin", "--json").facts["count"] == 1
    call("jobs_cancel", "--all", "--yes", "--user", "admin")
    operation = Operation.objects.get()
    assert (operation.user_name, operation.total) == ("admin", 1)
    assert status(foreign) == Status.PENDING


# --- By a filter


def test_a_filter_starts_an_operation(letters: JobType) -> None:
    jobs, other = [pending_job(letters) for _ in range(2)], pending_job()
    answer = call("jobs_cancel", "--type", "print_letters", "--status", "Pending", "--yes")
    operation = Operation.objects.get()
    assert (answer.code, f"Operation {operation.pk} " in answer.out, operation.total) == (0, True, 2)
    finish(operation)
    assert [status(job) for job in [*jobs, other]] == [Status.CANCELED, Status.CANCELED, Status.PENDING]


def test_a_retry_by_a_filter_takes_the_dead_letters(letters: JobType) -> None:
    dead(letters, 2)
    job_in(Status.FAILED, job_type=letters)
    answer = call("jobs_retry", "--type", "print_letters", "--rate", "60", "--yes", "--json")
    assert (answer.facts["count"], answer.facts["rate"], answer.facts["action"]) == (2, 60, "retry")


def test_a_dry_run_by_a_filter_counts(letters: JobType) -> None:
    pending_job(letters)
    assert call("jobs_cancel", "--type", "print_letters", "--dry-run").out
    assert call("jobs_cancel", "--all", "--dry-run", "--yes", "--json").facts["count"] == 1
    assert not Operation.objects.exists()


def test_without_a_terminal_it_asks_for_yes(letters: JobType, monkeypatch: pytest.MonkeyPatch) -> None:
    pending_job(letters)
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    answer = call("jobs_cancel", "--all")
    assert (answer.code, answer.reason) == (ExitCode.REFUSED, "nobody_there")
    assert call("jobs_cancel", "--all", "--json").error["code"] == "not_confirmed"
    assert not Operation.objects.exists()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "code"), [("yes\n", 0), ("y\n", 1), ("", 1)])
def test_at_a_terminal_it_asks(letters: JobType, monkeypatch: pytest.MonkeyPatch, typed: str, code: int) -> None:
    pending_job(letters)
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    answer = call("jobs_cancel", "--all")
    assert (answer.code, answer.reason) == (code, "not_confirmed" if code else "")
    assert "1 job" in answer.err
    assert Operation.objects.count() == 1 - code


def test_nothing_is_done_where_somebody_presses_ctrl_c(letters: JobType, monkeypatch: pytest.MonkeyPatch) -> None:
    pending_job(letters)
    monkeypatch.setattr("sys.stdin", Terminal(""))
    monkeypatch.setattr("builtins.input", mock.Mock(side_effect=KeyboardInterrupt))
    assert call("jobs_cancel", "--all", "--json").code == ExitCode.REFUSED
    assert not Operation.objects.exists()


def test_an_operation_that_is_no_longer_waited_for_goes_on(letters: JobType, monkeypatch: pytest.MonkeyPatch) -> None:
    pending_job(letters)
    monkeypatch.setattr("time.sleep", mock.Mock(side_effect=KeyboardInterrupt))
    answer = call("jobs_cancel", "--all", "--yes", "--wait", "--json")
    assert (answer.code, answer.error["code"]) == (ExitCode.NOT_AWAITED, "interrupted")
    assert Operation.objects.get().is_open


@pytest.mark.parametrize(
    ("arguments", "code", "reason", "told"),
    [
        ([], 2, "names_nothing", "--job-type"),
        (["JOB-2026-00001", "--all"], 2, "named_twice", ""),
        (["JOB-2026-00001", "--wait"], 2, "named_twice", "--wait"),
        (["--type", "print_leters", "--yes"], 2, "unknown_job_type", "print_letters"),
        (["--type", "somewhere", "--yes"], 2, "unknown_job_type", "'somewhere'"),
        (["--type", "print_letters", "--yes"], 1, "nothing_matches", ""),
        (["--organization", "acm", "--yes"], 2, "unknown_organization", "acm"),
        (["--type", "", "--yes"], 2, "blank", "--job-type: "),
        (["--all", "--rate", "0", "--yes"], 2, "out_of_range", "--rate: "),
        (["--status", "Completed"], 2, "", "--status: "),
        (["--customer", "7"], 2, "", "--job-type"),
    ],
    ids=str,
)
def test_what_cannot_be_is_told_with_its_exit_code(
    letters: JobType, arguments: list[str], code: int, reason: str, told: str
) -> None:
    make_organization(name="acme")
    answer = call("jobs_cancel", *arguments)
    assert told in answer.err
    assert (answer.code, answer.reason) == (code, reason)
    assert told in call("jobs_cancel", *arguments, "--json").error["message"]


def test_a_name_that_is_no_text_is_told() -> None:
    answer = call("jobs_cancel", "--type", "p\udcff", "--yes")
    assert (answer.code, answer.reason) == (ExitCode.USAGE, "unstorable_text")
    assert answer.err.startswith("--job-type: ")


def test_a_user_is_told_of_no_names_that_they_may_not_know(letters: JobType) -> None:
    make_organization(name="acme")
    make_user("ann")
    answer = call("jobs_cancel", "--organization", "acm", "--yes", "--user", "ann", "--json")
    assert (answer.reason, answer.error["did_you_mean"], "acme" in answer.err) == ("unknown_organization", [], False)
    assert call("jobs_cancel", "--organization", "acme", "--yes", "--user", "ann").reason == "unknown_organization"


def test_an_operation_is_stopped(letters: JobType) -> None:
    pending_job(letters)
    call("jobs_cancel", "--all", "--yes")
    number = str(Operation.objects.get().pk)
    answer = call("jobs_cancel", "--stop-operation", number, "--json")
    assert (answer.code, answer.facts["state"]) == (0, "stopped")
    assert call("jobs_cancel", "--stop-operation", number, "--json").facts["result"] == "unchanged"
    for answer, reason in (
        (call("jobs_cancel", "--stop-operation", number, "--dry-run"), "takes_nothing_else"),
        (call("jobs_cancel", "--stop-operation", number, "--all"), "takes_nothing_else"),
        (call("jobs_cancel", "--stop-operation", number, "JOB-2026-00001"), "takes_nothing_else"),
        (call("jobs_cancel", "--stop-operation", "7777"), "unknown_operation"),
    ):
        assert (answer.code, answer.reason) == (ExitCode.USAGE, reason)


@pytest.mark.parametrize("command", ["jobs_cancel", "jobs_retry"])
def test_a_database_that_is_away_is_told_in_one_line(interpose: Interpose, command: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("no route\nto host")

    interpose("act", fail)
    answer = call(command, "JOB-2026-00001")
    assert (answer.code, answer.err.count("\n")) == (ExitCode.UNAVAILABLE, 1)
    assert "(OperationalError: no route)" in answer.err
