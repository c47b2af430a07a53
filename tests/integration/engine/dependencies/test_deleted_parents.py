"""A system admin deletes a job on which unfinished ones depend: they wait for it no longer, and cannot keep it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from django_jobs import get_job_status
from django_jobs.models import DependencyTask, Job
from tests.support import verbs
from tests.support.brokers import end, reread, returned, start
from tests.support.deletions import delete_jobs
from tests.support.families import Submitter
from tests.support.verbs import Pruner

pytestmark = pytest.mark.usefixtures("broker")


def complete(job: Job) -> Job:
    end(returned(start(job)))
    return reread(job)


def test_a_child_that_is_due_in_ten_years_keeps_no_parent(submit: Submitter) -> None:
    parent = complete(submit())
    child = submit(parent, run_at=verbs.now() + dt.timedelta(days=3650))
    assert delete_jobs([parent.pk], release_children=True) == 1
    assert get_job_status(child).depends_on == []


def test_a_child_goes_on_whose_parent_was_deleted_before_anybody_told_it(
    submit: Submitter, nothing_is_dispatched: None
) -> None:
    parent = submit()
    child = submit(parent)
    Job.objects.filter(pk=parent.pk).update(status="Completed", ready_at=None)
    DependencyTask.objects.all().delete()
    delete_jobs([parent.pk], release_children=True)
    verbs.follow_up()
    assert reread(child).ready_at


def test_a_child_waits_on_for_its_other_parents(submit: Submitter, nothing_is_dispatched: None) -> None:
    done, other = submit(), submit()
    child = submit(done, other)
    Job.objects.filter(pk=done.pk).update(status="Completed", ready_at=None)
    delete_jobs([done.pk], release_children=True)
    verbs.follow_up()
    assert (reread(child).ready_at, get_job_status(child).depends_on) == (None, [other.name])


@pytest.mark.parametrize("status", ["Canceled", "Dead Letter"])
def test_a_child_that_is_to_end_with_its_parent_is_told_first(
    status: str, submit: Submitter, nothing_is_dispatched: None
) -> None:
    parent = submit()
    child = submit(parent)
    Job.objects.filter(pk=parent.pk).update(status=status, ready_at=None)
    assert delete_jobs([parent.pk], release_children=True) == 0
    verbs.remind_relatives([child.pk])
    verbs.follow_up()
    assert reread(child).status == status
    assert delete_jobs([parent.pk], release_children=True) == 1


def test_retention_keeps_parents_of_unfinished_children(submit: Submitter) -> None:
    parent = complete(submit())
    submit(parent, run_at=verbs.now() + dt.timedelta(days=3650))
    past: Any = verbs.now() - dt.timedelta(days=100)
    Job.objects.filter(pk=parent.pk).update(created_at=past, completed_at=past)
    assert Pruner().prune(1e9) == 0
