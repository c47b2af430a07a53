"""Parents and children: who waits, for whom, and when it starts."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from django_jobs import cancel_job, get_job_status, submit_job, submit_jobs
from django_jobs.models import DependencyTask, Job, JobDependency, JobType, Organization
from tests.support import verbs
from tests.support.brokers import MemoryBroker, end, raised, reread, returned, start
from tests.support.families import Submitter, complete, is_ready, statuses

TOMORROW = dt.datetime(2100, 1, 1, 12, 0, tzinfo=dt.UTC)

pytestmark = pytest.mark.usefixtures("nothing_is_dispatched")


def test_a_child_waits_for_its_parent(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent)
    verbs.follow_up()
    status = get_job_status(child)
    assert (status.status, status.waiting_for, status.depends_on) == ("Pending", "dependency", [parent.name])
    assert not is_ready(child)


def test_a_child_that_waits_is_never_dispatched(submit: Submitter, broker: MemoryBroker) -> None:
    parent = submit()
    submit(parent)
    verbs.follow_up()
    broker.is_down = False
    verbs.wake()
    assert broker.pks() == [parent.pk]


@pytest.mark.parametrize(
    "given",
    [lambda job: job, lambda job: job.name, lambda job: [job.name], lambda job: (job,)],
    ids=["job", "id", "list of ids", "tuple of jobs"],
)
def test_a_parent_may_be_given_as_job_or_id(
    submit: Submitter, kind: JobType, organization: Organization, given: Any
) -> None:
    parent = submit()
    child = submit_job(kind, organization, depends_on=given(parent))
    assert list(child.depends_on.all()) == [parent]


def test_parents_may_come_as_a_queryset(submit: Submitter, kind: JobType, organization: Organization) -> None:
    parents = [submit(), submit()]
    child = submit_job(kind, organization, depends_on=Job.objects.all())
    assert set(child.depends_on.all()) == set(parents)


@pytest.mark.parametrize("nothing", [None, [], "", ()])
def test_a_job_without_parents_is_ready_at_once(kind: JobType, organization: Organization, nothing: Any) -> None:
    assert is_ready(submit_job(kind, organization, depends_on=nothing))
    assert not DependencyTask.objects.exists()


def test_a_child_starts_when_its_parent_completes(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent)
    verbs.follow_up()
    complete(parent)
    verbs.follow_up()
    assert get_job_status(child).waiting_for == "window"
    assert is_ready(child)


def test_a_child_starts_with_the_commit_of_its_parents_end(
    submit: Submitter, broker: MemoryBroker, django_capture_on_commit_callbacks: Any
) -> None:
    parent = submit()
    child = submit(parent)
    verbs.follow_up()
    claimed = start(parent)
    broker.is_down = False
    with django_capture_on_commit_callbacks(execute=True):
        end(returned(claimed))
    assert broker.pks() == [child.pk]
    assert statuses(child) == ["Queued"]


def test_a_child_is_canceled_with_the_commit_of_its_parents_cancel(
    submit: Submitter, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        parent = submit()
        child = submit(parent)
        grandchild = submit(child)
    with django_capture_on_commit_callbacks(execute=True):
        cancel_job(parent)
    assert statuses(child, grandchild) == ["Canceled"] * 2


def test_a_child_starts_with_the_last_of_its_parents(submit: Submitter) -> None:
    first, second, third = submit(), submit(), submit()
    child = submit(first, second, third)
    complete(third, first)
    verbs.follow_up()
    assert not is_ready(child)
    complete(second)
    verbs.follow_up()
    assert is_ready(child)


def test_parents_of_one_set_release_their_child_together(submit: Submitter) -> None:
    parents = [submit(), submit()]
    child = submit(*parents)
    verbs.follow_up()
    complete(*parents)
    verbs.follow_up()
    assert is_ready(child)


def test_a_parent_that_has_completed_already_holds_nobody_up(submit: Submitter) -> None:
    parent = submit()
    complete(parent)
    child = submit(parent)
    verbs.follow_up()
    assert is_ready(child)


def test_a_child_waits_for_its_moment_too(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent, run_at=TOMORROW)
    assert get_job_status(child).waiting_for == "dependency"
    complete(parent)
    verbs.follow_up()
    assert (reread(child).ready_at, get_job_status(child).waiting_for) == (TOMORROW, "run_at")


def test_a_moment_that_has_passed_makes_no_child_older_than_its_parents_end(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent, run_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    before = verbs.now()
    complete(parent)
    verbs.follow_up()
    ready_at = reread(child).ready_at
    assert ready_at is not None
    assert ready_at >= before


def test_a_parent_that_fails_for_now_lets_its_child_wait(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent)
    verbs.follow_up()
    end(raised(start(parent)))
    verbs.follow_up()
    assert get_job_status(child).waiting_for == "dependency"


def test_a_parent_named_twice_is_one_parent(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent, parent.name, parent)
    assert JobDependency.objects.filter(child=child).count() == 1
    complete(parent)
    verbs.follow_up()
    assert is_ready(child)


def test_children_of_many_submissions_at_once_wait_too(
    submit: Submitter, kind: JobType, organization: Organization
) -> None:
    parent = submit()
    free, child = submit_jobs(
        [
            {"job_type": kind, "organization": organization},
            {"job_type": kind, "organization": organization, "depends_on": [parent.name]},
        ]
    )
    assert (is_ready(free), is_ready(child)) == (True, False)
    complete(parent)
    verbs.follow_up()
    assert is_ready(child)
