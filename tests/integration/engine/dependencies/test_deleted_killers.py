"""A dead parent is deleted: what died with it stays dead, whatever else happens, until somebody retries it by hand."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from django_jobs import cancel_job, retry_job
from django_jobs.models import DependencyTask, Job
from tests.support import verbs
from tests.support.brokers import end, raised, returned, start
from tests.support.deletions import delete_jobs
from tests.support.families import Submitter, complete, dead_family, is_ready, kill, run_after_ended, statuses
from tests.support.verbs import Pruner

pytestmark = pytest.mark.usefixtures("nothing_is_dispatched")


def by_hand(job: Job) -> None:
    assert delete_jobs([job.pk]) == 1


def with_its_children_released(job: Job) -> None:
    assert delete_jobs([job.pk], release_children=True) == 1


DELETIONS = pytest.mark.parametrize("delete", [by_hand, with_its_children_released])


@DELETIONS
def test_its_child_stays_dead_when_the_other_parent_completes(submit: Submitter, delete: Any) -> None:
    killer, other = submit(), submit()
    child = submit(killer, other)
    kill(killer)
    verbs.follow_up()
    delete(killer)
    complete(other)
    verbs.follow_up()
    assert statuses(child) == ["Dead Letter"]


@DELETIONS
def test_its_child_stays_dead_when_the_parent_that_killed_it_was_retried_and_canceled(
    submit: Submitter, delete: Any
) -> None:
    dead, canceled = submit(), submit()
    child = submit(dead, canceled)
    kill(dead)
    verbs.follow_up()
    cancel_job(canceled)
    delete(canceled)
    retry_job(dead)
    verbs.follow_up()
    complete(dead)
    verbs.follow_up()
    assert statuses(child) == ["Dead Letter"]


def test_retention_leaves_it_dead_too(submit: Submitter) -> None:
    killer, other = submit(), submit()
    child = submit(killer, other)
    kill(killer)
    verbs.follow_up()
    long_ago: Any = verbs.now() - dt.timedelta(days=100)
    Job.objects.filter(pk=killer.pk).update(created_at=long_ago, completed_at=long_ago)
    assert Pruner().prune(1e9) == 1
    complete(other)
    verbs.follow_up()
    assert statuses(child) == ["Dead Letter"]


def test_its_child_can_be_retried_by_hand_and_takes_its_own_children_along(submit: Submitter) -> None:
    root, child, grandchild = dead_family(submit)
    by_hand(root)
    verbs.follow_up()
    assert statuses(child, grandchild) == ["Dead Letter"] * 2
    retry_job(child)
    verbs.follow_up()
    assert (statuses(child, grandchild), is_ready(child)) == (["Pending"] * 2, True)


def test_a_grandchild_stays_dead_when_the_child_between_is_deleted(submit: Submitter) -> None:
    root, other = submit(), submit()
    child = submit(root)
    grandchild = submit(child, other)
    verbs.follow_up()
    kill(root)
    verbs.follow_up()
    by_hand(child)
    retry_job(root)
    complete(root, other)
    verbs.follow_up()
    assert statuses(grandchild) == ["Dead Letter"]


def test_of_two_dead_parents_the_deleted_one_counts_for_ever(submit: Submitter) -> None:
    first, second = submit(), submit()
    child = submit(first, second)
    kill(first, second)
    verbs.follow_up()
    by_hand(second)
    retry_job(first)
    verbs.follow_up()
    assert statuses(child) == ["Dead Letter"]
    retry_job(child)
    complete(first)
    verbs.follow_up()
    assert is_ready(child)


def test_a_parent_that_completed_may_go_and_the_retry_of_the_killer_revives_all_the_same(submit: Submitter) -> None:
    killer, done = submit(), submit()
    child = submit(killer, done)
    complete(done)
    kill(killer)
    verbs.follow_up()
    by_hand(done)
    retry_job(killer)
    verbs.follow_up()
    assert statuses(child) == ["Pending"]


def test_a_killer_that_was_retried_and_completed_and_deleted_before_anybody_looked_revives_its_child(
    submit: Submitter,
) -> None:
    killer = submit()
    child = submit(killer)
    kill(killer)
    verbs.follow_up()
    retry_job(killer)
    end(returned(start(killer)))
    by_hand(killer)
    verbs.follow_up()
    assert (statuses(child), is_ready(child)) == (["Pending"], True)
    assert not DependencyTask.objects.exists()


def test_a_child_that_needs_only_the_end_of_its_parents_runs_when_a_dead_one_is_deleted(submit: Submitter) -> None:
    dead, other = submit(), submit()
    child = run_after_ended(submit(dead, other))
    end(raised(start(dead), "Permanent"))
    verbs.follow_up()
    with_its_children_released(dead)
    complete(other)
    verbs.follow_up()
    assert is_ready(child)
