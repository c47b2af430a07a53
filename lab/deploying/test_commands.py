"""The command lines of all files are those of this release."""

from __future__ import annotations

from typing import Any

import pytest
import uvicorn
from django.core.management import get_commands, load_command_class
from uvicorn.importer import import_from_string

from lab.deploying import files


def check(command: list[str]) -> Any:
    """The options of a command as its program parses them; anything that it does not know ends the test."""
    if command[:2] == ["python", "manage.py"]:
        name, *arguments = command[2:]
        return load_command_class(get_commands()[name], name).create_parser("manage.py", name).parse_args(arguments)
    assert command[0] == "uvicorn"
    options = uvicorn.main.make_context("uvicorn", command[1:]).params
    assert callable(import_from_string(options["app"]))
    return options


def test_every_program_understands_its_command_line(subtests: pytest.Subtests) -> None:
    for place, command in files.commands().items():
        with subtests.test(place):
            check(command)


def test_each_way_has_a_web_server_workers_a_scheduler_and_migrations() -> None:
    started = {place: " ".join(command) for place, command in files.commands().items()}
    for way, end in (("Procfile ", ""), ("Compose ", ""), ("Kubernetes ", ""), ("shop-", ".service")):
        assert "uvicorn" in started[f"{way}web{end}"]
        assert "jobs_worker" in started[f"{way}worker{end}"]
        assert "jobs_scheduler" in started[f"{way}scheduler{end}"]
    assert "migrate --noinput" in started["Compose migrate"] == started["Kubernetes migrate"]
    assert started["Compose migrate"] == started["shop-migrate.service"] == started["Procfile release"]


def test_all_workers_leave_the_schedulers_work_to_the_scheduler() -> None:
    workers = [command for command in files.commands().values() if "jobs_worker" in command]
    assert len(workers) == 4
    assert all("--no-scheduler" in command for command in workers)


def test_web_servers_whose_proxy_has_another_address_believe_it_that_tls_came_in() -> None:
    """Else Django takes each form of a page for one of another origin, and the login is refused."""
    web = {place: check(command) for place, command in files.commands().items() if command[0] == "uvicorn"}
    trusted = {place: options["forwarded_allow_ips"] for place, options in web.items()}
    assert trusted.pop("shop-web.service") is None  # its proxy is on the same machine, which uvicorn believes
    assert set(trusted.values()) == {"*"}
    assert len(trusted) == 4
