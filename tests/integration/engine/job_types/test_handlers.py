"""Which functions may be handlers: asked when a type is saved, and again when a job is claimed."""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command

from django_jobs import get_job_history, retry_job
from django_jobs.models import ExecutionLog, Job, JobType
from tests.support import handlers as functions
from tests.support import verbs
from tests.support.brokers import WORKER, job_in, pending_job, queue_up, reread, ticket_of
from tests.support.factories import make_job_type, make_organization
from tests.support.tuning import Tuning
from tests.support.verbs import HandlerNotAllowed, HandlerNotLoadable

GONE = "tests.support.handlers.of_the_next_release"

pytestmark = pytest.mark.usefixtures("broker")


def of_a_test() -> None:
    """In a module that is not allowed."""


def refuse(job: Job) -> Job:
    """The job, after a worker has looked at its ticket and not started it."""
    assert verbs.claim([ticket_of(reread(job))], WORKER) == []
    return reread(job)


def age(job: Job, minutes: int) -> None:
    """Let everything that happened to the job have happened so long ago."""
    for log in ExecutionLog.objects.filter(job=job):
        ExecutionLog.objects.filter(pk=log.pk).update(timestamp=log.timestamp - dt.timedelta(minutes=minutes))


@pytest.mark.parametrize("path", ["tests.support.handlers.echo", "tests.support.handlers.echo_async"])
def test_a_function_of_an_allowed_module_is_accepted(path: str) -> None:
    JobType(type_name="echo", handler_method=path).full_clean()


def codes_of(kind: JobType) -> dict[str, list[Any]]:
    """What is wrong with a type that is to be saved."""
    with pytest.raises(ValidationError) as caught:
        kind.full_clean()
    return {name: [error.code for error in errors] for name, errors in caught.value.error_dict.items()}


def test_a_module_whose_name_only_begins_as_an_allowed_one_is_not_allowed(
    monkeypatch: pytest.MonkeyPatch, tuning: Tuning
) -> None:
    tuning.set(loaded_handlers={})
    monkeypatch.setitem(sys.modules, "tests.support.handlers_of_others", functions)
    kind = JobType(type_name="echo", handler_method="tests.support.handlers_of_others.echo")
    assert codes_of(kind) == {"handler_method": ["handler_not_allowed"]}


def test_another_path_is_refused_when_the_type_is_saved(
    subtests: pytest.Subtests, monkeypatch: pytest.MonkeyPatch, tuning: Tuning
) -> None:
    tuning.set(loaded_handlers={})
    cases: list[tuple[str, str]] = [
        ("os.system", "handler_not_allowed"),
        ("tests.integration.engine.job_types.test_handlers.of_a_test", "handler_not_allowed"),
        ("tests.support.handlers_of_another", "handler_not_allowed"),
        ("tests.support.handlers.TransientError", "not_a_function"),
        ("tests.support.handlers.__name__", "not_a_function"),
        ("tests.support.handlers.annotations", "not_a_function"),
        ("tests.support.handlers.submitted_elsewhere", "handler_not_allowed"),
        ("tests.support.handlers.os.system", "handler_not_loadable"),
        (GONE, "handler_not_loadable"),
        ("echo", "not_a_path"),
        (".echo", "not_a_path"),
        ("tests.support.handlers.", "handler_not_loadable"),
    ]
    for path, code in cases:
        with subtests.test(path=path, code=code):
            monkeypatch.setattr(functions, "submitted_elsewhere", of_a_test, raising=False)
            assert codes_of(JobType(type_name="echo", handler_method=path)) == {"handler_method": [code]}


def test_a_missing_path_is_told_once() -> None:
    assert codes_of(JobType(type_name="echo")) == {"handler_method": ["blank"]}


def test_a_path_that_was_stored_once_stays() -> None:
    kind = make_job_type()
    JobType.objects.update(handler_method=GONE)
    kind.refresh_from_db()
    kind.is_paused = True
    kind.full_clean()


def test_a_path_that_is_changed_is_looked_at_anew() -> None:
    kind = make_job_type()
    kind.handler_method = GONE
    with pytest.raises(ValidationError):
        kind.full_clean()


def test_a_pool_that_is_not_configured_is_refused_unless_it_is_stored(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    kind = make_job_type(pool="gpu")
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {}}
    kind.full_clean()
    kind.pool = "tpu"
    assert codes_of(kind) == {"pool": ["unknown_pool"]}


def test_a_row_may_be_there_before_its_code() -> None:
    JobType.objects.create(type_name="later", handler_method=GONE)
    assert JobType.objects.get(pk="later").handler_method == GONE


def test_a_fixture_may_be_loaded_before_its_code(tmp_path: Path) -> None:
    fixture = tmp_path / "types.json"
    rows = [{"model": "django_jobs.jobtype", "pk": "later", "fields": {"handler_method": GONE}}]
    fixture.write_text(json.dumps(rows))
    call_command("loaddata", str(fixture), verbosity=0)
    assert JobType.objects.get(pk="later").handler_method == GONE


def test_what_the_setting_adds_is_asked_each_time(settings: Any) -> None:
    assert verbs.handler_path_problem("tests.support.handlers.echo") is None
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "HANDLER_MODULES": ()}
    assert getattr(verbs.handler_path_problem("tests.support.handlers.echo"), "code", "") == "handler_not_allowed"


def test_a_module_that_exits_while_it_is_imported_is_not_loadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    (tmp_path / "leaving.py").write_text("raise SystemExit(1)")
    monkeypatch.syspath_prepend(tmp_path)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "HANDLER_MODULES": ["leaving"]}
    problem: Any = verbs.handler_path_problem("leaving.run")
    assert (problem.code, "leaving.run" in problem, "SystemExit" in problem) == ("handler_not_loadable", True, True)


def test_a_job_that_one_worker_cannot_load_is_taken_by_another(monkeypatch: pytest.MonkeyPatch, tuning: Tuning) -> None:
    job = job_in("Queued")
    with monkeypatch.context() as older_release:
        older_release.delattr(functions, "do_nothing")
        tuning.set(loaded_handlers={})
        assert refuse(job).status == "Pending"
    (claimed,) = verbs.claim([ticket_of(queue_up(job))], "worker-2")
    assert (claimed.attempt, claimed.handler) == (1, functions.do_nothing)


def test_each_job_waits_for_its_own_ten_minutes() -> None:
    kind, organization = make_job_type(), make_organization()
    old, new = (queue_up(pending_job(kind, organization)) for _ in range(2))
    JobType.objects.update(handler_method=GONE)
    refuse(old)
    age(old, minutes=11)
    assert verbs.claim([ticket_of(queue_up(old)), ticket_of(new)], WORKER) == []
    assert (reread(old).status, reread(new).status) == ("Dead Letter", "Pending")
    assert GONE in verbs.last_traceback(old)


def test_a_retry_by_hand_waits_for_ten_minutes_again() -> None:
    job = job_in("Queued")
    JobType.objects.update(handler_method=GONE)
    refuse(job)
    age(job, minutes=11)
    assert refuse(queue_up(job)).status == "Dead Letter"
    retry_job(job)
    assert refuse(queue_up(job)).status == "Pending"


def test_a_pause_ends_the_ten_minutes() -> None:
    job = job_in("Queued")
    JobType.objects.update(handler_method=GONE)
    refuse(job)
    age(job, minutes=11)
    JobType.objects.update(is_paused=True)
    refuse(queue_up(job))
    JobType.objects.update(is_paused=False)
    assert refuse(queue_up(job)).status == "Pending"


def test_a_handler_that_is_not_allowed_is_a_dead_letter_at_once() -> None:
    job = job_in("Queued")
    JobType.objects.update(handler_method="os.system")
    assert refuse(job).status == "Dead Letter"
    assert "os.system" in verbs.last_traceback(job)
    assert "os.system" not in f"{get_job_history(job)} {reread(job).error_message}"


@pytest.mark.parametrize("path", ["next_release.jobs.run", "tests.next_release.jobs.reports.run"])
def test_a_handler_of_an_app_that_this_release_lacks_waits_for_another_worker(path: str) -> None:
    job = job_in("Queued")
    JobType.objects.update(handler_method=path)
    assert refuse(job).status == "Pending"
    module = path.rpartition(".")[0]
    assert [name in verbs.last_traceback(job) for name in (f" {path} ", f" {module})")] == [True, True]
    age(job, minutes=11)
    assert refuse(queue_up(job)).status == "Dead Letter"


@pytest.fixture
def forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that tells when somebody imports it, or a part of it."""
    for name in ("forbidden", "forbidden/inner", "bare/deep"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("forbidden/__init__", "forbidden/inner/__init__", "forbidden/inner/jobs", "bare/deep/jobs", "single"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return str(tmp_path)


@pytest.mark.usefixtures("forbidden")
def test_whether_there_is_a_module_is_found_out_without_importing_anything(subtests: pytest.Subtests) -> None:
    cases = [
        ("forbidden.inner.jobs.run", True),
        ("forbidden.inner.run", True),
        ("single.run", True),
        ("json.decoder.run", True),
        ("forbidden.jobs.run", False),
        ("forbidden.inner.jobs.deeper.run", False),
        ("single.jobs.run", False),
        ("bare.jobs.run", False),
        ("forbidden..jobs.run", False),
        ("for bidden.jobs.run", False),
    ]
    before = set(sys.modules)
    for path, is_there in cases:
        with subtests.test(path=path):
            with pytest.raises((HandlerNotAllowed, HandlerNotLoadable)) as caught:
                verbs.resolve_handler(path)
            assert (caught.type is HandlerNotAllowed) == is_there
    assert not {name for name in set(sys.modules) - before if name.startswith(("forbidden", "single", "bare"))}


def test_a_refused_job_waits_a_moment_before_the_next_worker_looks() -> None:
    job = job_in("Queued")
    JobType.objects.update(handler_method=GONE)
    ready_at = refuse(job).ready_at
    assert ready_at is not None
    assert 0 < (ready_at - verbs.now()).total_seconds() <= verbs.NOT_LOADABLE_DELAY
