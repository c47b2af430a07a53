"""The note that a handler leaves for its next attempt."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from django_jobs import RetryLater
from django_jobs.exceptions import InvalidStep, PermanentError, TransientError, WorkerStopping
from django_jobs.models import Job, JobCheckpoint, JobStep
from tests.support import verbs
from tests.support.attempts import FreeRunner
from tests.support.brokers import start
from tests.support.deletions import delete_jobs
from tests.support.durable import DurableJob
from tests.support.verbs import outcomes

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def durable() -> DurableJob:
    return DurableJob()


def found_by_the_next_attempt(durable: DurableJob) -> Any:
    found: list[Any] = []
    durable.run(lambda context: found.append(dict(context.checkpoint)))
    return found[0]


def noting(error: BaseException | None, **note: Any) -> Callable[[Any], None]:
    """A handler that changes its checkpoint and ends."""

    def handler(context: Any) -> None:
        context.checkpoint.update(note)
        if error is not None:
            raise error

    return handler


def test_the_next_attempt_finds_what_was_saved_last(durable: DurableJob) -> None:
    def handler(context: Any) -> None:
        context.checkpoint["page"] = 1
        context.save_checkpoint()
        context.checkpoint["page"] = 2
        context.save_checkpoint()
        context.checkpoint["page"] = 3
        raise TransientError("again")

    durable.run(handler)
    assert found_by_the_next_attempt(durable) == {"page": 2}


@pytest.mark.parametrize("error", [WorkerStopping(), RetryLater(0)], ids=repr)
def test_an_orderly_end_saves_it_if_it_changed(durable: DurableJob, error: BaseException) -> None:
    durable.run(noting(error, page=1))
    assert found_by_the_next_attempt(durable) == {"page": 1}


@pytest.mark.parametrize("error", [TransientError("no"), PermanentError("no"), None], ids=repr)
def test_no_other_end_saves_it(durable: DurableJob, error: BaseException | None) -> None:
    durable.run(noting(error, page=1))
    assert not JobCheckpoint.objects.exists()


@pytest.mark.parametrize("touch", [lambda _: None, lambda context: context.checkpoint], ids=["untouched", "unchanged"])
def test_what_did_not_change_is_not_saved_again(durable: DurableJob, touch: Callable[[Any], Any]) -> None:
    durable.run(noting(RetryLater(0), page=1))

    def handler(context: Any) -> None:
        touch(context)
        raise RetryLater(0)

    durable.run(handler)
    assert JobCheckpoint.objects.get().attempt == 1


def test_another_dict_may_take_its_place_without_a_look_at_the_old_one(durable: DurableJob) -> None:
    durable.run(noting(RetryLater(0), page=1))

    def handler(context: Any) -> None:
        context.checkpoint = {}
        raise RetryLater(0)

    durable.run(handler)
    assert JobCheckpoint.objects.get().data == {}


BAD: dict[str, Any] = {"not_a_dict": [1], "not_json": {"seen": {1}}, "too_large": {"text": "x" * 70_000}}


@pytest.mark.parametrize(("code", "value"), BAD.items(), ids=BAD)
def test_what_cannot_be_a_checkpoint_is_refused_by_name(durable: DurableJob, code: str, value: Any) -> None:
    def handler(context: Any) -> None:
        context.checkpoint = value
        context.save_checkpoint()

    durable.run(handler)
    assert isinstance(durable.error, InvalidStep)
    assert (durable.error.code, durable.job.status) == (code, "Dead Letter")


def test_at_an_orderly_end_it_is_logged_and_the_end_is_stored(
    durable: DurableJob, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(context: Any) -> None:
        context.checkpoint = {"seen": {1}}
        raise RetryLater(60)

    with caplog.at_level(logging.WARNING, "django_jobs"):
        durable.run(handler)
    assert durable.job.status == "Pending"
    assert f"job_id={durable.job.name} event=checkpoint_not_saved" in caplog.text
    assert not JobCheckpoint.objects.exists()


def test_a_connection_that_is_lost_while_it_is_saved_with_the_end_loses_neither(durable: DurableJob) -> None:
    claimed = start(durable.job)
    claimed.handler = noting(RetryLater(0), page=1)
    outcome = verbs.attempt(claimed, verbs.context_for(claimed, FreeRunner()))

    def lose(execute: Any, sql: str, *rest: Any) -> Any:
        if JobCheckpoint._meta.db_table in sql:
            raise OperationalError("server closed the connection unexpectedly")
        return execute(sql, *rest)

    with connection.execute_wrapper(lose), pytest.raises(OperationalError):
        verbs.settle([outcome], claimed.worker_name)
    assert (Job.objects.get().status, JobCheckpoint.objects.exists()) == ("Running", False)
    assert verbs.settle([outcome], claimed.worker_name) == []
    assert (Job.objects.get().status, JobCheckpoint.objects.get().data) == ("Pending", {"page": 1})


def test_inside_a_transaction_it_is_refused(durable: DurableJob) -> None:
    def handler(context: Any) -> None:
        with transaction.atomic():
            context.save_checkpoint()

    durable.run(handler)
    assert isinstance(durable.error, InvalidStep)
    assert (durable.error.code, durable.job.status) == ("in_transaction", "Dead Letter")


def test_an_attempt_that_lost_its_job_saves_nothing_and_stops(durable: DurableJob) -> None:
    def handler(context: Any) -> None:
        Job.objects.filter(pk=durable.job.pk).update(worker_name="another")
        context.save_checkpoint()

    assert isinstance(durable.run(handler), outcomes.Interrupted)
    assert not JobCheckpoint.objects.exists()
    assert durable.job.status == "Running"


def test_the_end_of_an_attempt_that_lost_its_job_saves_nothing(durable: DurableJob) -> None:
    def handler(context: Any) -> None:
        context.checkpoint["page"] = 1
        Job.objects.filter(pk=durable.job.pk).update(worker_name="another")
        raise RetryLater(0)

    durable.run(handler)
    assert not JobCheckpoint.objects.exists()


def test_both_go_with_the_job_and_those_of_others_stay(durable: DurableJob) -> None:
    other = DurableJob()

    def handler(context: Any) -> None:
        context.step("charge", dict)
        context.save_checkpoint()

    for job in (durable, other):
        job.run(handler)
    assert delete_jobs([durable.job.pk]) == 1
    assert set(JobStep.objects.values_list("job_id", flat=True)) == {other.job.pk}
    assert set(JobCheckpoint.objects.values_list("pk", flat=True)) == {other.job.pk}
