"""The commands that look at a running system and clean it up. Redis is real; workers are announced, not started."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError
from django.db import DatabaseError
from django.utils import timezone

from django_jobs import cancel_job, schedule_job, submit_job
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.execution import outputs
from django_jobs.engine.ports import use_broker
from django_jobs.engine.schedules.definitions import pause_schedule
from django_jobs.management.commands import jobs_status
from django_jobs.models import ExecutionLog, Job, Organization, Schedule
from tests.support.batches import make_batch
from tests.support.commands import DeadBroker, run
from tests.support.factories import make_job_type, make_organization
from tests.support.statements import statements_of

pytestmark = pytest.mark.usefixtures("redis_broker")


@pytest.fixture
def organization() -> Organization:
    return make_organization(name="ORG-1")


def ended(job: Job, days: float) -> Job:
    moment = timezone.now() - dt.timedelta(days=days)
    Job.objects.filter(pk=job.pk).update(status="Completed", ready_at=None, created_at=moment, completed_at=moment)
    return Job.objects.get(pk=job.pk)


def overdue(job: Job) -> Job:
    Job.objects.filter(pk=job.pk).update(ready_at=timezone.now() - dt.timedelta(hours=1))
    return job


# --- jobs_status


def test_what_runs_waits_no_longer(organization: Organization) -> None:
    for status, minutes in (("Queued", 5), ("Running", 90)):
        job = submit_job(make_job_type(), organization)
        queued_at = timezone.now() - dt.timedelta(minutes=minutes)
        Job.objects.filter(pk=job.pk).update(status=status, ready_at=None, queued_at=queued_at)
    [seconds] = re.findall(r"Oldest wait  (\d+)", run("jobs_status"))
    assert 300 <= int(seconds) < 1_000


def test_the_status_shows_counts_depths_workers_and_the_scheduler(sound: None, organization: Organization) -> None:
    kind = make_job_type()
    overdue(submit_job(kind, organization, priority="Critical"))
    submit_job(kind, organization, run_at=timezone.now() + dt.timedelta(hours=1))
    ended(submit_job(kind, organization), days=1)
    output = run("jobs_status")
    assert "Unfinished   Pending 2   Queued 0   Running 0   Failed 0   Timed Out 0" in output
    assert "Ended        Completed 1   Canceled 0   Dead Letter 0" in output
    [seconds] = re.findall(r"Oldest wait  (\d+)", output)
    assert 3_600 <= int(seconds) < 5_000
    rows = {
        line.split()[0]: line.split()[1:] for line in output.splitlines() if line[:6].strip() in {"Critic", "Normal"}
    }
    assert rows["Normal"] == ["0", "1", "0", "0", "0"]
    assert "Critical             1         0         0         0         0" in output
    assert "scheduler-1 leads" in output
    assert "worker-1" in output


def test_the_status_counts_tickets_and_queued_jobs(sound: None, organization: Organization) -> None:
    submit_job(make_job_type(), organization, priority="Low")
    dispatcher.dispatch()
    assert "Low                  0         0         1         0" in run("jobs_status")


def test_the_status_of_an_empty_system_renders_without_a_broker() -> None:
    use_broker(DeadBroker())  # type: ignore[arg-type]
    output = run("jobs_status")
    assert "nothing waits" in output
    assert "none IS NOT ALIVE, last tick never" in output
    assert "The broker does not answer" in output


def test_the_status_shows_batches_that_have_not_ended_the_oldest_first(organization: Organization) -> None:
    assert "Batches" not in run("jobs_status")
    make_batch(organization, name="Ended")
    batches = [make_batch(organization, "Completed", "Completed", close=False, name="Invoices")]
    batches += [make_batch(organization, "Completed") for _ in range(5)]
    cancel_job(Job.objects.filter(batch=batches[0])[0])
    lines = run("jobs_status").splitlines()
    at = lines.index("Batches      open or running 6")
    assert lines[at + 1].split() == [batches[0].batch_id, "Open", "50", "%", "1", "of", "2", "Invoices"]
    assert lines[at + 2].split() == [batches[1].batch_id, "Running", "0", "%", "0", "of", "1"]
    assert lines[at + 6] == "  and 1 more"


def test_the_status_costs_the_same_however_many_batches_there_are(organization: Organization) -> None:
    make_batch(organization, "Completed")
    run("jobs_status")  # which asks what later ones remember
    few = statements_of(lambda: run("jobs_status"))
    for _ in range(4):
        make_batch(organization, "Completed")
    assert statements_of(lambda: run("jobs_status")) == few


def test_the_status_shows_schedules_that_fire_next_and_that_cannot(organization: Organization) -> None:
    assert "Schedules" not in run("jobs_status")
    kind = make_job_type()
    for name in ("a", "b", "c", "d", "e", "f", "g"):
        schedule_job(name, kind, every=3600)
    pause_schedule("a")
    Schedule.objects.filter(name="b").update(next_run_at=timezone.now() + dt.timedelta(seconds=90))
    Schedule.objects.filter(name__in="cdefg").update(next_run_at=dt.datetime(2100, 1, 2, 3, 4, tzinfo=dt.UTC))
    Schedule.objects.filter(name__in="bcdefg").update(fault="The type is gone.\nSo it is.")
    output = run("jobs_status")
    assert "Schedules    7, 1 paused; next: b in " in output
    assert "c 2100-01-02 03:04 UTC" in output
    assert output.count("CANNOT FIRE: The type is gone.\n") == 5
    assert "  and 1 more that cannot\n" in output
    theirs = schedule_job("b", kind, organization, every=60)
    assert f"next: b #{theirs.pk} in " in run("jobs_status")


def test_watching_repeats_until_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = iter([None, None])

    def pause(seconds: float) -> None:
        if next(pauses, KeyboardInterrupt) is KeyboardInterrupt:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", pause)
    assert run("jobs_status", "--watch").count("Oldest wait") == 3


def test_watching_outlives_a_database_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise DatabaseError

    monkeypatch.setattr(jobs_status, "snapshot", fail)
    assert jobs_status.look() == "The database cannot be read (DatabaseError)."


# --- jobs_prune


def test_pruning_deletes_what_ended_long_ago_with_logs_and_files(organization: Organization) -> None:
    kind = make_job_type()
    old = ended(submit_job(kind, organization), days=31)
    Job.objects.filter(pk=old.pk).update(attempt=1)
    young = ended(submit_job(kind, organization), days=29)
    waiting = submit_job(kind, organization)
    reference = outputs.save(organization.pk, old.name, "a.txt", b"x")
    assert run("jobs_prune") == "1 jobs deleted.\n"
    assert list(Job.objects.order_by("pk")) == [young, waiting]
    assert not ExecutionLog.objects.filter(job_id=old.pk).exists()
    assert not default_storage.exists(reference)


def test_pruning_takes_another_age(organization: Organization) -> None:
    kind = make_job_type()
    for days in (1, 3):
        ended(submit_job(kind, organization), days=days)
    assert run("jobs_prune", "--days", "2") == "1 jobs deleted.\n"


def test_erasing_an_organization_takes_its_ended_jobs_and_no_others(organization: Organization) -> None:
    kind, other = make_job_type(), make_organization(name="ORG-2")
    ended(submit_job(kind, organization), days=0)
    waiting = submit_job(kind, organization)
    theirs = ended(submit_job(kind, other), days=40)
    output = run("jobs_prune", "--organization", "ORG-1", "--yes")
    assert "1 jobs deleted." in output
    assert "The others stay" in output
    assert set(Job.objects.all()) == {waiting, theirs}


def test_erasing_works_for_an_organization_that_is_gone(organization: Organization) -> None:
    ended(submit_job(make_job_type(), organization), days=0)
    organization.delete()
    assert run("jobs_prune", "--organization", "ORG-1", "--yes").endswith("\n1 jobs deleted.\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--organization", "ORG-9"], "There is no organization 'ORG-9'"),
        (["--days", "-1"], "--days must be between"),
        (["--days", "1e12"], "--days must be between"),
        (["--days", "nan"], "--days must be between"),
        (["--days", "soon"], "invalid float value"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        run("jobs_prune", *arguments)
