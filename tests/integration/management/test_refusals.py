"""What commands say when they cannot do their work: plainly, with what to do, and without a traceback."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from django.core.management import BaseCommand, CommandError, call_command
from django.db import OperationalError, ProgrammingError

from django_jobs.exceptions import ForeignBroker
from tests.support import verbs
from tests.support.commands import refusal, run
from tests.support.verbs import PROBLEM, Finding, Interpose, Pruner, Scheduler, Supervisor, WorkerOptions

MISSING = ProgrammingError('relation "django_jobs_job" does not exist\nLINE 1: SELECT')


@pytest.fixture(autouse=True)
def real_broker(redis_client: redis.Redis) -> Iterator[None]:
    verbs.use_broker(None)
    verbs.close_shared_redis()
    yield
    verbs.use_broker(None)
    verbs.close_shared_redis()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[WorkerOptions]:
    """What workers were started; none is."""
    found: list[WorkerOptions] = []
    monkeypatch.setattr(Supervisor, "run", lambda self: found.append(self.options))
    return found


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("command", ["jobs_worker", "jobs_scheduler", "jobs_status", "jobs_prune"])
def test_a_database_without_tables_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, interpose: Interpose, started: list[WorkerOptions], command: str
) -> None:
    interpose("installation_id", failing(MISSING))
    interpose("snapshot", failing(MISSING))
    monkeypatch.setattr(Pruner, "prune", failing(MISSING))
    with pytest.raises(CommandError, match=r"\(ProgrammingError: relation .*exist\).*`manage.py migrate`") as caught:
        run(command)
    assert (verbs.code_of(caught.value.args[0]), "LINE 1" in str(caught.value)) == ("unavailable", False)
    assert started == []


def test_a_worker_waits_for_its_database(
    monkeypatch: pytest.MonkeyPatch, interpose: Interpose, started: list[WorkerOptions]
) -> None:
    answers = iter([OperationalError("no route\nto host"), OperationalError("starting up"), None])

    class Connection:
        connection = None

        def close(self) -> None:
            """Nothing was open."""

        def ensure_connection(self) -> None:
            error = next(answers)
            if error is not None:
                raise error

    pauses: list[float] = []
    real = verbs.database_connection()
    interpose("database_connection", lambda: Connection() if len(pauses) < 2 else real)
    monkeypatch.setattr("time.sleep", pauses.append)
    errors = io.StringIO()
    call_command("jobs_worker", stderr=errors, no_color=True)
    assert len(pauses) == 2
    assert len(started) == 1
    told = errors.getvalue()
    assert "(OperationalError: no route)" in told.splitlines()[0]
    assert [told.count(part) for part in ("OperationalError", "to host", "starting up")] == [1, 0, 0]


@pytest.mark.parametrize("command", ["jobs_status", "jobs_prune", "jobs_sync"])
def test_a_database_that_system_checks_find_away_is_told_of(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setattr(BaseCommand, "check", failing(OperationalError("no route\nto host")))
    with pytest.raises(CommandError, match=r"\(OperationalError: no route\)") as caught:
        call_command(command, skip_checks=False)
    assert (verbs.code_of(caught.value.args[0]), "to host" in str(caught.value)) == ("unavailable", False)


def test_a_database_that_system_checks_find_away_is_examined_all_the_same(
    monkeypatch: pytest.MonkeyPatch, interpose: Interpose
) -> None:
    monkeypatch.setattr(BaseCommand, "check", failing(OperationalError("no route")))
    interpose("examine", lambda: [Finding(level=PROBLEM, subject="database", code="away")])
    out = io.StringIO()
    assert refusal("jobs_check", skip_checks=False, stdout=out, no_color=True) == "problems"
    assert out.getvalue() == "PROBLEM  database\n"


@pytest.mark.parametrize("command", ["jobs_worker", "jobs_scheduler"])
def test_system_checks_wait_for_the_database_too(
    monkeypatch: pytest.MonkeyPatch, interpose: Interpose, started: list[WorkerOptions], command: str
) -> None:
    done: list[str] = []
    answers = iter([OperationalError("away"), None])

    def connect() -> None:
        error = next(answers, None)
        if error is not None:
            raise error

    monkeypatch.setattr(verbs.database_connection(), "ensure_connection", connect)
    monkeypatch.setattr(verbs.database_connection(), "is_usable", lambda: False)
    monkeypatch.setattr(verbs.database_connection(), "close", lambda: None)
    monkeypatch.setattr("time.sleep", lambda _: done.append("slept"))
    monkeypatch.setattr(BaseCommand, "check", lambda *_, **__: done.append("checked"))
    monkeypatch.setattr(Scheduler, "run", lambda *_: done.append("run"))
    interpose("install_job_fields", lambda: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    call_command(command, skip_checks=False, stderr=io.StringIO(), stdout=io.StringIO())
    assert done[:2] == ["slept", "checked"]
    assert started or "run" in done


@pytest.mark.parametrize("command", ["jobs_worker", "jobs_scheduler"])
@pytest.mark.parametrize("asked", ["check", "installation_id"])
def test_a_database_that_leaves_during_the_start_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, interpose: Interpose, started: list[WorkerOptions], command: str, asked: str
) -> None:
    answers = iter([OperationalError("server closed the connection unexpectedly\nprobably")])
    done: list[str] = []
    installation = verbs.installation_id()

    def ask(*_: object, **__: object) -> str:
        done.append("asked")
        for error in answers:
            raise error
        return installation

    if asked == "check":
        monkeypatch.setattr(BaseCommand, asked, ask)
    else:
        interpose(asked, ask)
    monkeypatch.setattr(verbs.database_connection(), "is_usable", lambda: False)
    monkeypatch.setattr(verbs.database_connection(), "close", lambda: done.append("closed"))
    monkeypatch.setattr("time.sleep", lambda _: done.append("slept"))
    monkeypatch.setattr(Scheduler, "run", lambda *_: done.append("run"))
    interpose("install_job_fields", lambda: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    errors = io.StringIO()
    call_command(command, skip_checks=asked != "check", stderr=errors, stdout=io.StringIO(), no_color=True)
    assert done[:4] == ["asked", "closed", "slept", "asked"]
    assert started or "run" in done
    told = errors.getvalue().splitlines()[0]
    assert "(OperationalError: server closed the connection unexpectedly)" in told


def test_a_burst_does_not_wait_for_a_database_that_leaves_during_its_start(
    monkeypatch: pytest.MonkeyPatch, interpose: Interpose, started: list[WorkerOptions]
) -> None:
    interpose("installation_id", failing(OperationalError("server closed the connection")))
    monkeypatch.setattr(verbs.database_connection(), "is_usable", lambda: False)
    with pytest.raises(CommandError, match=r"OperationalError: server closed the connection\)") as caught:
        call_command("jobs_worker", "--burst", stderr=io.StringIO())
    assert verbs.code_of(caught.value.args[0]) == "unavailable"
    assert started == []


def test_a_burst_waits_for_no_database_before_its_system_checks(
    monkeypatch: pytest.MonkeyPatch, started: list[WorkerOptions]
) -> None:
    monkeypatch.setattr(verbs.database_connection(), "ensure_connection", failing(OperationalError("away")))
    monkeypatch.setattr(BaseCommand, "check", failing(AssertionError("checked")))
    assert refusal("jobs_worker", "--burst", skip_checks=False) == "unavailable"
    assert started == []


def test_waiting_for_the_database_can_be_interrupted(
    monkeypatch: pytest.MonkeyPatch, started: list[WorkerOptions]
) -> None:
    monkeypatch.setattr(verbs.database_connection(), "ensure_connection", failing(OperationalError("away")))
    monkeypatch.setattr(verbs.database_connection(), "is_usable", lambda: False)
    monkeypatch.setattr(verbs.database_connection(), "close", lambda: None)
    monkeypatch.setattr("time.sleep", failing(KeyboardInterrupt()))
    assert refusal("jobs_worker") == "interrupted"
    assert started == []


def test_a_scheduler_puts_the_jobs_into_the_log_records(monkeypatch: pytest.MonkeyPatch, interpose: Interpose) -> None:
    done: list[str] = []
    interpose("install_job_fields", lambda: done.append("logs"))
    monkeypatch.setattr(Scheduler, "run", lambda *_: done.append("run"))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    run("jobs_scheduler")
    assert done == ["logs", "run"]


@pytest.mark.parametrize("url", ["nonsense", "redis://:sec/ret@host:6379/0", None])
def test_a_redis_url_that_is_none_is_told(settings: Any, started: list[WorkerOptions], url: str | None) -> None:
    settings.RQ_QUEUES = {name: {"URL": url} for name in settings.RQ_QUEUES}
    out = io.StringIO()
    assert refusal("jobs_check", stdout=out, no_color=True) == "problems"
    assert re.search(r"PROBLEM  broker: .*RQ_QUEUES\['jobs-normal'\] ", out.getvalue())
    for command in ("jobs_worker", "jobs_status"):
        with pytest.raises(CommandError, match=r"RQ_QUEUES\['jobs-normal'\] ") as caught:
            run(command)
        assert (verbs.code_of(caught.value.args[0]), "sec" in str(caught.value)) == ("wrong_setting", False)
    assert started == []


def test_a_worker_does_not_begin_at_the_broker_of_another_installation(
    interpose: Interpose, started: list[WorkerOptions]
) -> None:
    interpose("check_broker", failing(ForeignBroker("another's")))
    assert (refusal("jobs_worker"), started) == ("foreign_broker", [])


@pytest.mark.parametrize("arguments", [["--watch"], []])
def test_a_reader_of_the_status_who_leaves_ends_it_quietly(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stream:  # noqa: PTH123  (a descriptor; leaving flushes, as the interpreter's end does)
        call_command("jobs_status", *arguments, stdout=stream)
        stream.write("more")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--queues", "nonsense"], "unknown_queue", "'nonsense'.* jobs-critical, jobs-high, jobs-normal, jobs-low"),
        (["--threads", "99999999"], "out_of_range", "^--threads .* 1,000"),
        (["--threads", "0"], "out_of_range", "^--threads .* 1,000"),
        (["--processes", "5000"], "out_of_range", "^--processes .* 1,000"),
        (["--max-jobs", "0"], "out_of_range", "^--max-jobs "),
        (["--max-memory", "0"], "out_of_range", "^--max-memory "),
    ],
)
def test_a_worker_refuses_what_makes_no_sense(
    started: list[WorkerOptions], arguments: list[str], code: str, told: str
) -> None:
    with pytest.raises(CommandError, match=told) as caught:
        run("jobs_worker", *arguments)
    assert (verbs.code_of(caught.value.args[0]), started) == (code, [])


def test_a_worker_takes_queues_with_commas(started: list[WorkerOptions]) -> None:
    run("jobs_worker", "--queues", "jobs-low,jobs-high")
    assert [options.queues for options in started] == [("jobs-low", "jobs-high")]


def test_each_option_reaches_the_worker(started: list[WorkerOptions], monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = ("--processes", "3", "--threads", "4", "--max-jobs", "5", "--max-memory", "600")
    run("jobs_worker", *numbers, "--burst", "--no-scheduler")
    run("jobs_worker")
    assert [replace(options, supervisor="") for options in started] == [
        WorkerOptions(processes=3, threads=4, max_jobs=5, max_memory=600, burst=True, scheduler=False),
        WorkerOptions(),
    ]
    monkeypatch.setattr(Supervisor, "run", lambda self: setattr(self, "failure", "no child lives"))
    with pytest.raises(CommandError, match="no child lives"):
        run("jobs_worker")
