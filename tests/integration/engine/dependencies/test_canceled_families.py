"""Families in which somebody was canceled: who is canceled with it, quietly, and who runs all the same."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from django_jobs import cancel_job, get_job_history, get_job_status, retry_job, signals
from django_jobs.exceptions import InvalidTransition
from django_jobs.models import DependencyTask, Job
from tests.integration.conftest import Listen, Reasons
from tests.support import verbs
from tests.support.brokers import end, queue_up, raised, reread, start
from tests.support.families import Submitter, complete, is_ready, kill, run_after_ended, statuses
from tests.support.refusals import refused

pytestmark = pytest.mark.usefixtures("nothing_is_dispatched")


def canceled_family(submit: Submitter) -> tuple[Job, Job, Job]:
    """A job that was canceled, and two generations that were canceled with it."""
    root = submit()
    child = submit(root)
    grandchild = submit(child)
    verbs.follow_up()
    cancel_job(root)
    verbs.follow_up()
    return root, child, grandchild


def test_a_canceled_parent_takes_its_descendants_to_canceled(submit: Submitter) -> None:
    root, child, grandchild = canceled_family(submit)
    for parent, job in ((root, reread(child)), (child, reread(grandchild))):
        assert (job.status, job.canceled_by, job.canceled_at is not None) == ("Canceled", parent.name, True)
        assert (job.error_message, job.error_type, job.error_fingerprint) == ("", "", "")
        assert (job.is_orphaned, job.ready_at, job.completed_at) == (False, None, None)


def test_the_history_says_which_parent_was_canceled(submit: Submitter, reasons: Reasons) -> None:
    root, child, _ = canceled_family(submit)
    last = get_job_history(child)[-1]
    assert (last["from_status"], last["to_status"]) == ("Pending", "Canceled")
    assert (last["actor_kind"], root.name in last["message"]) == ("system", True)
    assert reasons(child) == ["parent_canceled"]


@pytest.mark.parametrize(("ending", "event"), [(cancel_job, "canceled"), (kill, "dead_letter")])
@pytest.mark.django_db(transaction=True)
def test_what_ends_with_its_parent_is_not_logged_as_an_error_of_its_own(
    submit: Submitter, caplog: pytest.LogCaptureFixture, ending: Any, event: str
) -> None:
    parent = submit()
    child = submit(parent)
    with caplog.at_level(logging.DEBUG, "django_jobs"):
        ending(parent)
    last = [record for record in caplog.records if getattr(record, "job_id", "") == child.name][-1]
    assert (last.levelname, last.event) == ("INFO", event)  # type: ignore[attr-defined]
    assert parent.name in last.getMessage()


@pytest.mark.django_db(transaction=True)
def test_the_end_of_each_is_told_by_a_signal(submit: Submitter, listen: Listen) -> None:
    told: list[tuple[str, str]] = []
    listen(signals.job_finished, lambda status, **kwargs: told.append((status.job_id, status.status)))
    family = canceled_family(submit)
    assert told == [(job.name, "Canceled") for job in family]


@pytest.mark.slow
def test_a_chain_of_300_descendants_is_canceled_without_recursion(submit: Submitter) -> None:
    jobs = [submit()]
    for _ in range(300):
        jobs.append(submit(jobs[-1]))
    verbs.follow_up()
    cancel_job(jobs[0])
    verbs.follow_up()
    assert Job.objects.filter(status="Canceled").count() == 301
    assert not DependencyTask.objects.exists()


def test_a_running_parent_takes_them_along_once_it_has_stopped(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent)
    verbs.follow_up()
    claimed = start(parent)
    cancel_job(parent)
    verbs.follow_up()
    assert get_job_status(child).waiting_for == "dependency"
    end(raised(claimed))
    verbs.follow_up()
    assert statuses(parent, child) == ["Canceled"] * 2


def test_a_canceled_job_of_a_family_leaves_the_generation_before_it_alone(submit: Submitter) -> None:
    root = submit()
    child = submit(root)
    grandchild = submit(child)
    verbs.follow_up()
    cancel_job(child)
    verbs.follow_up()
    assert statuses(root, child, grandchild) == ["Pending", "Canceled", "Canceled"]


def test_what_was_canceled_with_its_parent_cannot_be_retried(submit: Submitter) -> None:
    for job in canceled_family(submit):
        with pytest.raises(InvalidTransition):
            retry_job(job)


@pytest.mark.parametrize(("endings", "status"), [((cancel_job, kill), "Canceled"), ((kill, cancel_job), "Dead Letter")])
def test_of_parents_that_end_differently_the_first_takes_the_child_along(
    submit: Submitter, endings: Any, status: str
) -> None:
    older, newer = submit(), submit()
    child = submit(older, newer)
    for ending, parent in zip(endings, (newer, older), strict=True):
        ending(parent)
    verbs.follow_up()
    assert statuses(child) == [status]
    assert newer.name in get_job_history(child)[-1]["message"]


def test_what_died_with_one_parent_stays_dead_while_another_is_canceled(submit: Submitter) -> None:
    dead, canceled = submit(), submit()
    child = submit(dead, canceled)
    kill(dead)
    verbs.follow_up()
    cancel_job(canceled)
    retry_job(dead)
    verbs.follow_up()
    assert statuses(child) == ["Dead Letter"]
    with refused(InvalidTransition, "parent_canceled") as caught:
        retry_job(child)
    assert caught.value.facts["reason"].values == {"job": canceled.name}


@pytest.mark.parametrize("ending", [cancel_job, kill, complete])
def test_a_child_that_waits_for_ends_runs_whatever_became_of_its_parent(submit: Submitter, ending: Any) -> None:
    parent = submit()
    child = run_after_ended(submit(parent))
    verbs.follow_up()
    assert (is_ready(child), get_job_status(child).waiting_for) == (False, "dependency")
    ending(parent)
    verbs.follow_up()
    assert (statuses(child), is_ready(child)) == (["Pending"], True)


def test_a_child_that_waits_for_ends_waits_for_all_of_them(submit: Submitter) -> None:
    first, second, third = submit(), submit(), submit()
    child = run_after_ended(submit(first, second, third))
    kill(first)
    cancel_job(third)
    end(raised(start(second)))
    verbs.follow_up()
    assert get_job_status(child).waiting_for == "dependency"
    complete(second)
    verbs.follow_up()
    assert is_ready(child)


def test_a_child_that_waits_for_ends_runs_after_what_ended_with_its_own_parent(submit: Submitter) -> None:
    root = submit()
    child = submit(root)
    cleanup = run_after_ended(submit(child))
    verbs.follow_up()
    cancel_job(root)
    verbs.follow_up()
    assert (statuses(child, cleanup), is_ready(cleanup)) == (["Canceled", "Pending"], True)


def test_a_job_that_waits_for_ends_is_retried_though_its_parent_is_dead(submit: Submitter) -> None:
    parent = submit()
    child = run_after_ended(submit(parent))
    kill(parent)
    verbs.follow_up()
    kill(child)
    retry_job(child)
    verbs.follow_up()
    assert is_ready(child)


def test_a_canceled_job_that_had_a_ticket_takes_its_child_along(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent)
    cancel_job(queue_up(parent))
    verbs.follow_up()
    assert statuses(parent, child) == ["Canceled"] * 2
