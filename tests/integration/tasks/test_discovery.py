"""The types of tasks whose rows are made at a deployment, before anybody enqueues them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_jobs.models import JobType
from django_jobs.tasks import job_types
from tests.support import tasks, verbs
from tests.support.commands import call, run

ADD = "task:tests.support.tasks.add"
FAIL = "task:tests.support.tasks.fail"
modules_of_apps = job_types._modules_of_apps


@pytest.fixture(autouse=True)
def _apps(monkeypatch: pytest.MonkeyPatch, nothing_declared: object) -> None:
    """Installed apps that declare nothing and have the tasks of the tests."""
    verbs.forget_seen_tasks()
    # no public way: to install an app, every other one would be made ready once more
    monkeypatch.setattr(job_types, "_modules_of_apps", lambda: [tasks])
    JobType.objects.all().delete()


def changes(*options: str) -> dict[str, str]:
    """What became of each type, or would become."""
    return {item["name"]: item["change"] for item in json.loads(run("jobs_sync", "--json", *options))["job_types"]}


def test_the_rows_of_all_tasks_are_made_and_say_what_the_code_says() -> None:
    made = changes()
    assert (made[ADD], made[FAIL]) == ("created", "created")
    kind = JobType.objects.get(pk=FAIL)
    assert (kind.handler_method, kind.max_retries, kind.default_timeout, kind.submit_by) == (FAIL, 1, 17, "code")
    assert changes("--check") == {}


def test_a_migration_makes_them_too() -> None:
    call_command("migrate", verbosity=0)
    assert JobType.objects.filter(pk__in=[ADD, FAIL]).count() == 2


def test_a_check_names_what_is_missing_and_writes_nothing() -> None:
    answer = call("jobs_sync", "--check", "--json")
    assert (answer.code, answer.error["code"], ADD in answer.error["message"]) == (1, "not_up_to_date", True)
    assert not JobType.objects.exists()


def test_that_a_row_is_missing_is_no_problem_of_an_installation(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError):  # there are no workers in a test
        call_command("jobs_check")
    assert "task:" not in capsys.readouterr().out


def test_what_an_administrator_changed_stays() -> None:
    run("jobs_sync")
    JobType.objects.filter(pk=FAIL).update(max_retries=9)
    (told,) = json.loads(run("jobs_sync", "--json"))["job_types"]
    assert (told["name"], told["change"], told["kept"]) == (FAIL, "unchanged", ["max_retries"])


def test_who_enqueues_then_writes_no_row_of_a_type() -> None:
    run("jobs_sync")
    with CaptureQueriesContext(connection) as captured:
        tasks.fail.enqueue("x")
    table = connection.ops.quote_name(JobType._meta.db_table)
    written = [query["sql"] for query in captured.captured_queries if f"INTO {table}" in query["sql"]]
    written += [query["sql"] for query in captured.captured_queries if query["sql"].startswith(f"UPDATE {table}")]
    assert (written, JobType.objects.get(pk=FAIL).max_retries) == ([], 1)


def test_what_nobody_could_enqueue_is_told_and_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = tasks.task()(tasks.whose)
    # no public way: the decorator refuses what an older release may have taken
    monkeypatch.setitem(wrong.func.__dict__, "_django_jobs_options", {"max_retries": -1})
    monkeypatch.setattr(tasks, "whose", wrong)
    assert changes()[ADD] == "created"
    assert not JobType.objects.filter(pk="task:tests.support.tasks.whose").exists()
    assert "event=task_left_out task=tests.support.tasks.whose" in caplog.text


def test_a_name_that_the_database_takes_for_that_of_another_task_is_told_and_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = {f"task:tests.support.tasks.{name}" for name in ("whisper", "Whisper")}
    made = changes()
    there = set(JobType.objects.filter(pk__in=names).values_list("pk", flat=True))
    assert {name for name in names if made.get(name) == "created"} == there
    assert {name for name in names if f"event=job_type_left_out job_type={name} " in caplog.text} == names - there
    assert changes("--check") == {}


def test_a_task_under_another_name_than_its_own_is_none_that_workers_find() -> None:
    found = {task.module_path for task in verbs.tasks_in([tasks])}
    assert {"tests.support.tasks.add", "tests.support.tasks.bare"} <= found
    assert not any("lambda" in path for path in found)
    elsewhere = ModuleType("elsewhere")
    elsewhere.__dict__["add"] = tasks.add
    assert list(verbs.tasks_in([elsewhere])) == []


@pytest.mark.parametrize("backend", ["immediate", "unknown", "ours, misspelled"])
def test_without_a_backend_of_ours_there_are_none(settings: Any, backend: str) -> None:
    framework = "django.tasks" if "django.tasks" in sys.modules else "django_tasks"
    said = {
        "immediate": {"BACKEND": f"{framework}.backends.immediate.ImmediateBackend"},
        "unknown": {"BACKEND": "nowhere.Backend"},
        "ours, misspelled": {"BACKEND": "django_jobs.tasks.JobsBackend", "OPTIONS": {"max_retrys": 1}},
    }
    settings.TASKS = {"default": said[backend]}
    assert verbs.declarations_of_tasks() == []


class Unready:
    """A backend that cannot be made here."""

    def __init__(self, alias: str, params: Any) -> None:
        raise RuntimeError("no server")


def test_the_backend_of_another_package_that_cannot_be_made_stops_no_deployment(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.TASKS = {"another": {"BACKEND": f"{__name__}.Unready"}, **settings.TASKS}
    assert changes()[ADD] == "created"
    assert "event=task_backend_left_out backend=another error=RuntimeError('no server')" in caplog.text


def test_the_module_tasks_of_each_app_is_imported_and_one_that_fails_stops_no_deployment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    configs = []
    for name, text in (("broken_shop", "import nowhere_at_all"), ("sound_shop", "DONE = True"), ("bare_shop", None)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        if text is not None:
            (tmp_path / name / "tasks.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        configs.append(SimpleNamespace(name=name, module=__import__(name)))
    monkeypatch.setattr(apps, "get_app_configs", lambda: configs)
    job_types._load()
    assert "sound_shop.tasks" in sys.modules
    assert "event=tasks_not_loaded module=broken_shop.tasks error=ModuleNotFoundError" in caplog.text
    for name in [name for name in sys.modules if name.split(".")[0] in {"broken_shop", "sound_shop", "bare_shop"}]:
        monkeypatch.delitem(sys.modules, name)


def test_what_is_loaded_of_the_installed_apps_is_looked_at() -> None:
    names = {module.__name__ for module in modules_of_apps()}
    assert {"django_jobs", "django_jobs.models.job", "example_project.shop.jobs"} <= names
    assert not any(name.startswith(("django.core", "tests.")) for name in names)
