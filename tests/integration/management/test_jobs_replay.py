"""``manage.py jobs_replay``: what it starts, what it only counts, and how it tells what became of it."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_jobs.engine.insight.job_filter import NAMES_OUTSIDE
from django_jobs.engine.scheduler import Scheduler
from django_jobs.management import exit_codes, job_filters
from django_jobs.management.commands import jobs_replay
from django_jobs.models import Job, JobType, Operation
from django_jobs.statuses import Status
from tests.support.brokers import end, reread, returned, start
from tests.support.factories import make_job_type, make_organization
from tests.support.operations import dead, finish

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
    assert told == f"Operation {operation.pk} (running): 0 of 2 retried: 0 completed, 0 died again.\n"
    assert (operation.per_minute, operation.stop_above, operation.user_name) == (600, 0.2, "system")
    Operation.objects.update(stop_above=None)
    finish(operation)
    assert [reread(job).status for job in [*jobs, other]] == [Status.PENDING, Status.PENDING, Status.DEAD_LETTER]


def test_each_option_narrows(mails: JobType) -> None:
    mine = make_organization(name="ORG-MINE")
    (job,) = dead(mails, 1, mine)
    dead(mails, 1)
    replay("--type", "mails", "--organization", "ORG-MINE", "--fingerprint", job.error_fingerprint)
    assert Operation.objects.get().total == 1


def test_that_another_one_does_the_same_is_told(mails: JobType) -> None:
    dead(mails, 1)
    replay("--type", "mails")
    first, told = Operation.objects.get(), StringIO()
    call_command("jobs_replay", "--type", "mails", stdout=StringIO(), stderr=told)
    assert told.getvalue() == f"Operation {first.pk} is under way, and does the same to the same jobs.\n"


def test_it_has_an_option_for_each_filter_of_rest() -> None:
    assert set(job_filters.HELP) == set(NAMES_OUTSIDE) - {"all"}
    assert {f"--{name.replace('_', '-')}" for name in NAMES_OUTSIDE} <= set(option_strings())


def option_strings() -> list[str]:
    parser = jobs_replay.Command().create_parser("manage.py", "jobs_replay")
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
    assert replay("--type", "mails", "--rate", "60", "--dry-run") == "3 jobs would be retried, in about 3 s.\n"
    assert json.loads(replay("--all", "--dry-run", "--json"))["count"] == 3
    assert not Operation.objects.exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "Say which jobs, or --all. The filters are .*--job-type.*--schedule"),
        (["--customer", "7"], "The filters are .*--job-type"),
        (["--type", "mails", "--organization", ""], "--organization: Give a value"),
        (["--job-id", "7"], "--job-id: '7' is not a job id"),
        (["--created-after", "yesterday"], "--created-after: Give a moment"),
        (["--has-error", "perhaps"], "yes or no"),
        (["--operation", "seven"], "--operation"),
        (["--type", "unheard"], "no job that matches"),
        (["--type", "mails", "--rate", "0"], "--rate"),
        (["--type", "mails", "--stop-above", "2"], "--stop-above"),
        (["--organization", "ORG-NONE"], "no organization"),
        (["--status", "Completed"], "invalid choice"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said(options: list[str], told: str, mails: JobType) -> None:
    dead(mails, 1)
    with pytest.raises(CommandError, match=told):
        replay(*options)
    assert not Operation.objects.exists()


@pytest.mark.usefixtures("bracketed")
def test_what_cannot_be_is_said_in_english(mails: JobType) -> None:
    for options, told in (
        (["--created-after", "x"], "--created-after: Give a moment"),
        (["--type", "x"], "no job that"),
    ):
        with pytest.raises(CommandError, match=told):
            replay(*options)


def test_it_waits_until_all_have_ended(mails: JobType, monkeypatch: pytest.MonkeyPatch) -> None:
    (job,) = dead(mails, 1)

    def pass_time(_seconds: float) -> None:
        Operation.objects.update(counted_at=None)
        Scheduler("one").tick()
        if reread(job).status in {Status.PENDING, Status.QUEUED}:
            end(returned(start(reread(job))))

    monkeypatch.setattr("time.sleep", pass_time)
    assert replay("--type", "mails", "--wait").splitlines()[-1].endswith("1 of 1 retried: 1 completed, 0 died again.")


def test_one_that_is_paused_meanwhile_has_an_exit_code_of_its_own(
    mails: JobType, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead(mails, 1)
    monkeypatch.setattr("time.sleep", lambda _: Operation.objects.update(state="paused"))
    with pytest.raises(CommandError, match="It is paused") as caught:
        replay("--type", "mails", "--wait")
    assert caught.value.returncode == exit_codes.NOT_FINISHED


def test_no_job_is_changed_by_the_command_itself(mails: JobType) -> None:
    dead(mails, 1)
    replay("--type", "mails")
    found: Any = Job.objects.get()
    assert found.status == Status.DEAD_LETTER
