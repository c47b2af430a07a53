"""The command that brings declared job types into the database, or says that somebody should."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError
from django.db import connection
from django.utils.translation import gettext_lazy

from django_jobs import job_handler
from django_jobs.models import JobType, Schedule
from tests.support import handlers, verbs
from tests.support.bracketed_language import speak_in_brackets
from tests.support.commands import call, reason_of, run
from tests.support.statements import before_statement
from tests.support.verbs import ExitCode


@pytest.fixture(autouse=True)
def no_types(db: None, nothing_declared: object) -> None:
    JobType.objects.all().delete()


def declare(name: str = "bake", **fields: Any) -> None:
    """What the code declares of a type from now on."""
    job_handler(name, **fields)(handlers.do_nothing)


def synced(*options: str) -> list[tuple[str, str, list[str], list[str]]]:
    """What became of each type, or would become: its fields that change, and those that stay as somebody set them."""
    told = json.loads(run("jobs_sync", "--json", *options))["job_types"]
    return [(item["name"], item["change"], item["fields"], item["kept"]) for item in told]


def refused_check() -> Any:
    answer = call("jobs_sync", "--check", "--json")
    assert (answer.code, answer.error["code"]) == (1, "not_up_to_date")
    return [(item["name"], item["change"]) for item in answer.facts["job_types"]]


def test_a_missing_row_is_made() -> None:
    declare(max_retries=2)
    assert "bake" in run("jobs_sync")
    assert JobType.objects.get(pk="bake").max_retries == 2
    assert synced() == []
    assert run("jobs_sync")


def test_a_lazy_text_is_stored_as_the_code_has_it_in_every_language() -> None:
    declare(display_name=gettext_lazy("Bake bread"))
    with speak_in_brackets():
        run("jobs_sync")
        assert JobType.objects.get(pk="bake").display_name == "Bake bread"
        assert verbs.job_type_title(JobType.objects.get(pk="bake")) == "[Bake bread]"
    assert synced("--check") == []


def test_a_check_names_what_is_missing_and_writes_nothing() -> None:
    declare("bake")
    declare("cook")
    assert refused_check() == [("bake", "created"), ("cook", "created")]
    answer = call("jobs_sync", "--check")
    assert all(name in answer.err for name in ("bake", "cook", "`manage.py migrate`", "`manage.py jobs_sync`"))
    assert not JobType.objects.exists()


def test_a_check_names_a_schedule_that_is_missing_alone() -> None:
    declare(schedule="0 3 * * *")
    run("jobs_sync")
    Schedule.objects.all().delete()
    answer = call("jobs_sync", "--check", "--json")
    assert (answer.code, answer.error["code"], answer.facts["job_types"]) == (1, "not_up_to_date", [])
    assert [(item["name"], item["change"]) for item in answer.facts["schedules"]] == [("bake", "created")]


def test_a_check_of_what_is_up_to_date_is_quiet() -> None:
    declare()
    run("jobs_sync")
    answer = call("jobs_sync", "--check")
    assert (answer.code, answer.err, synced("--check")) == (0, "", [])


def test_what_the_code_has_changed_since_is_named() -> None:
    declare(max_retries=2)
    run("jobs_sync")
    declare(max_retries=3, retry_delay=7)
    assert refused_check() == [("bake", "updated")]
    assert JobType.objects.get(pk="bake").max_retries == 2
    assert synced() == [("bake", "updated", ["max_retries", "retry_delay"], [])]
    assert JobType.objects.get(pk="bake").max_retries == 3


def test_what_an_administrator_changed_is_left_and_named() -> None:
    declare(max_retries=2, retry_delay=7)
    run("jobs_sync")
    JobType.objects.update(max_retries=9)
    declare(max_retries=3, retry_delay=8)
    assert synced() == [("bake", "updated", ["retry_delay"], ["max_retries"])]
    assert JobType.objects.get(pk="bake").max_retries == 9
    assert synced("--check") == [("bake", "unchanged", [], ["max_retries"])]
    assert "max_retries" in run("jobs_sync", "--check")


def test_a_row_that_equals_its_new_declaration_is_to_be_noted() -> None:
    JobType.objects.create(type_name="bake", handler_method="tests.support.handlers.do_nothing", submit_by="code")
    declare()
    assert refused_check() == [("bake", "updated")]
    assert synced() == [("bake", "updated", [], [])]


def test_a_type_that_no_code_declares_any_more_is_left_and_named(nothing_declared: Callable[[], None]) -> None:
    declare()
    run("jobs_sync")
    nothing_declared()
    assert json.loads(run("jobs_sync", "--check", "--json"))["undeclared"] == ["bake"]
    assert "bake" in run("jobs_sync", "--check")
    for values in ({"is_enabled": False}, {"is_enabled": True, "handler_method": "task:kitchen.bake"}):
        JobType.objects.update(**values)
        assert json.loads(run("jobs_sync", "--check", "--json"))["undeclared"] == []


def test_a_wrong_declaration_is_told_in_one_line() -> None:
    declare(default_priority="urgent")
    with pytest.raises(CommandError, match=r"bake \(tests.support.handlers.do_nothing") as caught:
        run("jobs_sync", "--check")
    assert reason_of(caught.value) == "wrong_setting"


def test_without_the_table_the_migration_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    declare()
    monkeypatch.setattr(connection.introspection, "table_names", list)
    assert "`manage.py migrate`" in call("jobs_sync").err
    for arguments in [], ["--check"]:
        answer = call("jobs_sync", *arguments, "--json")
        assert (answer.code, answer.error["code"]) == (ExitCode.UNAVAILABLE, "unavailable")


def test_a_type_that_somebody_deletes_meanwhile_is_not_told_as_written() -> None:
    declare()
    run("jobs_sync")
    declare(description="new")
    with before_statement("UPDATE", JobType, JobType.objects.all().delete):
        assert synced() == []
    assert not JobType.objects.exists()
