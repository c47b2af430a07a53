"""Settling: what an outcome makes of its job."""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from itertools import pairwise
from typing import Any

import pytest
from django.db import DataError, OperationalError

from django_jobs import cancel_job, get_job_history
from django_jobs.models import ExecutionLog, Job
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.brokers import (
    WORKER,
    MemoryBroker,
    end,
    job_in,
    pending_job,
    raised,
    reread,
    returned,
    running_job,
    start,
    ticket_of,
)
from tests.support.cases import rolled_back
from tests.support.factories import make_job_type
from tests.support.verbs import Claimed, Interpose, outcomes

pytestmark = pytest.mark.usefixtures("broker")


def outcome(name: str, claimed: Claimed) -> outcomes.Outcome:
    return {
        "returned": returned(claimed, {"rows": 3}, "a/b.pdf"),
        "transient": raised(claimed),
        "permanent": raised(claimed, "Permanent"),
        "timed out": outcomes.TimedOut(claimed=claimed),
        "canceled": outcomes.Canceled(claimed=claimed),
        "postponed": outcomes.Postponed(claimed=claimed, delay=60, text="closed"),
        "interrupted": outcomes.Interrupted(claimed=claimed, text="The worker was shut down"),
    }[name]


def test_a_returned_result_completes_its_job() -> None:
    _, claimed = running_job()
    row = end(returned(claimed, {"rows": 3}, "a/b.pdf"))
    assert (row.status, row.result, row.output_reference, row.progress) == ("Completed", {"rows": 3}, "a/b.pdf", 100)
    assert row.lease_expires_at is None
    assert row.started_at
    assert row.completed_at
    assert row.started_at <= row.completed_at


def test_a_job_has_started_when_its_handler_began(subtests: pytest.Subtests) -> None:
    for name in ("returned", "transient", "permanent", "timed out", "canceled"):
        with rolled_back(subtests, name=name):
            _, claimed = running_job()
            Job.objects.update(started_at=verbs.now() - dt.timedelta(seconds=60))  # the claim
            began = time.monotonic() - 30
            row = end(dataclasses.replace(outcome(name, claimed), started=began, seconds=5.0))
            assert row.started_at
            assert abs(row.started_at + dt.timedelta(seconds=30) - verbs.now()) < dt.timedelta(seconds=15)


def test_a_job_has_completed_when_its_handler_returned_and_not_when_that_was_stored() -> None:
    _, claimed = running_job()
    row = end(dataclasses.replace(returned(claimed), started=time.monotonic() - 7, seconds=5.0))
    assert row.started_at
    assert row.completed_at
    assert abs(row.completed_at - row.started_at - dt.timedelta(seconds=5)) < dt.timedelta(milliseconds=5)


def test_each_outcome_has_its_status(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str]] = [
        ("returned", "Completed"),
        ("transient", "Failed"),
        ("permanent", "Dead Letter"),
        ("timed out", "Timed Out"),
        ("canceled", "Canceled"),
        ("postponed", "Pending"),
        ("interrupted", "Queued"),
    ]
    for name, status in cases:
        with rolled_back(subtests, name=name, status=status):
            job, claimed = running_job()
            row = end(outcome(name, claimed))
            assert (row.status, row.lease_expires_at) == (status, None)
            last = get_job_history(job)[-1]
            assert (last["from_status"], last["to_status"], last["actor"], last["attempt"]) == (
                "Running",
                status,
                "worker",
                1,
            )


def test_a_requested_cancel_overrules_all_but_a_return(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str]] = [
        ("returned", "Completed"),
        ("transient", "Canceled"),
        ("permanent", "Canceled"),
        ("timed out", "Canceled"),
        ("canceled", "Canceled"),
        ("postponed", "Canceled"),
        ("interrupted", "Canceled"),
    ]
    for name, status in cases:
        with rolled_back(subtests, name=name, status=status):
            job, claimed = running_job()
            cancel_job(job)
            row = end(outcome(name, claimed))
            assert (row.status, row.ready_at) == (status, None)
            assert (row.canceled_at is not None) is (status == "Canceled")


@pytest.mark.parametrize("field", ["worker_name", "attempt"])
def test_the_end_of_an_attempt_that_is_another_workers_now_moves_nothing(subtests: pytest.Subtests, field: str) -> None:
    others = {"worker_name": "another worker", "attempt": 2}[field]
    for name in ("returned", "transient", "permanent", "timed out", "canceled", "postponed", "interrupted"):
        with rolled_back(subtests, name=name):
            job, claimed = running_job()
            Job.objects.update(**{field: others})
            end(outcome(name, claimed))
            assert_untouched(job, field, others)
    unreported: list[Any] = [
        lambda lost: verbs.settle_lost(lost, "its worker died", WORKER),
        lambda lost: verbs.settle_timed_out(lost, WORKER),
        lambda lost: verbs.requeue(lost, "a neighbor was killed", WORKER),
    ]
    for store in unreported:
        with rolled_back(subtests, store=store):
            job, claimed = running_job()
            Job.objects.update(**{field: others})
            assert store([(job.pk, claimed.attempt)]) == []
            assert_untouched(job, field, others)


def assert_untouched(job: Job, field: str, others: Any) -> None:
    row = reread(job)
    assert (row.status, getattr(row, field), row.error_message, row.retry_count) == ("Running", others, "", 0)
    assert get_job_history(job)[-1]["to_status"] == "Running"


def test_a_transient_failure_waits_for_its_retry() -> None:
    job, claimed = running_job()
    row = end(raised(claimed, text="no route", traceback="Traceback …"))
    assert (row.error_type, row.error_message, row.retry_count) == ("Transient", "no route", 1)
    assert row.next_retry_at == row.ready_at
    assert row.ready_at
    assert 40 < (row.ready_at - verbs.now()).total_seconds() <= 72
    assert ExecutionLog.objects.filter(job=job).latest("id").traceback == "Traceback …"


def test_the_second_retry_waits_twice_as_long(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "RETRY_JITTER": 0.0}
    job, claimed = running_job()
    end(raised(claimed))
    row = end(raised(start(reread(job))))
    assert row.ready_at
    assert 100 < (row.ready_at - verbs.now()).total_seconds() <= 120


def test_an_error_may_ask_for_its_own_delay() -> None:
    _, claimed = running_job()
    row = end(raised(claimed, retry_after=1000.0))
    assert row.ready_at
    assert 980 < (row.ready_at - verbs.now()).total_seconds() <= 1000


@pytest.mark.parametrize(("name", "status"), [("transient", "Failed"), ("timed out", "Timed Out")])
def test_when_the_retries_are_spent_the_job_is_a_dead_letter_and_both_steps_are_logged(name: str, status: str) -> None:
    job, claimed = running_job(job_type=make_job_type(max_retries=0))
    row = end(outcome(name, claimed))
    assert (row.status, row.ready_at, row.next_retry_at, row.error_type) == ("Dead Letter", None, None, "Transient")
    assert row.completed_at is not None
    assert [(entry["from_status"], entry["to_status"]) for entry in get_job_history(job)[-2:]] == [
        ("Running", status),
        (status, "Dead Letter"),
    ]


def test_postponing_spends_no_retry() -> None:
    _, claimed = running_job()
    row = end(outcome("postponed", claimed))
    assert (row.retry_count, row.worker_name) == (0, "")
    assert row.ready_at == row.run_at
    assert row.ready_at
    assert row.ready_at > verbs.now()


@pytest.mark.parametrize("delay", [1e12, float("inf")])
def test_a_delay_beyond_all_calendars_harms_no_neighbour(delay: float) -> None:
    (neighbour, good), (_, bad) = running_job(), running_job()
    verbs.settle([outcomes.Postponed(claimed=bad, delay=delay, text="never"), raised(good)], WORKER)
    assert reread(neighbour).status == "Failed"


def test_an_interrupted_job_goes_to_the_front_with_the_ticket_of_its_next_attempt(
    broker: MemoryBroker, django_capture_on_commit_callbacks: Any
) -> None:
    job, claimed = running_job()
    behind = ticket_of(job_in("Queued"))
    broker.push([behind])
    with django_capture_on_commit_callbacks(execute=True):
        row = end(outcome("interrupted", claimed))
    assert (row.retry_count, row.worker_name, row.started_at) == (0, "", None)
    assert [ticket.id for ticket in broker.tickets] == [f"{job.name}-2", behind.id]


def test_a_set_of_all_kinds_is_settled_at_once() -> None:
    names = ["returned", "transient", "permanent", "timed out", "canceled", "postponed", "interrupted"]
    ends = [outcome(name, running_job()[1]) for name in names]
    assert verbs.settle(ends, WORKER) == []
    assert not Job.objects.filter(status="Running").exists()


def test_of_nothing_nothing_is_left() -> None:
    assert verbs.settle([], WORKER) == []


@pytest.mark.parametrize(
    "error",
    [
        DataError("unsupported Unicode escape sequence"),
        OverflowError(),
        OperationalError(1153, "Got a packet bigger than 'max_allowed_packet' bytes"),
    ],
    ids=repr,
)
def test_a_result_that_the_database_refuses_stands_alone(
    interpose: Interpose, error: Exception, reasons: Reasons
) -> None:
    pairs = [running_job() for _ in range(5)]
    poison = pairs[3][1].pk
    move = verbs.move

    def refusing(moves: Any, *terms: Any) -> Any:
        if any(item.pk == poison and item.to_status == "Completed" for item in moves):
            raise error
        return move(moves, *terms)

    interpose("move", refusing)
    assert verbs.settle([returned(claimed) for _, claimed in pairs], WORKER) == []
    assert [reread(job).status for job, _ in pairs] == ["Completed"] * 3 + ["Dead Letter", "Completed"]
    assert reasons(pairs[3][0]) == ["not_storable"]
    assert type(error).__name__ in reread(pairs[3][0]).error_message


def test_an_end_that_lost_a_race_is_to_be_stored_again(interpose: Interpose) -> None:
    job, claimed = running_job()
    real = verbs.move

    def lose(moves: Any, *terms: Any) -> Any:
        if moves[0].to_status == "Completed":
            raise OperationalError("database is locked")
        return real(moves, *terms)

    interpose("move", lose)
    with pytest.raises(OperationalError):
        verbs.settle([returned(claimed)], WORKER)
    assert reread(job).status == "Running"


def test_a_retried_job_that_completes_forgets_its_error() -> None:
    job = pending_job()
    end(raised(start(job)))
    row = end(returned(start(reread(job))))
    assert (row.status, row.error_message, row.error_type, row.attempt) == ("Completed", "", "", 2)


def test_by_default_a_job_is_tried_again_after_1_2_4_8_and_16_minutes_and_then_no_more() -> None:
    job = pending_job()
    delays = []
    for _ in range(5):
        row = end(raised(start(reread(job))))
        assert row.next_retry_at
        assert row.next_retry_at == row.ready_at
        delays.append((row.next_retry_at - get_job_history(row)[-1]["timestamp"]).total_seconds())
    assert [
        0.8 * 60 * 2**n <= delay + 0.001 and delay - 0.001 <= 1.2 * 60 * 2**n for n, delay in enumerate(delays)
    ] == ([True] * 5)
    last = end(raised(start(reread(job))))
    assert (last.status, last.attempt, last.retry_count, last.next_retry_at) == ("Dead Letter", 6, 5, None)
    assert all(second > first for first, second in pairwise(delays))


def test_the_last_progress_is_stored_with_the_end_however_soon_that_follows() -> None:
    (done, one), (failed, two), (silent, three) = running_job(), running_job(), running_job()
    Job.objects.filter(pk=silent.pk).update(progress_message="half")
    ends = [
        dataclasses.replace(returned(one), unwritten=(100, "Done!")),
        dataclasses.replace(raised(two), unwritten=(77, "nearly")),
        dataclasses.replace(returned(three), unwritten=(90, None)),
    ]
    assert verbs.settle(ends, WORKER) == []
    rows = Job.objects.filter(pk__in=[done.pk, failed.pk, silent.pk]).order_by("pk")
    assert list(rows.values_list("progress", "progress_message")) == [(100, "Done!"), (77, "nearly"), (100, "half")]
