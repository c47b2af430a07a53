"""The tasks by which relatives are followed up: done late, again, or by somebody else."""

from __future__ import annotations

import pytest

from django_jobs import get_job_history
from django_jobs.models import DependencyTask
from tests.support import verbs
from tests.support.brokers import MemoryBroker, queue_up, reread
from tests.support.families import Submitter, complete, dead_family, is_ready, kill, statuses
from tests.support.verbs import Scheduler

pytestmark = pytest.mark.usefixtures("nothing_is_dispatched")


def test_a_parent_that_ends_before_it_knows_its_child_is_seen(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent)  # nobody has followed up yet
    complete(parent)
    assert not reread(parent).has_children
    verbs.follow_up()
    assert is_ready(child)


def test_a_parent_that_dies_before_it_knows_its_child_is_seen(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent)
    kill(parent)
    verbs.follow_up()
    assert statuses(child) == ["Dead Letter"]


def test_following_up_again_changes_nothing(submit: Submitter) -> None:
    root, child, _ = dead_family(submit)
    before = get_job_history(child)
    DependencyTask.objects.bulk_create([DependencyTask(job_id=job.pk) for job in (root, child, root)])
    assert verbs.follow_up() == 3
    assert get_job_history(child) == before


def test_nothing_to_follow_up_is_nothing_done() -> None:
    assert verbs.follow_up() == 0


def test_a_task_of_a_job_that_is_gone_is_done() -> None:
    DependencyTask.objects.create(job_id=10**9)
    assert verbs.follow_up() == 1
    assert not DependencyTask.objects.exists()


def test_what_a_dead_process_left_is_the_schedulers(submit: Submitter, broker: MemoryBroker) -> None:
    parent = submit()
    child = submit(parent)
    complete(parent)
    broker.is_down = False
    assert Scheduler("test").tick()["follow_up"] == 1
    assert not DependencyTask.objects.exists()
    assert statuses(child) == ["Queued"]


def test_a_child_that_runs_already_is_left_alone(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent)
    complete(parent)
    verbs.follow_up()
    queue_up(child)
    DependencyTask.objects.create(job_id=parent.pk)
    verbs.follow_up()
    assert statuses(child) == ["Queued"]
