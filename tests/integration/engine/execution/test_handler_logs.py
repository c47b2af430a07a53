"""What handlers write to the log is kept with their attempts, and disturbs neither them nor the host's logging."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import DataError
from pytest_django import Settings

from django_jobs.engine.execution import handler_logs
from django_jobs.exceptions import PermanentError, RetryLater
from django_jobs.models import AttemptLog, Job
from tests.support import verbs
from tests.support.brokers import pending_job
from tests.support.deletions import delete_jobs
from tests.support.durable import DurableJob
from tests.support.verbs import Interpose, LineBuffer

pytestmark = pytest.mark.usefixtures("broker")

logger = logging.getLogger("shop.mails")


@pytest.fixture(autouse=True)
def _left_as_it_was() -> Iterator[None]:
    """No test leaves the collector at a logger, or a logger of its own way."""
    yield
    for found in [logging.root, *logging.root.manager.loggerDict.values()]:
        if isinstance(found, logging.Logger):
            found.removeHandler(handler_logs._collector)
    logger.propagate = True


@pytest.fixture
def kept(settings: Settings) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "HANDLER_LOGS": {"level": "WARNING", "max_lines": 10}}


def texts(job: Job) -> dict[int, list[str]]:
    """The lines of each attempt."""
    rows = AttemptLog.objects.filter(job_id=job.pk).order_by("attempt")
    return {row.attempt: [line[3] for line in (*row.first_lines, *row.last_lines)] for row in rows}


class Refusing:
    """In the place of the model: a database that takes no lines."""

    def __init__(self, **fields: Any) -> None:
        self.first_lines = self.last_lines = fields["first_lines"]

    @staticmethod
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise DataError("too long")

    primary = SimpleNamespace(bulk_create=refuse)


def saying(*lines: str, error: BaseException | None = None) -> Any:
    def handler(context: Any) -> None:
        for line in lines:
            logger.warning("%s in attempt %s", line, context.attempt)
        if error is not None:
            raise error

    return handler


@pytest.mark.usefixtures("kept")
def test_the_lines_of_each_attempt_are_kept_however_it_ends() -> None:
    durable = DurableJob()
    durable.run(saying("postponed", error=RetryLater(0)))
    durable.run(saying("quiet"))
    assert texts(durable.job) == {1: ["postponed in attempt 1"], 2: ["quiet in attempt 2"]}


@pytest.mark.usefixtures("kept")
def test_a_line_knows_its_moment_level_and_logger() -> None:
    durable = DurableJob()
    durable.run(saying("a", error=PermanentError("b")))
    ((moment, level, name, _),) = AttemptLog.objects.get(job_id=durable.job.pk).first_lines
    assert (level, name) == ("WARNING", "shop.mails")
    assert abs(moment - durable.job.completed_at.timestamp()) < 60  # type: ignore[union-attr]


@pytest.mark.usefixtures("kept")
def test_lines_below_the_level_and_lines_of_nobody_are_not_kept() -> None:
    durable = DurableJob()
    durable.run(lambda _: logger.info("too quiet"))
    logger.warning("outside")
    assert texts(durable.job) == {}


@pytest.mark.usefixtures("kept")
def test_coroutines_and_threads_with_the_context_belong_to_the_attempt() -> None:
    async def handler(context: Any) -> None:
        logger.warning("in the loop")
        await sync_to_async(logger.warning)("in its thread")
        await asyncio.create_task(asyncio.to_thread(logger.warning, "in another thread"))

    durable = DurableJob()
    durable.run(handler)

    def starts_threads(context: Any) -> None:
        known, unknown = contextvars.copy_context(), contextvars.Context()
        for found, text in ((known, "known"), (unknown, "unknown")):
            thread = threading.Thread(target=lambda found=found, text=text: found.run(logger.warning, text))
            thread.start()
            thread.join()

    other = DurableJob()
    other.run(starts_threads)
    assert texts(durable.job) == {1: ["in the loop", "in its thread", "in another thread"]}
    assert texts(other.job) == {1: ["known"]}


@pytest.mark.usefixtures("kept")
def test_of_many_lines_the_first_and_the_last_are_kept_and_the_others_counted() -> None:
    durable = DurableJob()
    durable.run(saying(*map(str, range(100))))
    row = AttemptLog.objects.get(job_id=durable.job.pk)
    assert (len(row.first_lines), len(row.last_lines), row.dropped) == (5, 5, 90)
    assert row.last_lines[-1][3] == "99 in attempt 1"


@pytest.mark.usefixtures("kept")
def test_a_logger_that_passes_nothing_on_is_heard() -> None:
    logger.propagate = False
    durable = DurableJob()
    durable.run(saying("closed"))
    assert texts(durable.job) == {1: ["closed in attempt 1"]}


@pytest.mark.usefixtures("kept")
def test_an_argument_that_writes_to_the_log_itself_makes_no_circle() -> None:
    class Talkative:
        def __str__(self) -> str:
            write(self)
            return "talkative"

    def write(argument: object) -> None:
        record = logging.LogRecord("shop.mails", logging.WARNING, "", 1, "%s", (argument,), None)
        handler_logs._collector.handle(record)

    durable = DurableJob()
    durable.run(lambda _: write(Talkative()))
    assert texts(durable.job) == {1: ["talkative"]}


@pytest.mark.usefixtures("kept")
def test_the_hosts_warnings_are_written_where_it_has_no_handlers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr("logging.lastResort", logging.StreamHandler())
    DurableJob().run(saying("heard"))
    assert capsys.readouterr().err == "heard in attempt 1\n"


@pytest.mark.usefixtures("kept")
def test_the_values_of_sensitive_parameters_are_masked(settings: Settings) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ["password"]}
    durable = DurableJob()
    durable.job = pending_job(parameters={"password": "hunter2"})
    durable.run(lambda context: logger.warning("login with %s", context.parameters["password"]))
    assert texts(durable.job) == {1: ["login with ********"]}


@pytest.mark.parametrize("value", [None, {"level": "LOUD"}, 3])
def test_where_it_is_off_or_wrong_nothing_is_kept(settings: Settings, value: Any) -> None:
    durable = DurableJob()
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "HANDLER_LOGS": value}
    durable.run(saying("x", error=RetryLater(0)))
    assert texts(durable.job) == {}


@pytest.mark.usefixtures("kept")
def test_an_end_whose_lines_the_database_refuses_is_stored(interpose: Interpose) -> None:
    durable = DurableJob()
    interpose("AttemptLog", Refusing)
    durable.run(saying("x"))
    assert (durable.job.status, texts(durable.job)) == ("Completed", {})


@pytest.mark.usefixtures("kept")
def test_the_lines_of_an_end_that_the_database_refuses_are_stored(interpose: Interpose) -> None:
    real = verbs.move

    def refusing(moves: Any, *terms: Any) -> Any:
        if any(item.to_status == "Completed" for item in moves):
            raise DataError("unsupported Unicode escape sequence")
        return real(moves, *terms)

    interpose("move", refusing)
    durable = DurableJob()
    durable.run(saying("one"))
    assert (durable.job.status, texts(durable.job)) == ("Dead Letter", {1: ["one in attempt 1"]})


@pytest.mark.usefixtures("kept")
def test_the_lines_go_with_their_job() -> None:
    durable = DurableJob()
    durable.run(saying("x"))
    delete_jobs([durable.job.pk])
    assert not AttemptLog.objects.exists()


@pytest.mark.usefixtures("kept")
def test_a_record_that_cannot_be_taken_is_no_matter_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    durable = DurableJob()
    monkeypatch.setattr(LineBuffer, "add", lambda *_: 1 / 0)
    durable.run(saying("x"))
    assert (durable.job.status, texts(durable.job)) == ("Completed", {})


@pytest.mark.usefixtures("kept")
def test_lines_that_cannot_be_ended_are_no_matter_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    durable = DurableJob()
    monkeypatch.setattr(LineBuffer, "close", lambda *_: 1 / 0)
    durable.run(saying("x"))
    assert (durable.job.status, texts(durable.job)) == ("Completed", {})


@pytest.mark.usefixtures("kept")
def test_values_that_the_handler_takes_out_of_its_parameters_are_masked(settings: Settings) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ["password"]}
    durable = DurableJob()
    durable.job = pending_job(parameters={"password": "hunter2"})
    durable.run(lambda context: logger.warning("login with %s", context.parameters.pop("password")))
    assert texts(durable.job) == {1: ["login with ********"]}


@pytest.mark.usefixtures("kept")
def test_the_hosts_warnings_are_written_where_a_closed_logger_has_no_handlers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("logging.lastResort", logging.StreamHandler())
    logger.propagate = False
    durable = DurableJob()
    durable.run(saying("heard"))
    assert capsys.readouterr().err == "heard in attempt 1\n"
    assert texts(durable.job) == {1: ["heard in attempt 1"]}
