"""The alarms that jobs wait: a pool without workers, a queue that nobody takes from."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from django_jobs.models import Job, JobType, Organization, Worker
from tests.support import verbs
from tests.support.alerts import evaluate, let_pass, only, the_alarm
from tests.support.commands import QUEUES
from tests.support.factories import make_job_type
from tests.support.monitor import count
from tests.support.neglect import neglect, run_one
from tests.support.tuning import Tuning


@pytest.fixture
def workers(broker: object) -> None:
    """Four free slots of the default pool."""
    verbs.announce_worker("worker-1", QUEUES, slots=4)


def choose(settings: Any, rule: str, **thresholds: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **only(rule, **thresholds)}


def test_jobs_without_a_worker_are_told_with_their_pool(
    settings: Any, kind: JobType, organization: Organization
) -> None:
    choose(settings, "no_worker")
    neglect(kind, organization, 3)
    alert = the_alarm()
    assert (alert.rule, alert.subject, alert.facts["waiting"]) == ("no_worker", "default", 3)


def test_jobs_that_wait_for_a_moment_only_are_not_told(
    settings: Any, kind: JobType, organization: Organization
) -> None:
    choose(settings, "no_worker")
    Job.objects.filter(pk=neglect(kind, organization)[0].pk).update(ready_at=dt.datetime.now(dt.UTC))
    assert evaluate() == []


def test_jobs_with_a_live_worker_have_one(
    settings: Any, workers: None, kind: JobType, organization: Organization
) -> None:
    choose(settings, "no_worker")
    neglect(kind, organization)
    assert evaluate() == []


def test_jobs_whose_workers_are_all_quiet_are_told(
    settings: Any, workers: None, kind: JobType, organization: Organization
) -> None:
    choose(settings, "no_worker")
    Worker.objects.update(quiet_since=timezone.now())
    neglect(kind, organization)
    assert the_alarm().subject == "default"


@pytest.mark.parametrize("field", [{"is_paused": True}, {"is_enabled": False}])
def test_jobs_of_a_type_that_is_held_need_no_worker(
    settings: Any, kind: JobType, organization: Organization, field: dict[str, bool]
) -> None:
    choose(settings, "no_worker")
    neglect(kind, organization)
    JobType.objects.filter(pk=kind.pk).update(**field)
    assert evaluate() == []


def test_a_pool_that_is_not_configured_is_told(settings: Any, workers: None, organization: Organization) -> None:
    choose(settings, "no_worker")
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    kind = make_job_type(pool="gpu")
    neglect(kind, organization)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {}}
    alert = the_alarm()
    assert (alert.subject, alert.facts["code"]) == ("gpu", "unknown_pool")


def test_jobs_that_nothing_holds_are_told(
    settings: Any, workers: None, kind: JobType, organization: Organization
) -> None:
    choose(settings, "queue_waiting")
    neglect(kind, organization, 2)
    alert = the_alarm()
    assert alert.subject == "default/Normal"
    assert (alert.facts["waiting"], alert.facts["free"], alert.facts["slots"]) == (2, 4, 4)


@pytest.mark.parametrize("fields", [{"max_running": 1}, {"max_starts": 1}, {"is_paused": True}])
def test_jobs_that_a_limit_a_rate_or_a_pause_holds_are_not_told(
    settings: Any, workers: None, organization: Organization, fields: dict[str, Any]
) -> None:
    choose(settings, "queue_waiting")
    kind = make_job_type(**{name: value for name, value in fields.items() if name != "is_paused"})
    run_one(kind, organization)
    neglect(kind, organization)
    JobType.objects.filter(pk=kind.pk).update(**fields)
    assert evaluate() == []


def test_jobs_that_were_not_due_for_so_long_are_not_told(
    settings: Any, workers: None, kind: JobType, organization: Organization
) -> None:
    choose(settings, "queue_waiting", seconds=7_200)
    neglect(kind, organization)
    assert evaluate() == []


def test_jobs_of_a_type_that_goes_on_are_not_told(
    settings: Any, workers: None, kind: JobType, organization: Organization
) -> None:
    choose(settings, "queue_waiting")
    neglect(kind, organization, 2)
    count(kind, organization, ago=60, started=1)
    assert evaluate() == []


def test_nothing_is_told_while_it_is_not_counted_what_goes_on(
    settings: Any, tuning: Tuning, workers: None, kind: JobType, organization: Organization
) -> None:
    choose(settings, "queue_waiting")
    tuning.set(rollup_rows=0)
    neglect(kind, organization)
    assert evaluate() == []


def keep_busy(kind: JobType, organization: Organization) -> None:
    """Let all four slots be busy with jobs of another type."""
    for _ in range(4):
        run_one(kind, organization)


def test_jobs_behind_busy_workers_are_told_once_none_of_their_type_started_for_long(
    settings: Any, workers: None, kind: JobType, organization: Organization
) -> None:
    choose(settings, "queue_waiting", busy_seconds=1_800)
    keep_busy(make_job_type(), organization)
    neglect(kind, organization, 2)
    alert = the_alarm()
    assert (alert.facts["waiting"], alert.facts["free"], alert.facts["slots"]) == (2, 0, 4)
    count(kind, organization, ago=60, started=1)
    let_pass()
    assert evaluate() == []


def test_jobs_that_wait_behind_busy_workers_for_a_while_are_not_told(
    settings: Any, workers: None, kind: JobType, organization: Organization
) -> None:
    choose(settings, "queue_waiting", busy_seconds=7_200)
    keep_busy(make_job_type(), organization)
    neglect(kind, organization)
    assert evaluate() == []


def test_a_pool_without_workers_is_told_once(settings: Any, kind: JobType, organization: Organization) -> None:
    rules = {**only("no_worker")["ALERTS"], "queue_waiting": {}}
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ALERTS": rules}
    neglect(kind, organization)
    assert [alert.rule for alert in evaluate()] == ["no_worker"]
