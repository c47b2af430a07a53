"""The clock of the database is set back by an hour: who died before does not count, and the problem has a name."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs.models import EngineLease, Job, Organization, Schedule, Worker
from tests.support import verbs
from tests.support.brokers import MemoryBroker, pending_job, running_job
from tests.support.schedules import make_schedule
from tests.support.verbs import Scheduler

HOUR = dt.timedelta(hours=1)


def ahead(seconds: float = 0) -> dt.datetime:
    """A moment that is still to come, although it has been: an hour ahead."""
    return verbs.now() + HOUR + dt.timedelta(seconds=seconds)


def test_a_leader_that_died_before_keeps_nobody_from_leading(broker: MemoryBroker) -> None:
    EngineLease.objects.create(name="scheduler", holder="dead", ticked_at=ahead(), expires_at=ahead(10))
    assert Scheduler("next").lead()


def test_a_leader_that_lives_leads_on(broker: MemoryBroker) -> None:
    assert Scheduler("one").lead()
    assert not Scheduler("two").lead()


def test_a_worker_that_died_before_is_not_counted_as_living(broker: MemoryBroker) -> None:
    verbs.announce_worker("living", ["jobs-normal"], slots=1)
    verbs.announce_worker("dead", ["jobs-normal"], slots=1)
    Worker.objects.filter(name="dead").update(last_seen=ahead())
    assert [worker.name for worker in verbs.live_workers()] == ["living"]


def clock_findings() -> list[dict[str, object]]:
    return [finding.facts for finding in verbs.examine() if finding.subject == "clock"]


@pytest.mark.usefixtures("broker")
def test_the_problem_is_named(organization: Organization) -> None:
    pending_job()
    running, _ = running_job()
    make_schedule(None, organization)
    assert clock_findings() == []
    Job.objects.filter(pk=running.pk).update(started_at=ahead())
    Schedule.objects.update(last_fired_at=ahead())
    assert clock_findings() == [{"created": 0, "running": 1, "fired": 1}]
    Job.objects.update(created_at=ahead(), started_at=None)
    Schedule.objects.update(last_fired_at=None)
    assert clock_findings() == [{"created": 2, "running": 0, "fired": 0}]
