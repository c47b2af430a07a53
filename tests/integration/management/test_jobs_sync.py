"""The command that brings declared job types into the database, or says that somebody should."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils.translation import gettext_lazy

from django_jobs import job_handler
from django_jobs.admin.formatting import type_title
from django_jobs.engine.job_types import declarations, declared_types
from django_jobs.management import exit_codes
from django_jobs.models import JobType
from tests.support import handlers
from tests.support.bracketed_language import speak_in_brackets
from tests.support.commands import call, run

UP_TO_DATE = "The rows of all declared job types are up to date.\n"


@pytest.fixture(autouse=True)
def nothing_declared(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declarations, "_declared", {})
    JobType.objects.all().delete()


def declare(name: str = "bake", **fields: Any) -> None:
    """What the code declares of a type from now on."""
    declarations._declared.pop(name, None)
    job_handler(name, **fields)(handlers.do_nothing)


def refused_check(out: Any = None) -> str:
    with pytest.raises(CommandError) as caught:
        call_command("jobs_sync", "--check", stdout=out or io.StringIO())
    return str(caught.value)


def test_a_missing_row_is_made() -> None:
    declare(max_retries=2)
    assert run("jobs_sync") == "bake: created\n"
    assert JobType.objects.get(pk="bake").max_retries == 2
    assert run("jobs_sync") == UP_TO_DATE


def test_a_lazy_text_is_stored_as_the_code_has_it_in_every_language() -> None:
    declare(display_name=gettext_lazy("Bake bread"))
    with speak_in_brackets():
        run("jobs_sync")
        assert JobType.objects.get(pk="bake").display_name == "Bake bread"
        assert type_title(JobType.objects.get(pk="bake")) == "[Bake bread]"
    assert run("jobs_sync", "--check") == UP_TO_DATE


def test_a_check_names_what_is_missing_and_writes_nothing() -> None:
    declare("bake")
    declare("cook")
    out = io.StringIO()
    assert refused_check(out) == "Not up to date: bake, cook. Run `manage.py migrate` or `manage.py jobs_sync`."
    assert out.getvalue() == "bake: would be created\ncook: would be created\n"
    assert not JobType.objects.exists()


def test_a_check_of_what_is_up_to_date_is_quiet() -> None:
    declare()
    run("jobs_sync")
    assert run("jobs_sync", "--check") == UP_TO_DATE


def test_what_the_code_has_changed_since_is_named() -> None:
    declare(max_retries=2)
    run("jobs_sync")
    declare(max_retries=3, retry_delay=7)
    assert refused_check().startswith("Not up to date: bake.")
    assert JobType.objects.get(pk="bake").max_retries == 2
    assert run("jobs_sync") == "bake: updated (max_retries, retry_delay)\n"
    assert JobType.objects.get(pk="bake").max_retries == 3


def test_what_an_administrator_changed_is_left_and_named() -> None:
    declare(max_retries=2, retry_delay=7)
    run("jobs_sync")
    JobType.objects.update(max_retries=9)
    declare(max_retries=3, retry_delay=8)
    expected = "bake: updated (retry_delay)\nbake: left as an administrator has it (max_retries)\n"
    assert run("jobs_sync") == expected
    assert JobType.objects.get(pk="bake").max_retries == 9
    left = "bake: left as an administrator has it (max_retries)\n"
    assert run("jobs_sync", "--check") == left + UP_TO_DATE


def test_a_row_that_equals_its_new_declaration_is_to_be_noted() -> None:
    JobType.objects.create(type_name="bake", handler_method="tests.support.handlers.do_nothing", submit_by="code")
    declare()
    assert refused_check().startswith("Not up to date: bake.")
    assert run("jobs_sync") == "bake: updated (what the code says is remembered)\n"


def test_a_type_that_no_code_declares_any_more_is_left_and_named() -> None:
    declare()
    run("jobs_sync")
    declarations._declared.clear()
    assert run("jobs_sync", "--check").startswith("bake: left, though no code declares it")
    JobType.objects.update(is_enabled=False)
    assert run("jobs_sync", "--check") == UP_TO_DATE


def test_a_wrong_declaration_is_told_in_one_line() -> None:
    declare(default_priority="urgent")
    assert "bake (tests.support.handlers.do_nothing" in refused_check()


def test_without_the_table_the_migration_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    declare()
    monkeypatch.setattr(connection.introspection, "table_names", list)
    with pytest.raises(CommandError, match=r"run `manage.py migrate`"):
        run("jobs_sync")
    for arguments in [], ["--check"]:
        answer = call("jobs_sync", *arguments, "--json")
        assert (answer.code, answer.error["code"]) == (exit_codes.UNAVAILABLE, "unavailable")


def test_a_type_that_somebody_deletes_meanwhile_is_not_told_as_written() -> None:
    declare()
    run("jobs_sync")
    row = JobType.objects.get(pk="bake")
    JobType.objects.all().delete()

    found = declared_types._update(row, {**(row.declared or {}), "description": "new"}, JobType, "default")
    assert (found.type_name, found.is_written) == ("bake", False)
    assert not JobType.objects.exists()
