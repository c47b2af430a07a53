"""on_duplicate="replace": a later submission in the place of an earlier one that has not started."""

from __future__ import annotations

import datetime as dt
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from django_jobs import cancel_job, get_job_history, retry_job, submit_for_each, submit_job
from django_jobs.exceptions import DuplicateJob, RateLimited
from django_jobs.models import DuplicateKey, Job, JobType, Organization
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.brokers import (
    WORKER,
    MemoryBroker,
    end,
    job_in,
    queue_up,
    raised,
    reread,
    returned,
    start,
    ticket_of,
)
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.verbs import Interpose, outcomes

pytestmark = pytest.mark.usefixtures("broker")

LATER = dt.timedelta(hours=1)


@pytest.fixture
def kind() -> JobType:
    return make_job_type(deduplication_window=300, default_priority="Low")


def replacing(kind: JobType, organization: Organization, number: int, **fields: Any) -> Job:
    return submit_job(kind, organization, {"n": number}, unique_key="k", on_duplicate="replace", **fields)


def test_the_first_is_a_submission_like_any_other(kind: JobType, organization: Organization) -> None:
    assert replacing(kind, organization, 1).input_parameters == {"n": 1}


def test_a_waiting_job_gets_what_is_asked_for_now(
    kind: JobType, organization: Organization, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
) -> None:
    caplog.set_level(logging.INFO, "django_jobs")
    moment = timezone.now() + LATER
    first = replacing(kind, organization, 1, priority="High", run_at=moment + LATER)
    user = make_user("ada", member_of=[organization])
    with django_capture_on_commit_callbacks(execute=True):
        second = replacing(kind, organization, 2, run_at=moment, metadata={"trace": "x"}, timeout=5, user=user)
    row = reread(first)
    assert second == first
    assert (second.input_parameters, second.run_at) == ({"n": 2}, moment)
    assert (row.input_parameters, row.priority, row.run_at, row.ready_at) == ({"n": 2}, 0, moment, moment)
    assert (row.metadata, row.timeout_seconds, row.owner_name, row.status) == ({"trace": "x"}, 5, "ada", "Pending")
    assert (row.created_at, Job.objects.count()) == (first.created_at, 1)
    assert f"job_id={first.name} event=replaced" in caplog.text
    assert "by=ada" in caplog.text


def test_without_a_key_priority_and_moment_change(kind: JobType, organization: Organization) -> None:
    first = submit_job(kind, organization, {"n": 1}, run_at=timezone.now() + LATER)
    second = submit_job(kind, organization, {"n": 1}, "Critical", on_duplicate="replace")
    assert second == first
    assert (second.priority, second.run_at) == (3, None)
    assert second.ready_at
    assert second.ready_at <= timezone.now()


def test_a_replaced_job_that_is_due_now_is_dispatched_after_the_commit(
    kind: JobType, organization: Organization, django_capture_on_commit_callbacks: Any
) -> None:
    first = replacing(kind, organization, 1, run_at=timezone.now() + LATER)
    with django_capture_on_commit_callbacks(execute=True):
        replacing(kind, organization, 2)
        assert reread(first).status == "Pending"
    assert reread(first).status == "Queued"


def test_a_job_with_a_ticket_is_withdrawn_and_does_not_run_early(
    kind: JobType, organization: Organization, broker: MemoryBroker, reasons: Reasons
) -> None:
    first = queue_up(replacing(kind, organization, 1))
    ticket = ticket_of(first)
    replacing(kind, organization, 2, run_at=timezone.now() + LATER)
    row = reread(first)
    assert (row.status, row.input_parameters, row.queued_at) == ("Pending", {"n": 2}, None)
    last = get_job_history(first)[-1]
    assert (last["from_status"], last["to_status"], reasons(first)) == ("Queued", "Pending", ["replaced"])
    assert verbs.claim([ticket], WORKER) == []
    assert verbs.dispatch() == 0
    assert reread(first).status == "Pending"


def test_withdrawn_and_due_it_is_dispatched_again_with_its_new_priority(
    kind: JobType, organization: Organization, broker: MemoryBroker
) -> None:
    first = queue_up(replacing(kind, organization, 1))
    replacing(kind, organization, 2, priority="Critical")
    assert verbs.dispatch() == 1
    (ticket,) = broker.tickets
    assert (ticket.pk, ticket.priority) == (first.pk, 3)
    (claimed,) = verbs.claim([ticket], WORKER)
    assert claimed.parameters == {"n": 2}


def test_a_claim_that_has_read_what_is_replaced_meanwhile_runs_what_is_asked_for_now(
    kind: JobType, organization: Organization, interpose: Interpose
) -> None:
    first, user = queue_up(replacing(kind, organization, 1)), make_user(member_of=[organization])
    left = [first]

    def is_active(_: object) -> bool:
        while left:
            left.pop()
            queue_up(replacing(kind, organization, 2, timeout=9, expires_at=verbs.now() + dt.timedelta(hours=1)))
            Job.objects.update(owner=user, owner_name=user.username)
        return True

    interpose("get_policy", lambda: SimpleNamespace(is_active=is_active))
    (claimed,) = verbs.claim([ticket_of(first)], WORKER)
    assert (claimed.parameters, claimed.timeout_seconds) == ({"n": 2}, 9)
    assert (claimed.row.owner_id, claimed.row.owner_name) == (user.pk, user.username)
    assert claimed.row.starts_before is not None


def test_a_job_that_was_picked_and_then_got_a_later_moment_is_not_dispatched(
    kind: JobType, organization: Organization, interpose: Interpose
) -> None:
    first = replacing(kind, organization, 1)

    pick = verbs.pick_jobs

    def and_replaced_meanwhile(*args: Any) -> Any:
        picked = list(pick(*args))
        replacing(kind, organization, 2, run_at=timezone.now() + LATER)
        return picked

    interpose("pick_jobs", and_replaced_meanwhile)
    assert verbs.dispatch() == 0
    assert reread(first).status == "Pending"


def assert_followed_by_another(first: Job, kind: JobType, organization: Organization) -> None:
    """A change makes a job of its own beside one that has started, and the next change replaces that one."""
    before = (reread(first).input_parameters, reread(first).status)
    second = replacing(kind, organization, 2)
    assert (second != first, second.input_parameters, second.status) == (True, {"n": 2}, "Pending")
    assert replacing(kind, organization, 3) == second
    assert (reread(second).input_parameters, DuplicateKey.objects.get().job_id) == ({"n": 3}, second.pk)
    assert (reread(first).input_parameters, reread(first).status) == before


@pytest.mark.parametrize("status", ["Running", "Completed", "Failed", "Timed Out"])
def test_what_has_started_is_followed_by_another(status: str, kind: JobType, organization: Organization) -> None:
    first = job_in(status, job_type=kind, organization=organization, parameters={"n": 1}, unique_key="k")
    assert_followed_by_another(first, kind, organization)


def test_what_a_worker_has_claimed_ahead_is_followed_by_another(kind: JobType, organization: Organization) -> None:
    first = replacing(kind, organization, 1)
    assert start(first).parameters == {"n": 1}
    assert_followed_by_another(first, kind, organization)


def test_what_has_failed_and_has_its_next_ticket_is_followed_by_another(
    kind: JobType, organization: Organization
) -> None:
    first = replacing(kind, organization, 1)
    end(raised(start(first)))
    assert queue_up(reread(first)).status == "Queued"
    assert_followed_by_another(first, kind, organization)


def test_what_was_interrupted_has_started_and_is_followed_by_another(kind: JobType, organization: Organization) -> None:
    """Else its next attempt would go on from the steps that were done with the parameters before."""
    first = replacing(kind, organization, 1)
    end(outcomes.Interrupted(claimed=start(first), text="The worker was shut down"))
    assert_followed_by_another(first, kind, organization)


def test_what_ran_and_was_retried_by_hand_is_followed_by_another(kind: JobType, organization: Organization) -> None:
    first = replacing(kind, organization, 1)
    end(raised(start(first), "Permanent"))
    retry_job(first)
    assert_followed_by_another(first, kind, organization)


def test_each_organization_has_another_job_where_its_own_has_started(kind: JobType) -> None:
    organizations = [make_organization() for _ in range(3)]

    def replace(number: int) -> list[Job]:
        made = submit_for_each(kind, organizations, {"n": number}, unique_key="k", on_duplicate="replace")
        return made.submitted

    first = replace(1)
    start(first[0])
    end(returned(start(first[1])))
    second = replace(2)
    assert [job in first for job in second] == [False, False, True]
    assert [reread(job).input_parameters for job in second] == [{"n": 2}] * 3
    assert replace(3) == second


def test_a_change_that_is_refused_leaves_the_work_to_the_job_that_has_started(organization: Organization) -> None:
    kind = make_job_type(deduplication_window=300, rate_limit=1, rate_limit_window=60)
    first = replacing(kind, organization, 1)
    start(first)
    with pytest.raises(RateLimited):
        replacing(kind, organization, 2)
    with pytest.raises(DuplicateJob) as refusal:
        submit_job(kind, organization, {"n": 2}, unique_key="k")
    assert refusal.value.existing == first


def test_what_was_requeued_before_it_began_is_replaced(kind: JobType, organization: Organization) -> None:
    first = replacing(kind, organization, 1)
    end(outcomes.NotBegun(claimed=start(first), text="Requeued before it began"))
    assert replacing(kind, organization, 2) == first
    assert reread(first).input_parameters == {"n": 2}


@pytest.mark.parametrize("status", ["Canceled", "Dead Letter"])
def test_what_was_canceled_or_died_is_followed_by_another(
    status: str, kind: JobType, organization: Organization
) -> None:
    first = job_in(status, job_type=kind, organization=organization, parameters={"n": 1}, unique_key="k")
    assert replacing(kind, organization, 2) != first


def test_one_that_dies_while_it_is_to_be_replaced_is_followed_by_another(
    kind: JobType, organization: Organization, interpose: Interpose
) -> None:
    first = replacing(kind, organization, 1)

    replace = verbs.replace_jobs

    def after_a_cancel(pks: Any, request: Any) -> dict[int, Job]:
        cancel_job(first)
        return replace(pks, request)

    interpose("replace_jobs", after_a_cancel)
    second = replacing(kind, organization, 2)
    assert (second != first, second.input_parameters, reread(first).status) == (True, {"n": 2}, "Canceled")


def test_each_replacement_begins_the_window_anew(kind: JobType, organization: Organization) -> None:
    replacing(kind, organization, 1)
    almost_over = timezone.now() + dt.timedelta(seconds=5)
    DuplicateKey.objects.update(expires_at=almost_over)
    replacing(kind, organization, 2)
    assert DuplicateKey.objects.get().expires_at > almost_over + dt.timedelta(seconds=200)


def test_one_that_waits_for_others_goes_on_waiting(kind: JobType, organization: Organization) -> None:
    parent = job_in("Pending", organization=organization)
    first = replacing(kind, organization, 1, depends_on=parent)
    replacing(kind, organization, 2)
    row = reread(first)
    assert (row.input_parameters, row.ready_at, list(row.depends_on.all())) == ({"n": 2}, None, [parent])


def test_replacing_needs_no_room(organization: Organization) -> None:
    kind = make_job_type(deduplication_window=300, rate_limit=1, rate_limit_window=60)
    first = replacing(kind, organization, 1)
    assert replacing(kind, organization, 2) == first
    assert reread(first).input_parameters == {"n": 2}


def test_what_is_asked_for_is_judged_like_any_submission(kind: JobType, organization: Organization) -> None:
    from django_jobs.exceptions import InvalidSubmission

    first = replacing(kind, organization, 1)
    with pytest.raises(InvalidSubmission):
        submit_job(kind, organization, [1], unique_key="k", on_duplicate="replace")  # type: ignore[arg-type]
    assert reread(first).input_parameters == {"n": 1}
    assert start(first).parameters == {"n": 1}
