"""A storage that takes its time: a tick does a part, and the next one goes on where it ended."""

from __future__ import annotations

import pytest

from django_jobs.models import FileDeletion, Job
from tests.support.brokers import job_in
from tests.support.clocks import Clock
from tests.support.tuning import Tuning
from tests.support.verbs import FileSweep, Interpose, Pruner

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def slow_storage(interpose: Interpose, tuning: Tuning) -> Clock:
    """Each job's files cost 0.2 seconds; the clock stands still between."""
    clock = Clock()

    def delete_all(_organization_pk: object, _job_id: str) -> int:
        clock.now += 0.2
        return 1

    tuning.set(file_deletions_clock=clock)
    interpose("delete_outputs", delete_all)
    return clock


def prune(count: int) -> None:
    """Delete so many ended jobs, whose files are left to the scheduler."""
    for _ in range(count):
        job_in("Completed")
    assert Pruner(days=0).prune(1e9) == count
    assert not Job.objects.exists()


def steps_of(sweep: FileSweep, seconds: float) -> list[int]:
    """How many jobs each step cleaned up after, until it came to the end."""
    counts = [sweep.step(seconds)]
    while not sweep.is_through:
        counts.append(sweep.step(seconds))
    return counts


@pytest.mark.parametrize("batch", [2, 200])
def test_a_tick_deletes_files_for_a_short_time_and_the_next_goes_on(
    slow_storage: Clock, tuning: Tuning, batch: int
) -> None:
    tuning.set(file_deletions_rows=batch)
    prune(8)
    assert [count for count in steps_of(FileSweep(), 0.5) if count] == [3, 3, 2]
    assert not FileDeletion.objects.exists()


def test_a_command_deletes_all_of_them(slow_storage: Clock) -> None:
    prune(8)
    assert steps_of(FileSweep(), 1e9) == [8]


def test_a_storage_that_hangs_costs_one_job_a_tick(slow_storage: Clock) -> None:
    prune(2)
    assert steps_of(FileSweep(), 0.1) == [1, 1]
