"""Parents and children: who waits, for whom, and when it starts."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from django_jobs import cancel_job, get_job_status, submit_job, submit_jobs
from django_jobs.engine import database, dispatch
from django_jobs.engine.dependencies import follow_up
from django_jobs.engine.history import get_job_history
from django_jobs.engine.scheduler import Scheduler
from django_jobs.models import DependencyTask, Job, JobDependency, JobType, Organization
from tests.support.brokers import MemoryBroker, end, queue_up, raised, reread, returned, start
from tests.support.factories import make_job_type, make_organization
from tests.support.families import Submitter, complete, dead_family, is_ready, kill, statuses

TOMORROW = dt.datetime(2100, 1, 1, 12, 0, tzinfo=dt.UTC)

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture(autouse=True)
def _nothing_is_dispatched(broker: MemoryBroker) -> None:
    """So that what may start is ready, and stays Pending."""
    broker.is_down = True


@pytest.fixture
def submit() -> Submitter:
    return Submitter(make_job_type(), make_organization())


def test_a_child_waits_for_its_parent(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent)
    follow_up()
    status = get_job_status(child)
    assert (status.status, status.waiting_for, status.depends_on) == ("Pending", "dependency", [parent.name])
    assert not is_ready(child)


def test_a_child_that_waits_is_never_dispatched(submit: Submitter, broker: MemoryBroker) -> None:
    parent = submit()
    submit(parent)
    follow_up()
    broker.is_down = False
    dispatch.wake()
    assert broker.pks() == [parent.pk]


@pytest.fixture
def kind(submit: Submitter) -> JobType:
    return submit.kind


@pytest.fixture
def organization(submit: Submitter) -> Organization:
    return submit.organization


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
    follow_up()
    complete(parent)
    follow_up()
    assert get_job_status(child).waiting_for == "window"
    assert is_ready(child)


def test_a_child_starts_with_the_commit_of_its_parents_end(
    submit: Submitter, broker: MemoryBroker, django_capture_on_commit_callbacks: Any
) -> None:
    parent = submit()
    child = submit(parent)
    follow_up()
    claimed = start(parent)
    broker.is_down = False
    with django_capture_on_commit_callbacks(execute=True):
        end(returned(claimed))
    assert broker.pks() == [child.pk]
    assert statuses(child) == ["Queued"]


def test_a_child_dies_with_the_commit_of_its_parents_end(
    submit: Submitter, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        parent = submit()
        child = submit(parent)
        grandchild = submit(child)
    with django_capture_on_commit_callbacks(execute=True):
        cancel_job(parent)
    assert statuses(child, grandchild) == ["Dead Letter"] * 2


def test_a_child_starts_with_the_last_of_its_parents(submit: Submitter) -> None:
    first, second, third = submit(), submit(), submit()
    child = submit(first, second, third)
    complete(third, first)
    follow_up()
    assert not is_ready(child)
    complete(second)
    follow_up()
    assert is_ready(child)


def test_parents_of_one_set_release_their_child_together(submit: Submitter) -> None:
    parents = [submit(), submit()]
    child = submit(*parents)
    follow_up()
    complete(*parents)
    follow_up()
    assert is_ready(child)


def test_a_parent_that_has_completed_already_holds_nobody_up(submit: Submitter) -> None:
    parent = submit()
    complete(parent)
    child = submit(parent)
    follow_up()
    assert is_ready(child)


def test_a_parent_that_ends_before_it_knows_its_child_is_seen(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent)  # nobody has followed up yet
    complete(parent)
    assert not reread(parent).has_children
    follow_up()
    assert is_ready(child)


def test_a_parent_that_dies_before_it_knows_its_child_is_seen(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent)
    kill(parent)
    follow_up()
    assert statuses(child) == ["Dead Letter"]


def test_a_child_waits_for_its_moment_too(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent, run_at=TOMORROW)
    assert get_job_status(child).waiting_for == "dependency"
    complete(parent)
    follow_up()
    assert (reread(child).ready_at, get_job_status(child).waiting_for) == (TOMORROW, "run_at")


def test_a_moment_that_has_passed_makes_no_child_older_than_its_parents_end(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent, run_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    before = database.now()
    complete(parent)
    follow_up()
    ready_at = reread(child).ready_at
    assert ready_at is not None
    assert ready_at >= before


def test_a_parent_that_fails_for_now_lets_its_child_wait(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent)
    follow_up()
    end(raised(start(parent)))
    follow_up()
    assert get_job_status(child).waiting_for == "dependency"


def test_a_parent_named_twice_is_one_parent(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent, parent.name, parent)
    assert JobDependency.objects.filter(child=child).count() == 1
    complete(parent)
    follow_up()
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
    follow_up()
    assert is_ready(child)


def test_following_up_again_changes_nothing(submit: Submitter) -> None:
    root, child, _ = dead_family(submit)
    before = get_job_history(child)
    DependencyTask.objects.bulk_create([DependencyTask(job_id=job.pk) for job in (root, child, root)])
    assert follow_up() == 3
    assert get_job_history(child) == before


def test_nothing_to_follow_up_is_nothing_done() -> None:
    assert follow_up() == 0


def test_a_task_of_a_job_that_is_gone_is_done() -> None:
    DependencyTask.objects.create(job_id=10**9)
    assert follow_up() == 1
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
    follow_up()
    queue_up(child)
    DependencyTask.objects.create(job_id=parent.pk)
    follow_up()
    assert statuses(child) == ["Queued"]
