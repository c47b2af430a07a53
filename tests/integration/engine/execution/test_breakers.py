"""Breakers where attempts end: what counts, what opens and closes them, and what attempts cost meanwhile."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_jobs import get_job_history
from django_jobs.exceptions import RetryLater
from django_jobs.models import Breaker, ExecutionLog, Job, JobType, Organization
from django_jobs.statuses import BreakerState, LogReason
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.breakers import (
    FAILURES,
    PAUSE,
    attempts,
    breaker_of,
    claim_moved,
    claim_try,
    let_go,
    make_fragile_type,
    open_by_failures,
)
from tests.support.brokers import WORKER, end, pending_job, queue_up, raised, reread, returned, running_job, ticket_of
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import Claimed, outcomes

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def fragile() -> JobType:
    return make_fragile_type()


def test_equal_failures_in_a_row_open_it(fragile: JobType) -> None:
    rows = [end(raised(claimed)) for claimed in attempts(fragile, FAILURES)]
    row = breaker_of(fragile)
    assert (row.state, row.failures, row.error_message) == (BreakerState.OPEN, FAILURES, "it failed")
    assert row.fingerprint == rows[0].error_fingerprint
    assert row.opened_at
    assert row.next_try_at == row.opened_at + dt.timedelta(seconds=PAUSE)
    assert [(job.status, job.retry_count) for job in rows] == [("Failed", 1)] * FAILURES


def test_like_failures_of_several_functions_are_in_a_row(fragile: JobType) -> None:
    for number, claimed in enumerate(attempts(fragile, FAILURES)):
        end(raised(claimed, place=f"shop.mailing.call_{number}"))
    assert breaker_of(fragile).state == BreakerState.OPEN


def test_timeouts_open_it(fragile: JobType) -> None:
    for claimed in attempts(fragile, FAILURES - 1):
        end(outcomes.TimedOut(claimed=claimed))
    (killed,) = attempts(fragile, 1)
    verbs.settle_timed_out([(killed.pk, killed.attempt)], WORKER)
    assert breaker_of(fragile).state == BreakerState.OPEN


def test_a_completed_attempt_in_between_counts_anew(fragile: JobType) -> None:
    first, second, third, fourth = attempts(fragile, 4)
    for outcome in (raised(first), raised(second), returned(third), raised(fourth)):
        end(outcome)
    assert (breaker_of(fragile).state, breaker_of(fragile).failures) == (BreakerState.CLOSED, 1)


def test_another_error_counts_anew(fragile: JobType) -> None:
    for claimed, text in zip(attempts(fragile, 3), ["it failed", "it failed", "no route"], strict=True):
        end(raised(claimed, text=text))
    assert (breaker_of(fragile).state, breaker_of(fragile).failures) == (BreakerState.CLOSED, 1)


def lose(claimed: Claimed) -> None:
    verbs.settle_lost([(claimed.pk, claimed.attempt)], "its process was killed", WORKER)


@pytest.mark.parametrize(
    "finish",
    [
        lambda claimed: end(raised(claimed, "Permanent")),
        lambda claimed: end(outcomes.Canceled(claimed=claimed)),
        lambda claimed: end(outcomes.Postponed(claimed=claimed, delay=60, text="closed")),
        lambda claimed: end(outcomes.Interrupted(claimed=claimed, text="The worker was shut down")),
        lose,
    ],
    ids=["permanent error", "cancel", RetryLater.__name__, "shutdown", "lost worker"],
)
def test_ends_that_say_nothing_of_a_provider_do_not_count(
    fragile: JobType, finish: Callable[[Claimed], object]
) -> None:
    claimed = attempts(fragile, 5)
    end(raised(claimed[0]))
    for item in claimed[1:]:
        finish(item)
    assert (breaker_of(fragile).state, breaker_of(fragile).failures) == (BreakerState.CLOSED, 1)


def test_a_type_without_a_breaker_counts_nothing() -> None:
    kind = make_job_type()
    for claimed in attempts(kind, 5):
        end(raised(claimed))
    assert not Breaker.objects.exists()


def test_tickets_that_are_out_do_not_start(fragile: JobType, reasons: Reasons) -> None:
    jobs = [pending_job(fragile) for _ in range(3)]
    moved = let_go(fragile)
    open_by_failures(fragile)
    assert claim_moved(moved[:1]) == claim_moved(moved[1:]) == []
    rows = [reread(job) for job in jobs]
    assert [(job.status, job.attempt) for job in rows] == [("Pending", 0)] * 3
    assert [reasons(job) for job in jobs] == [["breaker_open"]] * 3


def test_one_that_was_claimed_by_what_is_known_does_not_start(fragile: JobType) -> None:
    organization = running_job(job_type=fragile)[0].organization
    job = pending_job(fragile, organization)
    moved = let_go(fragile)
    open_by_failures(fragile)
    assert claim_moved(moved) == []
    assert reread(job).status == "Pending"


def test_a_job_that_is_let_go_to_try_starts(fragile: JobType) -> None:
    open_by_failures(fragile)
    jobs = [pending_job(fragile) for _ in range(2)]
    assert let_go(fragile) == []
    assert claim_try(fragile).pk == jobs[0].pk
    assert let_go(fragile) == []


def test_a_try_that_completes_lets_the_others_go(
    fragile: JobType, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    open_by_failures(fragile)
    for _ in range(2):
        pending_job(fragile)
    with django_capture_on_commit_callbacks(execute=True):
        assert end(returned(claim_try(fragile))).status == "Completed"
    assert Job.objects.filter(status="Queued").exists()  # it was dispatched
    row = breaker_of(fragile)
    assert (row.state, row.failures, row.next_try_at) == (BreakerState.RECOVERING, 0, None)
    assert row.recovering_since


def test_one_that_began_before_it_opened_and_completes_leaves_it_open(fragile: JobType) -> None:
    (claimed,) = attempts(fragile, 1)
    outcome = returned(claimed)
    open_by_failures(fragile)
    assert end(outcome).status == "Completed"
    assert breaker_of(fragile).state == BreakerState.OPEN


def test_what_is_interrupted_while_it_is_open_waits_unless_it_is_a_try(fragile: JobType) -> None:
    ended, returned_early = attempts(fragile, 2)
    open_by_failures(fragile)
    assert end(outcomes.Interrupted(claimed=ended, text="The worker was shut down")).status == "Pending"
    verbs.requeue([(returned_early.pk, 1)], "Requeued before it began", WORKER, LogReason.UNSEEN)
    assert Job.objects.get(pk=returned_early.pk).status == "Pending"
    assert ExecutionLog.objects.filter(job_id=returned_early.pk).latest("id").reason == LogReason.UNSEEN
    Job.objects.filter(status="Pending").delete()
    pending_job(fragile)
    tried = claim_try(fragile)
    assert end(outcomes.Interrupted(claimed=tried, text="The worker was shut down")).status == "Queued"


def test_what_is_requeued_in_the_set_that_opens_it_waits(fragile: JobType, reasons: Reasons) -> None:
    claimed = attempts(fragile, FAILURES + 1)
    unbegun = outcomes.NotBegun(claimed=claimed[0], text="what the worker says of it")
    verbs.settle([unbegun, *(raised(item) for item in claimed[1:])], WORKER)
    job = Job.objects.get(pk=claimed[0].pk)
    assert (job.status, job.queued_at, job.started_at) == ("Pending", None, None)
    assert reasons(job) == ["breaker_open"]
    assert "what the worker says of it" in get_job_history(job)[-1]["message"]


def test_what_a_pass_queued_that_had_begun_before_it_opened_is_no_try(fragile: JobType) -> None:
    """That pass may commit after the opening, and queue whatever the window takes."""
    open_by_failures(fragile)
    late = queue_up(pending_job(fragile))
    assert verbs.claim([ticket_of(late)], WORKER) == []
    assert reread(late).status == "Pending"
    claimed, since = claim_try(fragile), breaker_of(fragile).tries_since
    queued_at = Job.objects.get(pk=claimed.pk).queued_at
    assert since is not None and queued_at is not None and since <= queued_at  # noqa: PT018


def test_what_started_late_pays_nothing_and_waits_for_no_pause_but_is_no_try(fragile: JobType) -> None:
    late = queue_up(pending_job(fragile))
    open_by_failures(fragile)
    Breaker.primary.update(state=BreakerState.CLOSED)  # as the claim saw it
    (claimed,) = verbs.claim([ticket_of(late)], WORKER)
    Breaker.primary.update(state=BreakerState.OPEN)
    job = end(outcomes.Interrupted(claimed=claimed, text="The worker was shut down"))
    assert (job.status, job.retry_count) == ("Pending", 0)


def test_its_opening_is_one_line_of_the_log(
    fragile: JobType, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    with caplog.at_level(logging.WARNING), django_capture_on_commit_callbacks(execute=True):
        begun = attempts(fragile, 1)[0]
        open_by_failures(fragile)
        end(raised(begun))
    lines = [line for line in caplog.messages if line.startswith("event=breaker_opened")]
    assert len(lines) == 1
    assert f"job_type={fragile.pk} failures=3 pause=60" in lines[0]


def test_a_type_that_is_deleted_takes_its_breaker_along(fragile: JobType) -> None:
    open_by_failures(fragile)
    Job.objects.all().delete()
    fragile.delete()
    assert not Breaker.objects.exists()


def test_ends_of_plain_types_ask_nothing_of_breakers() -> None:
    kind = make_job_type()
    first, second = attempts(kind, 2)
    with CaptureQueriesContext(connection) as queries:
        verbs.settle([returned(first), raised(second)], WORKER)
    tables = (Breaker._meta.db_table, JobType._meta.db_table)
    assert [query for query in queries if any(name in query["sql"].split("WHERE")[0] for name in tables)] == []


def test_for_one_organizations_failures_its_tickets_alone_do_not_start(
    fragile: JobType, organization: Organization
) -> None:
    mine, theirs = (queue_up(pending_job(fragile, whose)) for whose in (organization, make_organization()))
    open_by_failures(fragile, organization)
    assert breaker_of(fragile).organization_id == organization.pk
    assert [item.pk for item in verbs.claim([ticket_of(mine), ticket_of(theirs)], WORKER)] == [theirs.pk]
    assert [reread(job).status for job in (mine, theirs)] == ["Pending", "Running"]


def test_one_claim_that_is_known_to_be_allowed_starts_for_another_organization_alone(
    fragile: JobType, organization: Organization
) -> None:
    other = make_organization()
    for whose in (organization, other):
        end(returned(running_job(job_type=fragile, organization=whose)[1]))  # then the policy's answers are known
    mine, theirs = (queue_up(pending_job(fragile, whose)) for whose in (organization, other))
    open_by_failures(fragile, organization)
    assert [len(verbs.claim([ticket_of(job)], WORKER)) for job in (mine, theirs)] == [0, 1]


def test_attempts_of_others_end_as_ever_while_it_holds_one_organization(
    fragile: JobType, organization: Organization
) -> None:
    (_, failing), (_, succeeding), (_, interrupted) = (running_job(job_type=fragile) for _ in range(3))
    open_by_failures(fragile, organization)
    job = end(raised(failing))
    assert (job.status, job.retry_count) == ("Failed", 1)
    assert end(returned(succeeding)).status == "Completed"
    verbs.requeue([(interrupted.pk, interrupted.attempt)], "again", WORKER)
    assert reread(Job.objects.get(pk=interrupted.pk)).status == "Queued"
    row = breaker_of(fragile)
    assert (row.state, row.organization_id, row.others_failures) == (BreakerState.OPEN, organization.pk, 0)


def test_once_several_organizations_have_the_failures_all_are_held(
    fragile: JobType, organization: Organization
) -> None:
    claims = attempts(fragile, FAILURES)
    open_by_failures(fragile, organization)
    for claimed in claims:
        end(raised(claimed))
    row = breaker_of(fragile)
    assert (row.state, row.organization_id) == (BreakerState.OPEN, None)
