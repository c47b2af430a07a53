"""Deleting from a storage that takes its time: a tick does a part, and the next one goes on where it ended."""

from __future__ import annotations

import pytest

from django_jobs.engine import outputs, replays, retention
from django_jobs.engine.retention import Pruner
from django_jobs.models import Job, Replay
from tests.support.brokers import job_in
from tests.support.factories import make_job_type, make_system_admin
from tests.support.replays import begin, dead, finish, later
from tests.support.ticks import Clock

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def slow_storage(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Each job's files cost 0.2 seconds; the clock stands still between."""
    clock = Clock()

    def delete_all(_organization_pk: object, _job_id: str) -> int:
        clock.now += 0.2
        return 1

    monkeypatch.setattr(retention, "time", clock)
    monkeypatch.setattr(replays, "time", clock)
    monkeypatch.setattr(outputs, "delete_all", delete_all)
    return clock


def make_ended(count: int) -> list[Job]:
    return [job_in("Completed") for _ in range(count)]


def test_a_tick_prunes_for_a_short_time_and_the_next_goes_on(slow_storage: Clock) -> None:
    make_ended(8)
    pruner = Pruner(days=0)
    counts = []
    while not pruner.is_through:
        counts.append(pruner.prune_batch(retention.TICK_SECONDS))
    assert counts == [3, 3, 2, 0]


def test_a_command_prunes_whole_batches(slow_storage: Clock) -> None:
    make_ended(8)
    assert Pruner(days=0).prune_batch() == 8


def test_a_storage_that_hangs_costs_one_job_a_tick(slow_storage: Clock) -> None:
    make_ended(2)
    pruner = Pruner(days=0)
    assert [pruner.prune_batch(0.1) for _ in range(3)] == [1, 1, 0]


def test_time_is_up_before_a_long_walk_past_those_that_stay_has_ended(
    slow_storage: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 1)
    for _ in range(2):
        job_in("Pending")
    pruner = Pruner(days=0)
    assert (pruner.prune_batch(0.0), pruner.is_through) == (0, False)
    assert [pruner.prune_batch(0.0), pruner.prune_batch(0.0)] == [0, 0]
    assert pruner.is_through


def test_a_replay_deletes_for_a_short_time_and_the_next_tick_goes_on(slow_storage: Clock) -> None:
    replay = begin(dead(make_job_type(), 8)[0], make_system_admin("root"), verb="delete")
    later(replay, 10)
    assert replays.work_off() == 3
    assert Replay.objects.get().state == Replay.State.RUNNING
    row = finish(replay)
    assert (row.state, row.changed, row.refused) == ("done", 8, {})
    assert not Job.objects.exists()


def test_replays_share_the_time_of_a_tick_and_take_turns(slow_storage: Clock) -> None:
    root = make_system_admin("root")
    for _ in range(2):
        later(begin(dead(make_job_type(), 4)[0], root, verb="delete"), 10)
    assert [replays.work_off(), replays.work_off()] == [3, 3]
    assert list(Replay.objects.values_list("changed", flat=True)) == [3, 3]
