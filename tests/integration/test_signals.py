"""Signals: sent after the commit to whoever listens, unable to harm, and free where nobody does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from django_jobs import JobCanceled, cancel_job, signals
from django_jobs.models import Job
from django_jobs.testing import run_jobs
from tests.integration.conftest import Listen
from tests.support import verbs
from tests.support.brokers import (
    WORKER,
    job_in,
    pending_job,
    raised,
    reread,
    returned,
    running_job,
    start,
)
from tests.support.factories import make_job_type, make_organization
from tests.support.statements import statements_of
from tests.support.verbs import Interpose, ProgressBuffer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

FINISHED = "job_finished"


@pytest.fixture
def told(listen: Listen) -> list[tuple[str, str, str]]:
    """What the four signals tell: (signal, job id, status), in order."""
    found: list[tuple[str, str, str]] = []

    def note(name: str) -> Callable[..., None]:
        return lambda status, **kwargs: found.append((name, status.job_id, status.status))

    for name in ("job_submitted", "job_started", "job_finished", "job_progressed"):
        listen(getattr(signals, name), note(name))
    return found


def test_a_jobs_life_is_told(told: list[Any]) -> None:
    job = pending_job()
    run_jobs()
    assert [(name, status) for name, _, status in told] == [
        ("job_submitted", "Queued"),  # who submits dispatches first, then tells
        ("job_started", "Running"),
        ("job_finished", "Completed"),
    ]
    assert {job_id for _, job_id, _ in told} == {job.name}


@pytest.mark.django_db(transaction=False)
def test_a_life_inside_a_tests_transaction_is_told_but_for_its_submission(told: list[Any]) -> None:
    pending_job()
    run_jobs()
    assert [name for name, _, _ in told] == ["job_started", "job_finished"]


def test_a_receiver_gets_the_job_model_and_the_whole_status(listen: Listen) -> None:
    seen: list[Any] = []
    listen(signals.job_finished, lambda sender, status, **kwargs: seen.append((sender, status.result)))
    pending_job(make_job_type("echo"), parameters={"a": 1})
    run_jobs()
    assert seen == [(Job, {"echo": {"a": 1}})]


@pytest.mark.parametrize("status", ["Canceled", "Dead Letter", "Completed"])
def test_every_end_is_told_once(status: str, told: list[Any]) -> None:
    job = job_in(status)
    assert [item for item in told if item[0] == FINISHED] == [(FINISHED, job.name, status)]


@pytest.mark.parametrize("status", ["Failed", "Timed Out"])
def test_a_failure_that_is_retried_is_no_end(status: str, told: list[Any]) -> None:
    job_in(status)
    assert [name for name, _, _ in told] == ["job_submitted", "job_started"]


def test_a_failure_without_retries_left_is_told_as_the_end_that_it_is(told: list[Any]) -> None:
    _, claimed = running_job(job_type=make_job_type(max_retries=0))
    verbs.settle([raised(claimed)], WORKER)
    assert told[-1][2] == "Dead Letter"


def test_the_loss_of_a_worker_is_told_where_it_ends_a_job(told: list[Any]) -> None:
    _, claimed = running_job(job_type=make_job_type(max_retries=0))
    verbs.settle_lost([(claimed.pk, claimed.attempt)], "lost", WORKER)
    assert told[-1][::2] == (FINISHED, "Dead Letter")


def test_written_progress_is_told(listen: Listen) -> None:
    seen: list[Any] = []
    listen(signals.job_progressed, lambda status, **kwargs: seen.append((status.progress, status.progress_message)))
    job, claimed = running_job()
    buffer = ProgressBuffer(WORKER)
    buffer.report((job.pk, claimed.attempt), 10, "first")
    buffer.report((job.pk, claimed.attempt), 40, "latest")
    buffer.flush()
    assert seen == [(40, "latest")]


def test_progress_of_an_attempt_that_lost_its_job_is_not_told(told: list[Any]) -> None:
    buffer = ProgressBuffer(WORKER)
    buffer.report((job_in("Completed").pk, 1), 40, None)
    buffer.flush()
    assert "job_progressed" not in {name for name, _, _ in told}


def test_receivers_of_progress_hold_no_lock_of_the_board(listen: Listen) -> None:
    buffer = ProgressBuffer(WORKER)
    listen(signals.job_progressed, lambda **kwargs: buffer.flush())
    job, claimed = running_job()
    buffer.report((job.pk, claimed.attempt), 40, None)
    assert buffer.flush() == set()


def test_nothing_is_told_of_what_is_rolled_back(told: list[Any]) -> None:
    with transaction.atomic():
        pending_job()
        transaction.set_rollback(True)
    assert told == []


def test_nothing_is_told_before_the_commit(told: list[Any]) -> None:
    with transaction.atomic():
        cancel_job(pending_job())
        assert told == []
    assert [name for name, _, _ in told] == ["job_submitted", "job_finished"]


def test_receivers_run_outside_of_transactions(listen: Listen) -> None:
    seen: list[bool] = []
    for name in ("job_submitted", "job_started", "job_finished"):
        listen(getattr(signals, name), lambda **kwargs: seen.append(connection.in_atomic_block))
    job_in("Completed")
    assert seen == [False, False, False]


@pytest.mark.parametrize("error", [ValueError("broken"), JobCanceled("not mine")], ids=repr)
def test_a_receivers_error_is_logged_and_harms_nobody(
    error: BaseException, listen: Listen, told: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**kwargs: Any) -> None:
        raise error

    listen(signals.job_finished, broken)
    pending_job()
    assert run_jobs()[0].status == "Completed"
    assert "event=receiver_failed" in caplog.text


def test_a_broken_receiver_does_not_silence_the_others(listen: Listen) -> None:
    seen: list[str] = []

    def broken(**kwargs: Any) -> None:
        raise ValueError

    listen(signals.job_finished, broken)
    listen(signals.job_finished, lambda status, **kwargs: seen.append(status.job_id))
    assert seen == [job_in("Completed").name]


def test_a_set_of_jobs_is_settled_in_as_many_statements_as_a_few(listen: Listen) -> None:
    seen: list[str] = []
    listen(signals.job_finished, lambda status, **kwargs: seen.append(status.job_id))
    kind, organization = make_job_type(), make_organization()
    few = [start(pending_job(kind, organization)) for _ in range(2)]
    many = [start(pending_job(kind, organization)) for _ in range(7)]
    for_few = statements_of(lambda: verbs.settle([returned(item) for item in few], WORKER))
    assert statements_of(lambda: verbs.settle([returned(item) for item in many], WORKER)) <= for_few
    assert seen == [item.job_id for item in few + many]


def test_receivers_that_cannot_be_told_are_logged(
    listen: Listen, interpose: Interpose, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise ValueError("no rows today")

    listen(signals.job_finished, lambda **kwargs: None)
    _, claimed = running_job()
    interpose("describe_jobs", fail)
    with caplog.at_level(logging.ERROR):
        verbs.settle([returned(claimed)], WORKER)
    assert "event=signals_failed" in caplog.text
    assert reread(Job.objects.get(pk=claimed.pk)).status == "Completed"


def test_jobs_that_are_submitted_together_are_told_in_their_order(listen: Listen) -> None:
    seen: list[str] = []
    listen(signals.job_submitted, lambda status, **kwargs: seen.append(status.job_id))
    kind, organization = make_job_type(), make_organization()
    jobs = [pending_job(kind, organization) for _ in range(5)]
    seen.clear()
    verbs.announce_submitted(*jobs)
    assert seen == [job.name for job in jobs]
