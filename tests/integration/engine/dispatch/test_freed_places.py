"""Passes in place of jobs that ended, made by one worker for all."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs import AccessPolicy
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import Job, JobType
from tests.support import verbs
from tests.support.brokers import MemoryBroker, end, pending_job, returned, running_job
from tests.support.factories import make_job_type
from tests.support.verbs import Interpose


@pytest.fixture
def kind() -> JobType:
    return make_job_type(max_running=1)


@pytest.fixture
def waiting(broker: MemoryBroker, kind: JobType) -> Job:
    """A job that waits behind one of its type that has just ended, of which no pass knows."""
    _, claimed = running_job(job_type=kind)
    broker.is_down = True
    job = pending_job(kind)
    end(returned(claimed))
    broker.is_down = False
    return job


def is_queued(job: Job) -> bool:
    return Job.objects.get(pk=job.pk).status == "Queued"


def test_an_end_lets_the_next_one_go(broker: MemoryBroker, waiting: Job) -> None:
    assert not verbs.dispatch_freed(has_ended=True)
    assert is_queued(waiting)
    assert broker.leader is None


class Own(AccessPolicy):
    """Is asked about each organization before its jobs start."""

    def is_active(self, organization: Any) -> bool:
        return super().is_active(organization)


def test_who_leads_makes_another_pass_for_organizations_that_the_policy_was_asked_about_meanwhile(
    waiting: Job, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.Own"}
    verbs.dispatch_freed(has_ended=True)
    assert is_queued(waiting)


def test_who_finds_another_leader_rings_and_leaves(broker: MemoryBroker, waiting: Job) -> None:
    broker.lead("another", 60, rings=False)
    before = broker.rings
    assert not verbs.dispatch_freed(has_ended=True)
    assert (broker.rings, is_queued(waiting)) == (before + 1, False)


def test_who_rings_just_before_the_leader_gives_up_its_lead_is_served(
    broker: MemoryBroker, waiting: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: list[Job] = []

    def leave(leader: str) -> None:
        if not late:
            broker.is_down = True
            late.append(pending_job())
            broker.is_down = False
            assert not broker.lead("another", 60, rings=True)
        MemoryBroker.stop_leading(broker, leader)

    monkeypatch.setattr(broker, "stop_leading", leave)
    assert not verbs.dispatch_freed(has_ended=True)
    assert is_queued(waiting)
    assert is_queued(late[0])


def test_the_lead_of_a_leader_that_died_runs_out(broker: MemoryBroker, waiting: Job) -> None:
    broker.lead("a dead one", 0.0, rings=False)
    verbs.dispatch_freed(has_ended=False)
    assert is_queued(waiting)


def test_where_another_has_the_lock_for_too_long_it_is_called_again(
    broker: MemoryBroker, waiting: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pass may have begun before the end was stored."""
    with monkeypatch.context() as patch:
        Interpose(patch)("fill_window", lambda _seconds: None)
        assert verbs.dispatch_freed(has_ended=True)
    assert broker.leader is None
    assert not verbs.dispatch_freed(has_ended=False)
    assert is_queued(waiting)


def test_a_broker_that_fails_in_its_midst_loses_no_job(
    broker: MemoryBroker, waiting: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def push_in_vain(*_: Any, **__: Any) -> None:
        broker.is_down = True
        broker.reach()

    with monkeypatch.context() as patch:
        patch.setattr(broker, "push", push_in_vain)
        with pytest.raises(BrokerUnavailable):
            verbs.dispatch_freed(has_ended=True)
    assert Job.objects.get(pk=waiting.pk).status == "Pending"
    broker.is_down, broker.leader = False, None
    verbs.dispatch()
    assert is_queued(waiting)
