"""The page about commands: its examples run, and its tables say what the commands are."""

from __future__ import annotations

import re

import pytest
from django.core.management import BaseCommand, get_commands, load_command_class

from tests.integration.management.test_json_answers import KEYS
from tests.support.consoles import type_all, typed_in
from tests.support.documents import DOCS
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import ExitCode

PAGE = (DOCS / "commands.md").read_text()
OWN = ("jobs_submit", "jobs_cancel", "jobs_retry", "jobs_pause", "jobs_resume")


def options_of(name: str) -> set[str]:
    parser = load_command_class("django_jobs", name).create_parser("", name)
    return {option for action in parser._actions for option in action.option_strings if option.startswith("--")}


@pytest.mark.usefixtures("broker")
def test_the_examples_answer_what_the_page_says() -> None:
    make_organization(name="acme")
    make_job_type(type_name="print_letters")
    assert len(typed_in("commands.md")) > 15
    for line, answer, told in type_all("commands.md"):
        assert (line, answer) == (line, told)


def test_the_page_names_only_options_that_there_are() -> None:
    commands = [name for name, app in get_commands().items() if app == "django_jobs"]
    there = set[str]().union(*map(options_of, commands))
    assert set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", PAGE)) - there == set()


def test_the_page_names_all_options_but_the_filters() -> None:
    plain = {option for action in BaseCommand().create_parser("", "")._actions for option in action.option_strings}
    filters = options_of("jobs_replay") - {"--rate", "--wait", "--dry-run", "--json", "--all"}
    for name in OWN:
        missing = [option for option in options_of(name) - plain - filters if f"{option}" not in PAGE]
        assert (name, missing) == (name, [])


def test_the_table_has_each_exit_code() -> None:
    codes = set(map(int, ExitCode))
    assert {int(code) for code in re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE)} == codes


def test_the_table_has_the_keys_of_the_status() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| `jobs_status` |"))
    assert re.findall(r"`(\w+)`", row)[1:] == [*KEYS]
