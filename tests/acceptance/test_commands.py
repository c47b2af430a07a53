"""The commands of an operator as processes of a shell, beside a real worker: what they write, and their exit codes."""

from __future__ import annotations

import json
import re
from typing import Any

from django_jobs.models import Job
from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, Stage, status_of, wait_for_status
from tests.support.factories import make_job_type
from tests.support.verbs import ExitCode
from tests.support.waiting import wait_until
from tests.support.workers import ManagedProcess, ProcessPool


def answers(process: ManagedProcess, code: int) -> list[Any]:
    """The lines of JSON that a command wrote, besides its log, once it has ended with this exit code."""
    assert process.wait(4 * PATIENCE) == code, process.log()
    return [json.loads(line) for line in process.log().splitlines() if line.startswith("{")]


def test_a_job_is_submitted_awaited_canceled_and_retried_from_a_shell(processes: ProcessPool, stage: Stage) -> None:
    processes.worker("--processes", "2")  # one for the long job
    good, bad, long = (make_job_type(name).pk for name in ("echo", "fail_for_good", "wait_with_checkpoints"))
    tenant = stage.organization.name
    runs = {
        name: processes.start("jobs_submit", name, tenant, "--wait", "--timeout", "300", "--json")
        for name in (good, bad, long)
    }

    (completed,) = answers(runs[good], ExitCode.DONE)
    assert (completed["job_type"], completed["status"], completed["progress"]) == (good, Status.COMPLETED, 100)

    failed, refusal = answers(runs[bad], ExitCode.REFUSED)
    assert (failed["status"], refusal["error"]["code"]) == (Status.DEAD_LETTER, "failed")

    running = Job.objects.filter(job_type=long, status=Status.RUNNING)
    wait_until(running.exists, PATIENCE, "the start of the long job")
    job = running.get()
    (canceled,) = answers(processes.start("jobs_cancel", job.name, "--json"), ExitCode.DONE)
    assert (canceled["asked_to_stop"], canceled["jobs"][0]["id"]) == (1, job.name)
    ended, told = answers(runs[long], ExitCode.CANCELED)
    assert (ended["status"], told["error"]["code"]) == (Status.CANCELED, "canceled")

    (retried,) = answers(processes.start("jobs_retry", failed["job_id"], "--json"), ExitCode.DONE)
    assert retried["retried"] == 1
    again = Job.objects.get(job_type=bad)
    wait_until(lambda: Job.objects.get(pk=again.pk).attempt == 2, PATIENCE, "its second attempt")
    wait_for_status(again, Status.DEAD_LETTER)
    assert status_of(again) == Status.DEAD_LETTER


def test_a_shell_is_told_what_is_wrong_in_a_line(processes: ProcessPool, stage: Stage) -> None:
    make_job_type(type_name="greet_newcomers")
    unknown = processes.start("jobs_submit", "greet_newcommer", stage.organization.name)
    nowhere = {"DATABASE_URL": "sqlite:////nowhere/to/be/found.sqlite3"}
    away = processes.start("jobs_pause", "greet_newcomers", environ=nowhere)
    assert unknown.wait(2 * PATIENCE) == ExitCode.USAGE
    assert re.fullmatch(r".*'greet_newcommer'.* greet_newcomers\b.*\n", unknown.log())
    assert away.wait(2 * PATIENCE) == ExitCode.UNAVAILABLE
    assert "(OperationalError: " in away.log()
    assert len(away.log().splitlines()) == 1
