"""What error trackers see of a handler that fails: one record with the exception itself, and a signal."""

from __future__ import annotations

import gc
import logging
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError

from django_jobs import cancel_job, signals
from django_jobs.exceptions import JobCanceled, JobTimedOut, PermanentError, RetryLater, TransientError, WorkerStopping
from django_jobs.models import Job
from tests.integration.conftest import Listen
from tests.support import verbs
from tests.support.attempts import FreeRunner, raising
from tests.support.brokers import WORKER, end, raised, reread, returned, running_job
from tests.support.factories import make_job_type
from tests.support.verbs import Interpose

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

SECRET = "sk-live-0123456789"


class Tracker(logging.Handler):
    """Keeps what is logged at WARNING or above."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    tracker = Tracker()
    logging.getLogger("django_jobs").addHandler(tracker)
    yield tracker.records
    logging.getLogger("django_jobs").removeHandler(tracker)


@pytest.fixture
def failed(listen: Listen) -> list[tuple[str, BaseException]]:
    """What the signal tells: (status, exception)."""
    found: list[tuple[str, BaseException]] = []
    listen(signals.job_attempt_failed, lambda status, exception, **_: found.append((status.status, exception)))
    return found


def run(handler: Callable[..., Any], *, cancel: bool = False, **type_fields: Any) -> Job:
    """A job whose handler is this function, run once and settled."""
    job, claimed = running_job(job_type=make_job_type(**type_fields), parameters={"api_key": SECRET})
    claimed.handler = handler
    if cancel:
        cancel_job(job)
    outcome = verbs.run(claimed, verbs.context_for(claimed, FreeRunner()))
    assert verbs.settle([outcome], WORKER) == []
    return reread(job)


@pytest.mark.parametrize(
    ("error", "fields", "level", "event"),
    [
        (TransientError("busy"), {}, "WARNING", "failed"),
        (ValueError("unknown"), {}, "WARNING", "failed"),
        (JobTimedOut(), {}, "WARNING", "timed_out"),
        (PermanentError("never"), {}, "ERROR", "dead_letter"),
        (SystemExit(1), {}, "WARNING", "failed"),
    ],
    ids=repr,
)
def test_the_record_of_a_failure_carries_the_exception(
    records: list[logging.LogRecord],
    failed: list[tuple[str, BaseException]],
    error: BaseException,
    fields: dict[str, Any],
    level: str,
    event: str,
) -> None:
    job = run(raising(error), **fields)
    (record,) = [item for item in records if item.exc_info]
    assert (record.levelname, record.event, record.job_id) == (level, event, job.name)  # type: ignore[attr-defined]
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert failed == [(job.status, error)]
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)][-1] == "handler"
    assert SECRET not in record.getMessage()


@pytest.mark.parametrize("error", [TransientError("busy"), JobTimedOut()], ids=repr)
def test_a_last_try_is_one_error_and_not_two(
    records: list[logging.LogRecord], failed: list[tuple[str, BaseException]], error: BaseException
) -> None:
    job = run(raising(error), max_retries=0)
    assert [(item.levelname, bool(item.exc_info)) for item in records] == [("WARNING", False), ("ERROR", True)]
    assert failed == [("Dead Letter", error)]
    assert job.status == "Dead Letter"


def test_the_text_of_a_record_is_constant_for_each_event(records: list[logging.LogRecord]) -> None:
    for error in (PermanentError("one"), PermanentError("another"), TransientError("busy")):
        run(raising(error))
    texts = [item.msg for item in records]
    assert texts[0] == texts[1] != texts[2]
    assert ("event=dead_letter" in texts[0], "event=failed" in texts[2]) == (True, True)


@pytest.mark.parametrize("value", [[1, 2], {"a": {1}}], ids=["no dict", "a set"])
def test_a_result_that_cannot_be_stored_is_an_error_with_an_exception(
    records: list[logging.LogRecord], failed: list[tuple[str, BaseException]], value: Any
) -> None:
    job = run(lambda _: value)
    ((status, exception),) = failed
    assert (status, str(exception)) == ("Dead Letter", job.error_message)
    assert [item.exc_info[1] for item in records if item.exc_info] == [exception]


@pytest.mark.parametrize("error", [RetryLater(60), JobCanceled(), WorkerStopping()], ids=repr)
def test_what_is_no_failure_makes_no_record(
    records: list[logging.LogRecord], failed: list[tuple[str, BaseException]], error: BaseException
) -> None:
    run(raising(error))
    assert (records, failed) == ([], [])


def test_an_error_on_the_way_out_of_a_canceled_handler_makes_no_record(
    records: list[logging.LogRecord], failed: list[tuple[str, BaseException]]
) -> None:
    assert run(raising(ValueError("while it stopped")), cancel=True).status == "Canceled"
    assert (records, failed) == ([], [])


def test_a_lost_attempts_error_is_told_as_such(
    records: list[logging.LogRecord], failed: list[tuple[str, BaseException]]
) -> None:
    job, claimed = running_job()
    verbs.settle_lost([(job.pk, 1)], "its lease ran out", WORKER)
    records.clear()
    error = ValueError("too late")
    verbs.settle([raised(claimed, error=error)], WORKER)
    assert [(item.event, item.exc_info[1]) for item in records] == [("end_refused", error)]  # type: ignore[attr-defined,index]
    assert failed == []


def test_a_lost_worker_has_no_exception(
    records: list[logging.LogRecord], failed: list[tuple[str, BaseException]]
) -> None:
    job, _ = running_job(job_type=make_job_type(max_retries=0))
    verbs.settle_lost([(job.pk, 1)], "process 1 was killed by SIGKILL", WORKER)
    assert [item.exc_info for item in records] == [None, None]
    assert failed == []


def test_an_end_that_the_database_refuses_tells_its_error(
    interpose: Interpose, failed: list[tuple[str, BaseException]]
) -> None:
    def refuse(*_: Any) -> Any:
        raise refusal

    refusal = ValueError("the database says no")
    _, claimed = running_job()
    interpose("complete_jobs", refuse)
    assert end(returned(claimed)).status == "Dead Letter"
    assert failed == [("Dead Letter", refusal)]


def test_a_receiver_that_fails_harms_nobody(listen: Listen, failed: list[Any], records: list[Any]) -> None:
    listen(signals.job_attempt_failed, lambda **_: 1 / 0)
    assert run(raising(ValueError("x"))).status == "Failed"
    assert len(failed) == 1
    assert [item.msg.split()[0] for item in records if "event=failed" not in item.msg] == ["event=receiver_failed"]


class Large:
    """What a handler has in hand."""


def test_an_error_lets_go_of_what_its_handler_had_in_hand_once_it_is_stored() -> None:
    seen: list[weakref.ref[Large]] = []

    def handler(context: Any) -> None:
        large = Large()
        seen.append(weakref.ref(large))
        raise PermanentError("never")

    gc.disable()
    try:
        logging.disable(logging.CRITICAL)  # pytest itself keeps records
        run(handler)
        assert seen[0]() is None
    finally:
        logging.disable(logging.NOTSET)
        gc.enable()


def test_an_error_stays_with_an_end_that_is_to_be_settled_again(interpose: Interpose) -> None:
    _, claimed = running_job()
    item = raised(claimed, error=ValueError("x"))
    interpose("move", lambda *_, **__: [])  # others hold the row
    assert verbs.settle([item], WORKER) == [item]
    assert item.error is not None


def test_a_database_that_is_away_takes_no_error_from_an_end(interpose: Interpose) -> None:
    def lose(*_: Any, **__: Any) -> Any:
        raise OperationalError("server closed the connection unexpectedly")

    _, claimed = running_job()
    item = raised(claimed, error=ValueError("x"))
    interpose("move", lose)
    interpose("is_lost_connection", lambda _: True)
    with pytest.raises(OperationalError):
        verbs.settle([item], WORKER)
    assert item.error is not None
