"""Families in which somebody ended without completing: who dies with whom, and who lives again."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs import cancel_job, get_job_history, get_job_status, retry_job
from django_jobs.exceptions import InvalidTransition
from django_jobs.models import DependencyTask, Job
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.brokers import end, raised, reread, start
from tests.support.families import Submitter, complete, dead_family, is_ready, kill, statuses

pytestmark = pytest.mark.usefixtures("nothing_is_dispatched")


def test_a_parent_that_dies_takes_its_child_along(submit: Submitter, reasons: Reasons) -> None:
    parent = submit()
    child = submit(parent)
    verbs.follow_up()
    kill(parent)
    verbs.follow_up()
    child = reread(child)
    assert (child.status, child.error_type, parent.name in child.error_message) == ("Dead Letter", "Permanent", True)
    assert (child.completed_at is not None, child.ready_at, child.is_orphaned) == (True, None, True)
    assert reasons(child) == ["parent_ended"]
    last = get_job_history(child)[-1]
    assert (last["from_status"], last["to_status"], last["actor"], last["message"]) == (
        "Pending",
        "Dead Letter",
        "system",
        child.error_message,
    )


def test_each_descendant_names_its_own_parent(submit: Submitter) -> None:
    root, child, grandchild = dead_family(submit)
    for job, parent, other in ((child, root, child), (grandchild, child, root)):
        text = reread(job).error_message
        assert (parent.name in text, other.name in text) == (True, False)


def test_one_dead_parent_of_several_is_enough(submit: Submitter) -> None:
    alive, dead = submit(), submit()
    child = submit(alive, dead)
    verbs.follow_up()
    kill(dead)
    verbs.follow_up()
    text = reread(child).error_message
    assert (dead.name in text, alive.name in text) == (True, False)
    complete(alive)
    verbs.follow_up()
    assert statuses(child) == ["Dead Letter"]


@pytest.mark.slow
def test_a_chain_of_300_descendants_dies_without_recursion(submit: Submitter) -> None:
    jobs = [submit()]
    for _ in range(300):
        jobs.append(submit(jobs[-1]))
    verbs.follow_up()
    kill(jobs[0])
    verbs.follow_up()
    assert Job.objects.filter(status="Dead Letter", is_orphaned=True).count() == 300
    assert not DependencyTask.objects.exists()


def test_retrying_a_parent_revives_all_that_died_with_it(submit: Submitter) -> None:
    root, child, grandchild = dead_family(submit)
    retry_job(root)
    verbs.follow_up()
    assert statuses(root, child, grandchild) == ["Pending"] * 3
    assert [get_job_status(job).waiting_for for job in (child, grandchild)] == ["dependency"] * 2
    revived = reread(child)
    assert (revived.error_message, revived.error_type, revived.completed_at) == ("", "", None)
    assert not revived.is_orphaned


def test_what_was_revived_runs_when_its_parents_complete(submit: Submitter) -> None:
    root, child, grandchild = dead_family(submit)
    retry_job(root)
    verbs.follow_up()
    complete(root)
    verbs.follow_up()
    complete(child)
    verbs.follow_up()
    assert is_ready(grandchild)


def test_what_was_revived_dies_again_with_its_parent(submit: Submitter) -> None:
    root, child, grandchild = dead_family(submit)
    retry_job(root)
    verbs.follow_up()
    kill(root)
    verbs.follow_up()
    assert statuses(child, grandchild) == ["Dead Letter"] * 2


def test_a_descendant_with_another_dead_parent_stays_until_that_one_is_retried(submit: Submitter) -> None:
    first, second = submit(), submit()
    child = submit(first, second)
    grandchild = submit(child)
    verbs.follow_up()
    kill(first, second)
    verbs.follow_up()
    retry_job(first)
    verbs.follow_up()
    assert statuses(child, grandchild) == ["Dead Letter"] * 2
    retry_job(second)
    verbs.follow_up()
    assert statuses(child, grandchild) == ["Pending"] * 2


def test_a_descendant_whose_other_parent_has_completed_lives_again(submit: Submitter) -> None:
    done, dead = submit(), submit()
    child = submit(done, dead)
    verbs.follow_up()
    complete(done)
    kill(dead)
    verbs.follow_up()
    retry_job(dead)
    verbs.follow_up()
    assert get_job_status(child).waiting_for == "dependency"
    complete(dead)
    verbs.follow_up()
    assert is_ready(child)


def test_a_canceled_child_stays_canceled_when_its_parent_is_retried(submit: Submitter) -> None:
    root = submit()
    child = submit(root)
    grandchild = submit(child)
    verbs.follow_up()
    cancel_job(child)
    kill(root)
    verbs.follow_up()
    retry_job(root)
    verbs.follow_up()
    assert statuses(child, grandchild) == ["Canceled", "Canceled"]


def test_a_child_that_died_of_its_own_stays_dead_when_somebody_follows_up(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent)
    complete(parent)
    verbs.follow_up()
    kill(child)
    DependencyTask.objects.create(job_id=parent.pk)
    verbs.follow_up()
    assert statuses(child) == ["Dead Letter"]


def test_retrying_a_child_of_a_dead_parent_is_refused(submit: Submitter) -> None:
    root, child, _ = dead_family(submit)
    with pytest.raises(InvalidTransition) as caught:
        retry_job(child)
    error = caught.value
    assert (error.job_id, error.status, error.verb) == (child.name, "Dead Letter", "retry")
    assert root.name in str(error)
    assert statuses(child) == ["Dead Letter"]


@pytest.mark.parametrize("ended", [kill, lambda job: end(raised(start(job)))], ids=["died", "failed"])
def test_a_child_whose_parents_have_completed_is_ready_again_when_retried(submit: Submitter, ended: Any) -> None:
    parent = submit()
    child = submit(parent)
    complete(parent)
    verbs.follow_up()
    ended(child)
    retry_job(child)
    verbs.follow_up()
    assert (statuses(child), is_ready(child)) == (["Pending"], True)


def test_a_child_that_is_retried_right_after_its_parent_waits_for_it(submit: Submitter) -> None:
    root, child, grandchild = dead_family(submit)
    retry_job(root)
    retry_job(child)
    verbs.follow_up()
    assert statuses(child, grandchild) == ["Pending"] * 2
    assert get_job_status(child).waiting_for == "dependency"


def test_reviving_is_in_the_history(submit: Submitter) -> None:
    root, child, _ = dead_family(submit)
    retry_job(root)
    verbs.follow_up()
    path = [(entry["from_status"], entry["to_status"]) for entry in get_job_history(child)]
    assert path == [("", "Pending"), ("Pending", "Dead Letter"), ("Dead Letter", "Pending")]
