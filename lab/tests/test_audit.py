"""The auditor of the fault suites: it has nothing to say of what the engine wrote, and sees each kind of damage."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_jobs import cancel_job
from django_jobs.statuses import RunAfter, Status
from django_jobs.testing import run_jobs
from lab.faults.audit import audit
from lab.tests.damages import DAMAGES, WRONG_FIELDS, change, family, log_of, now
from tests.support import record as records
from tests.support.brokers import MemoryBroker, end, job_in, pending_job, raised, reread, running_job, start
from tests.support.cases import rolled_back
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import LEASE_OVER, NOW

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _broker(broker: MemoryBroker) -> None:
    pass


@pytest.mark.parametrize("status", Status.values)
def test_what_the_engine_wrote_is_without_a_finding(status: str) -> None:
    job = job_in(status)

    assert audit(at_rest=False, submitted=[job.pk]) == []


def test_families_that_the_engine_decided_are_without_a_finding() -> None:
    for parent_ends in (job_in(Status.COMPLETED), job_in(Status.DEAD_LETTER), job_in(Status.FAILED)):
        for run_after in RunAfter.values:
            if parent_ends.status != Status.DEAD_LETTER or run_after == RunAfter.ENDED:
                pending_job(organization=parent_ends.organization, depends_on=[parent_ends], run_after=run_after)
    parent, _ = family()
    cancel_job(parent)
    run_jobs()

    assert audit() == []


def test_a_job_that_waits_for_a_reason_is_at_rest() -> None:
    pending_job(run_at=now() + dt.timedelta(hours=1))
    pending_job(make_job_type(is_paused=True))
    job_in(Status.FAILED)

    assert audit() == []


def test_each_wrong_field_is_found(subtests: pytest.Subtests) -> None:
    for status, values, words in WRONG_FIELDS:
        with rolled_back(subtests, status=status, values=values):
            moment = {name: now() if value is NOW else value for name, value in values.items()}
            change(job_in(status), **moment)
            found = audit()
            assert [finding for finding in found if words in finding], found


def test_each_damage_is_found(subtests: pytest.Subtests) -> None:
    for damage, words in DAMAGES:
        with rolled_back(subtests, damage=damage.__name__, words=words):
            damage()
            found = audit()
            assert [finding for finding in found if words in finding], found


def test_a_submitted_job_that_is_gone_is_found() -> None:
    assert audit(submitted=[10**6]) == [f"Job {10**6} was submitted and is gone."]


def test_ten_jobs_cost_as_many_statements_as_one() -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            audit()
        return len(queries)

    organization = make_organization()
    pending_job(organization=organization)
    one = statements()
    for _ in range(9):
        pending_job(organization=organization)
    assert statements() == one


# -- the handlers' own record ------------------------------------------------------------------------------------------


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "record"
    monkeypatch.setenv(records.VARIABLE, str(path))
    return path


def recording_type() -> Any:
    return make_job_type(handler_method="tests.support.recorded_handlers.work", max_retries=3)


def write(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def test_recorded_runs_that_follow_each_other_are_without_a_finding(record: Path) -> None:
    job = pending_job(recording_type(), parameters={"seconds": 0.1, "ends": ["fail", "later", "return"]})
    run_jobs(retries=True)

    assert (reread(job).status, reread(job).attempt) == (Status.COMPLETED, 3)
    assert audit(record=record) == []


def test_a_job_that_completed_without_a_run_is_found(record: Path) -> None:
    job = pending_job(recording_type())
    run_jobs()
    record.unlink()

    assert audit(record=record) == [f"Job {job.pk} is Completed, and the handler of attempt 1 never returned."]


def test_an_attempt_that_nobody_claimed_is_found(record: Path) -> None:
    job = pending_job(recording_type())
    write(record, f"begin {job.pk} 1 77 1.0")

    assert f"Attempt 1 of job {job.pk} ran, and nobody claimed it." in audit(record=record)


def test_an_attempt_that_ran_twice_is_found(record: Path) -> None:
    job = job_in(Status.RUNNING)
    write(record, f"begin {job.pk} 1 77 1.0", f"begin {job.pk} 1 78 2.0")

    assert f"Attempt 1 of job {job.pk} ran twice." in audit(record=record)


def test_attempts_that_ran_at_once_are_found_unless_the_lease_was_lost(record: Path) -> None:
    job, claimed = running_job()
    end(raised(claimed))
    start(reread(job))
    write(record, f"begin {job.pk} 1 77 1.0", f"begin {job.pk} 2 78 2.0", f"alive {job.pk} 1 77 3.0")

    assert f"Attempts 1 and 2 of job {job.pk} ran at once." in audit(record=record)
    log_of(job).filter(to_status=Status.FAILED).update(message=LEASE_OVER)
    assert audit(record=record, at_rest=False) == []
