"""What a breaker counts, when it opens, and how many jobs it lets go."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence

import pytest

from django_jobs.engine.dispatch.limits import (
    RELAPSE_FAILURES,
    breaker_state,
    count_completion,
    count_failure,
    holds_jobs,
    is_time_to_try,
    most_at_once,
    reset_breaker,
    seconds_to_change,
)
from django_jobs.engine.dispatch.limits import FailedAttempt as Failure
from django_jobs.models import Breaker, JobType
from django_jobs.statuses import BreakerState

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ERROR, OTHER = "same", "other"


def at(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def fail(
    row: Breaker,
    *errors: str,
    seconds: float = 0.0,
    began: float | None = None,
    of: Sequence[int] = (1, 2),
) -> bool:
    """Count failed attempts, of these organizations in turn; return whether the last one costs a retry."""
    began_at, whose = at(seconds if began is None else began), itertools.cycle(of)
    failures = [
        Failure(organization_pk=next(whose), fingerprint=error, text=f"text of {error}", began=began_at)
        for error in errors
    ]
    return [count_failure(row, failure, at(seconds)) for failure in failures][-1]


def complete(row: Breaker, began: dt.datetime | None, now: dt.datetime, of: int = 1) -> None:
    count_completion(row, of, began, now)


def closed() -> Breaker:
    return Breaker(job_type=JobType(type_name="call", breaker_failures=3, breaker_pause=60))


def opened() -> Breaker:
    row = closed()
    fail(row, ERROR, ERROR, ERROR)
    return row


def recovering(since: float = 60.0) -> Breaker:
    row = opened()
    complete(row, at(since - 1), at(since))
    return row


def test_equal_failures_in_a_row_open_it_and_have_cost_their_retries() -> None:
    row = closed()
    assert fail(row, ERROR, ERROR)
    assert (row.state, row.failures) == (BreakerState.CLOSED, 2)
    assert fail(row, ERROR)
    assert (row.state, row.opened_at, row.next_try_at) == (BreakerState.OPEN, START, at(60))
    assert (row.failures, row.fingerprint, row.error_message) == (3, ERROR, "text of same")


def test_another_error_counts_anew() -> None:
    row = closed()
    fail(row, ERROR, ERROR, OTHER, ERROR, ERROR)
    assert (row.state, row.failures) == (BreakerState.CLOSED, 2)


def test_a_completed_attempt_counts_anew() -> None:
    row = closed()
    fail(row, ERROR, ERROR)
    complete(row, START, START)
    fail(row, ERROR, ERROR)
    assert (row.state, row.failures) == (BreakerState.CLOSED, 2)


def test_while_it_is_open_no_failure_costs_a_retry_whatever_the_error() -> None:
    row = opened()
    assert not fail(row, OTHER, seconds=60)
    assert (row.state, row.opened_at, row.next_try_at) == (BreakerState.OPEN, START, at(60))
    assert row.error_message == "text of other"


def test_the_first_that_completes_has_it_recover() -> None:
    row = recovering(60)
    assert (row.state, row.recovering_since, row.failures) == (BreakerState.RECOVERING, at(60), 0)


def test_what_began_before_it_opened_and_completes_says_nothing() -> None:
    row = opened()
    complete(row, at(-5), at(1))
    assert row.state == BreakerState.OPEN


def test_an_attempt_whose_beginning_is_unknown_counts() -> None:
    row = opened()
    complete(row, None, at(1))
    assert row.state == BreakerState.RECOVERING


def test_twice_as_many_may_be_in_flight_with_each_second_of_the_recovery() -> None:
    row = recovering(60)
    assert [most_at_once(row, at(60 + seconds)) for seconds in (0, 0.9, 1, 2.5, 9.9)] == [
        2,
        2,
        4,
        8,
        1024,
    ]


def test_after_ten_seconds_it_is_closed_though_nobody_has_written_that() -> None:
    row = recovering(60)
    assert breaker_state(row, at(69.9)) == BreakerState.RECOVERING
    assert breaker_state(row, at(70)) == BreakerState.CLOSED
    assert fail(row, ERROR, seconds=70)
    assert (row.state, row.failures, row.recovering_since) == (BreakerState.CLOSED, 1, None)


def test_failures_in_a_row_open_a_recovering_one_again_and_cost_nothing() -> None:
    row = recovering(60)
    assert not fail(row, ERROR, ERROR, ERROR, seconds=61)
    assert (row.state, row.opened_at, row.next_try_at) == (BreakerState.OPEN, at(61), at(121))


def test_a_few_open_a_recovering_one_of_a_patient_type() -> None:
    row = recovering(60)
    row.job_type.breaker_failures = 100
    fail(row, *[ERROR] * RELAPSE_FAILURES, seconds=61)
    assert row.state == BreakerState.OPEN


def test_another_error_costs_a_retry_while_it_recovers() -> None:
    row = recovering(60)
    assert fail(row, OTHER, seconds=61)
    assert (row.state, row.failures) == (BreakerState.RECOVERING, 1)


def test_a_try_that_fails_after_another_has_completed_costs_nothing_and_does_not_count() -> None:
    row = recovering(60)
    assert not fail(row, OTHER, seconds=61, began=30)
    assert row.failures == 0


@pytest.mark.parametrize(
    ("now", "pause", "is_time"),
    [(59, 60, False), (60, 60, True), (1, 10, True)],
    ids=["early", "due", "a pause that was cut"],
)
def test_a_job_may_try_after_the_pause(now: float, pause: int, is_time: bool) -> None:
    assert is_time_to_try(opened(), pause, at(now)) == is_time


def test_it_tells_when_more_may_go() -> None:
    assert seconds_to_change(opened(), at(20)) == 40
    assert seconds_to_change(opened(), at(80)) == 0
    assert seconds_to_change(recovering(60), at(62.25)) == 0.75


def test_who_resets_it_has_it_count_anew() -> None:
    row = opened()
    reset_breaker(row)
    assert (row.state, row.failures, row.fingerprint, row.opened_at) == (BreakerState.CLOSED, 0, "", None)


def test_it_opens_for_one_organization_if_all_failures_that_it_counted_are_its_own() -> None:
    row = closed()
    fail(row, ERROR, ERROR, ERROR, of=[7])
    assert (row.state, row.organization_id) == (BreakerState.OPEN, 7)
    assert [holds_jobs(row, pk) for pk in (7, 8)] == [True, False]


@pytest.mark.parametrize("of", [(7, 8), (8, 7, 7), (7, 7, 8)])
def test_it_opens_for_all_if_two_organizations_have_them(of: Sequence[int]) -> None:
    row = closed()
    fail(row, ERROR, ERROR, ERROR, of=of)
    assert (row.state, row.organization_id) == (BreakerState.OPEN, None)
    assert holds_jobs(row, 9)


def test_whose_failures_were_counted_before_another_error_or_a_completed_attempt_does_not_matter() -> None:
    row = closed()
    fail(row, OTHER, OTHER, of=[7, 8])
    fail(row, ERROR, ERROR, of=[7, 9])
    complete(row, START, START, of=9)
    fail(row, ERROR, ERROR, ERROR, of=[7])
    assert (row.state, row.organization_id) == (BreakerState.OPEN, 7)


def opened_for(pk: int) -> Breaker:
    row = closed()
    fail(row, ERROR, ERROR, ERROR, of=[pk])
    return row


def test_while_it_holds_one_organization_others_attempts_end_as_if_it_were_closed() -> None:
    row = opened_for(7)
    assert not fail(row, ERROR, of=[7])
    assert fail(row, ERROR, ERROR, of=[8])
    complete(row, at(1), at(2), of=8)
    assert (row.state, row.organization_id, row.failures) == (BreakerState.OPEN, 7, 4)
    assert fail(row, ERROR, ERROR, of=[8])
    assert row.organization_id == 7
    complete(row, at(70), at(71), of=7)
    assert (row.state, row.organization_id) == (BreakerState.RECOVERING, 7)
    assert fail(row, ERROR, of=[8], seconds=72)


@pytest.mark.parametrize(("error", "another"), [(ERROR, OTHER), (OTHER, ERROR)], ids=["the same", "another"])
def test_it_holds_all_once_as_many_attempts_of_others_failed_with_one_error_in_a_row(error: str, another: str) -> None:
    row = opened_for(7)
    assert fail(row, error, error, another, error, error, of=[8, 9], seconds=5)
    assert not fail(row, "own error", of=[7], seconds=5)
    assert not holds_jobs(row, 8)
    assert fail(row, error, of=[8], seconds=6)
    assert holds_jobs(row, 8)
    assert row.fingerprint == error
    assert row.next_try_at == at(66)
    assert not fail(row, error, of=[8], seconds=7)


@pytest.mark.parametrize(("of", "held"), [((2,), 2), ((1, 2, 2), None), ((2, 1, 2), None)])
def test_one_that_held_all_opens_again_for_one_organization_if_all_failures_since_are_its_own(
    of: Sequence[int], held: int | None
) -> None:
    row = recovering()
    assert row.organization_id is None
    fail(row, ERROR, seconds=61, of=(1,))
    complete(row, at(61), at(62), of=1)  # it counts anew
    fail(row, ERROR, OTHER, ERROR, seconds=63, of=of)
    assert (row.state, row.organization_id) == (BreakerState.OPEN, held)


def test_whose_failures_of_a_recovery_go_on_after_its_end_matters() -> None:
    row = recovering()
    fail(row, ERROR, ERROR, seconds=61, of=(2,))
    fail(row, ERROR, seconds=71, of=(2,))
    assert (row.state, row.organization_id) == (BreakerState.OPEN, 2)


def test_what_was_closed_by_hand_counts_anew_whose_failures_they_are() -> None:
    row = opened_for(7)
    reset_breaker(row)
    fail(row, ERROR, ERROR, ERROR, of=[8])
    assert row.organization_id == 8
