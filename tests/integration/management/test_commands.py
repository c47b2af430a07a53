"""The commands that look at a running system and clean it up. Redis is real; workers are announced, not started."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import DatabaseError
from django.utils import timezone

from django_jobs import cancel_job, schedule_job, submit_job
from django_jobs.models import ExecutionLog, Job, Organization, Schedule
from tests.support import verbs
from tests.support.batches import make_batch
from tests.support.commands import DeadBroker, call, refusal, run
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import Interpose

pytestmark = pytest.mark.usefixtures("redis_broker")


@pytest.fixture
def organization() -> Organization:
    return make_organization(name="ORG-1")


def state() -> Any:
    """What the status tells programs."""
    return json.loads(run("jobs_status", "--json"))


def depth(priority: str) -> list[str]:
    """The numbers that the status tells people of a priority in the pool of all."""
    (row,) = [
        line.split() for line in run("jobs_status").splitlines() if line.startswith("  default") and priority in line
    ]
    return row[2:]


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
    assert 300 <= state()["oldest_waiting_seconds"] < 1_000


def test_the_status_shows_counts_depths_workers_and_the_scheduler(sound: None, organization: Organization) -> None:
    kind = make_job_type()
    overdue(submit_job(kind, organization, priority="Critical"))
    submit_job(kind, organization, run_at=timezone.now() + dt.timedelta(hours=1))
    ended(submit_job(kind, organization), days=1)
    facts = state()
    assert facts["unfinished"] == {"Pending": 2, "Queued": 0, "Running": 0, "Failed": 0, "Timed Out": 0}
    assert {name: item["count"] for name, item in facts["ended"].items()} == {
        "Completed": 1,
        "Canceled": 0,
        "Dead Letter": 0,
    }
    assert 3_600 <= facts["oldest_waiting_seconds"] < 5_000
    output = run("jobs_status")
    assert depth("Normal") == ["0", "1", "0", "0", "0"]
    assert depth("Critical") == ["1", "0", "0", "0", "0"]
    assert "scheduler-1" in output
    assert "worker-1" in output
    assert (facts["scheduler"]["holder"], facts["scheduler"]["is_alive"]) == ("scheduler-1", True)


def test_the_status_counts_tickets_and_queued_jobs(sound: None, organization: Organization) -> None:
    submit_job(make_job_type(), organization, priority="Low")
    verbs.dispatch()
    assert depth("Low")[:4] == ["0", "0", "1", "0"]


def test_the_status_of_an_empty_system_renders_without_a_broker() -> None:
    verbs.use_broker(DeadBroker())  # type: ignore[arg-type]
    assert run("jobs_status")
    facts = state()
    assert (facts["oldest_waiting_seconds"], facts["broker_answers"], facts["workers"]) == (None, False, [])
    assert facts["scheduler"] == {"holder": "", "is_alive": False, "seconds_since_tick": None}


def test_the_status_shows_batches_that_have_not_ended_the_oldest_first(organization: Organization) -> None:
    make_batch(organization, name="Ended")
    assert state()["batches"] == {"count": 0, "capped": False, "oldest": []}
    batches = [make_batch(organization, "Completed", "Completed", close=False, name="Invoices")]
    batches += [make_batch(organization, "Completed") for _ in range(5)]
    cancel_job(Job.objects.filter(batch=batches[0])[0])
    told = state()["batches"]
    assert (told["count"], [item["batch_id"] for item in told["oldest"]]) == (6, [row.batch_id for row in batches[:5]])
    first, second = told["oldest"][:2]
    assert (first["state"], first["progress"], first["total"], first["name"]) == ("Open", 50, 2, "Invoices")
    assert (second["state"], second["progress"], second["total"]) == ("Running", 0, 1)
    shown = run("jobs_status")
    assert [row.batch_id in shown for row in batches] == [*[True] * 5, False]


def test_the_status_shows_schedules_that_fire_next_and_that_cannot(organization: Organization) -> None:
    assert state()["schedules"] == {"count": 0, "paused": 0, "cannot_fire": 0, "faults": [], "next": []}
    kind = make_job_type()
    for name in ("a", "b", "c", "d", "e", "f", "g"):
        schedule_job(name, kind, every=3600)
    verbs.pause_schedule("a")
    Schedule.objects.filter(name="b").update(next_run_at=timezone.now() + dt.timedelta(seconds=90))
    Schedule.objects.filter(name__in="cdefg").update(next_run_at=dt.datetime(2100, 1, 2, 3, 4, tzinfo=dt.UTC))
    Schedule.objects.filter(name__in="bcdefg").update(fault="The type is gone.\nSo it is.")
    told = state()["schedules"]
    assert (told["count"], told["paused"], told["cannot_fire"], len(told["faults"])) == (7, 1, 6, 5)
    assert [item["name"] for item in told["next"][:2]] == ["b", "c"]
    output = run("jobs_status")
    assert "2100-01-02 03:04:00 UTC" in output
    assert (output.count("The type is gone.\n"), "So it is." in output) == (5, False)


def test_watching_repeats_until_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = iter([None, None])

    def pause(seconds: float) -> None:
        if next(pauses, KeyboardInterrupt) is KeyboardInterrupt:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", pause)
    assert run("jobs_status", "--watch").count("Critical") == 3


def test_watching_outlives_a_database_that_goes_away(interpose: Interpose) -> None:
    def fail() -> None:
        raise DatabaseError

    interpose("snapshot", fail)
    told = verbs.look_at_status()["error"]
    assert (told["code"], "DatabaseError" in told["message"]) == ("unavailable", True)


# --- jobs_prune


def test_pruning_deletes_what_ended_long_ago_with_logs_and_files(organization: Organization) -> None:
    kind = make_job_type()
    old = ended(submit_job(kind, organization), days=31)
    Job.objects.filter(pk=old.pk).update(attempt=1)
    young = ended(submit_job(kind, organization), days=29)
    waiting = submit_job(kind, organization)
    reference = verbs.save_output(organization.pk, old.name, "a.txt", b"x")
    assert "1" in run("jobs_prune")
    assert list(Job.objects.order_by("pk")) == [young, waiting]
    assert not ExecutionLog.objects.filter(job_id=old.pk).exists()
    assert not default_storage.exists(reference)


def test_pruning_takes_another_age(organization: Organization) -> None:
    kind = make_job_type()
    for days in (1, 3):
        ended(submit_job(kind, organization), days=days)
    assert call("jobs_prune", "--days", "2", "--json").facts["deleted"] == 1
    assert Job.objects.count() == 1


def test_erasing_an_organization_takes_its_ended_jobs_and_no_others(organization: Organization) -> None:
    kind, other = make_job_type(), make_organization(name="ORG-2")
    ended(submit_job(kind, organization), days=0)
    waiting = submit_job(kind, organization)
    theirs = ended(submit_job(kind, other), days=40)
    facts = call("jobs_prune", "--organization", "ORG-1", "--yes", "--json").facts
    assert (facts["deleted"], facts["others_stay"]) == (1, True)
    assert set(Job.objects.all()) == {waiting, theirs}


def test_erasing_works_for_an_organization_that_is_gone(organization: Organization) -> None:
    ended(submit_job(make_job_type(), organization), days=0)
    organization.delete()
    facts = call("jobs_prune", "--organization", "ORG-1", "--yes", "--json").facts
    assert (facts["deleted"], facts["others_stay"]) == (1, False)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--organization", "ORG-9"], "unknown_organization"),
        (["--days", "-1"], "out_of_range"),
        (["--days", "1e12"], "out_of_range"),
        (["--days", "nan"], "out_of_range"),
        (["--days", "soon"], ""),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], reason: str) -> None:
    assert refusal("jobs_prune", *arguments) == reason
