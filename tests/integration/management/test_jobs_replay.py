"""``manage.py jobs_replay``: what it starts, what it only counts, and how it tells what became of it."""

from __future__ import annotations

import json
import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_jobs.models import Job, JobType, Operation
from django_jobs.statuses import Status
from tests.support.brokers import end, reread, returned, start
from tests.support.commands import reason_of
from tests.support.factories import make_job_type, make_organization
from tests.support.operations import dead, finish
from tests.support.ticks import WholeScheduler
from tests.support.verbs import GIVEN_TERMS, ExitCode, JobsReplay, Refused

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def mails() -> JobType:
    return make_job_type(type_name="mails")


def replay(*options: str) -> str:
    out = StringIO()
    call_command("jobs_replay", *options, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_it_starts_an_operation_on_what_matches(mails: JobType) -> None:
    jobs, other = dead(mails, 2), dead(make_job_type(), 1)[0]
    told = replay("--type", "mails", "--rate", "600", "--stop-above", "0.2")
    operation = Operation.objects.get()
    assert f"Operation {operation.pk} " in told
    assert (operation.state, operation.total) == ("running", 2)
    assert (operation.per_minute, operation.stop_above, operation.user_name) == (600, 0.2, "system")
    Operation.objects.update(stop_above=None)
    finish(operation)
    assert [reread(job).status for job in [*jobs, other]] == [Status.PENDING, Status.PENDING, Status.DEAD_LETTER]


def test_each_option_narrows_or_slows_it(mails: JobType) -> None:
    mine = make_organization(name="ORG-MINE")
    (job,) = dead(mails, 1, mine)
    dead(mails, 1)
    narrow = ("--type", "mails", "--organization", "ORG-MINE", "--fingerprint", job.error_fingerprint)
    told = json.loads(replay(*narrow, "--try-first", "--json"))
    assert (Operation.objects.get().total, told["try_first"]) == (1, True)


def test_it_has_an_option_for_each_filter_of_rest() -> None:
    assert {f"--{name.replace('_', '-')}" for name in GIVEN_TERMS} <= set(option_strings())


def option_strings() -> list[str]:
    parser = JobsReplay().create_parser("manage.py", "jobs_replay")
    return [text for action in parser._actions for text in action.option_strings]


def test_the_filters_of_rest_name_the_same_jobs(mails: JobType, subtests: pytest.Subtests) -> None:
    mine = make_organization(name="ORG-MINE")
    fields = {"priority": 2, "parameters": {"customer": {"id": 17}}}
    (job,) = dead(mails, 1, mine, **fields)
    Job.objects.filter(pk=job.pk).update(worker_name="host-1", owner_name="ann", operation_id=7, submitted_by_id=8)
    dead(make_job_type(), 2)
    for option, value in {
        "--job-type": "mails",
        "--organization": "ORG-MINE",
        "--priority": "High",
        "--owner": "ann",
        "--job-id": job.name,
        "--worker": "host",
        "--operation": "7",
        "--submitted-by": "8",
        "--parameters": "customer.id:17",
        "--search": job.name,
    }.items():
        with subtests.test(option):
            assert json.loads(replay(option, value, "--dry-run", "--json"))["count"] == 1
    for option, value, count in (
        ("--created-after", "2099-01-01T00:00:00Z", None),
        ("--created-before", "2099-01-01T00:00:00Z", 3),
        ("--has-error", "yes", 3),
        ("--has-error", "No", None),
        ("--pool", "elsewhere", None),
        ("--error-fingerprint", "", None),
    ):
        with subtests.test(option):
            assert count_of(option, value) == count


def count_of(*options: str) -> int | None:
    """How many jobs would be retried; None where none would."""
    try:
        return int(json.loads(replay(*options, "--dry-run", "--json"))["count"]) or None
    except CommandError:
        return None


def test_a_dry_run_counts_alone(mails: JobType) -> None:
    dead(mails, 3)
    assert replay("--type", "mails", "--rate", "60", "--dry-run")
    told = json.loads(replay("--type", "mails", "--rate", "60", "--dry-run", "--json"))
    assert (told["count"], round(told["eta_seconds"])) == (3, 3)
    assert json.loads(replay("--all", "--dry-run", "--json"))["count"] == 3
    assert not Operation.objects.exists()


@pytest.mark.parametrize(
    ("options", "reason", "told"),
    [
        ([], "names_nothing", "--job-type.*--schedule"),
        (["--customer", "7"], "", "--job-type"),
        (["--type", "mails", "--organization", ""], "blank", "^--organization: "),
        (["--job-id", "7"], "not_a_job_id", "^--job-id: '7'"),
        (["--created-after", "yesterday"], "not_a_moment", "^--created-after: "),
        (["--has-error", "perhaps"], "not_true_or_false", "^--has-error: "),
        (["--operation", "seven"], "not_a_number", "^--operation: "),
        (["--type", "unheard"], "unknown_job_type", "'unheard'"),
        (["--type", "mails", "--rate", "0"], "out_of_range", "^--rate: "),
        (["--type", "mails", "--stop-above", "2"], "out_of_range", "^--stop-above: "),
        (["--organization", "ORG-NONE"], "unknown_organization", "'ORG-NONE'"),
        (["--status", "Completed"], "", "--status"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said(options: list[str], reason: str, told: str, mails: JobType) -> None:
    dead(mails, 1)
    with pytest.raises(CommandError, match=told) as caught:
        replay(*options)
    assert (reason_of(caught.value), Operation.objects.count()) == (reason, 0)


@pytest.mark.usefixtures("bracketed")
def test_what_cannot_be_is_said_in_english(mails: JobType) -> None:
    for options in (["--created-after", "x"], ["--type", "x"]):
        with pytest.raises(CommandError) as caught:
            replay(*options)
        assert not re.search(r"\[\w", str(caught.value))


def test_it_waits_until_all_have_ended(mails: JobType, monkeypatch: pytest.MonkeyPatch) -> None:
    (job,) = dead(mails, 1)

    def pass_time(_seconds: float) -> None:
        Operation.objects.update(counted_at=None)
        WholeScheduler("one").tick()
        if reread(job).status in {Status.PENDING, Status.QUEUED}:
            end(returned(start(reread(job))))

    monkeypatch.setattr("time.sleep", pass_time)
    told = json.loads(replay("--type", "mails", "--wait", "--json").splitlines()[-1])
    assert (told["changed"], told["count"], told["outcome"]) == (1, 1, {"Completed": 1})


def test_one_that_is_paused_meanwhile_has_an_exit_code_of_its_own(
    mails: JobType, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead(mails, 1)
    monkeypatch.setattr("time.sleep", lambda _: Operation.objects.update(state="paused"))
    with pytest.raises(Refused) as caught:
        replay("--type", "mails", "--wait")
    assert (caught.value.code, caught.value.returncode) == ("operation_paused", ExitCode.NOT_FINISHED)


def test_no_job_is_changed_by_the_command_itself(mails: JobType) -> None:
    dead(mails, 1)
    replay("--type", "mails")
    found: Any = Job.objects.get()
    assert found.status == Status.DEAD_LETTER
