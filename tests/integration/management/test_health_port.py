"""``--health-port`` of the commands: wrong and busy ports, and what a scheduler tells."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_jobs.engine.process_counts import SUBMITTED, Key
from django_jobs.health.notes import HealthNotes
from django_jobs.management.commands import jobs_worker
from django_jobs.management.health_port import HealthPort
from tests.support.addresses import free_port
from tests.support.probes import code_of

PORTS = ["jobs_worker", "jobs_scheduler"]


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("command", PORTS)
@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_a_number_that_is_no_port_is_refused(command: str, port: int) -> None:
    with pytest.raises(CommandError, match=r"--health-port must be between 1 and 65,535\."):
        call_command(command, health_port=port)


@pytest.mark.parametrize("command", PORTS)
def test_a_busy_port_is_refused_at_the_start_with_what_to_do(command: str, busy_port: int) -> None:
    with pytest.raises(CommandError, match=rf"port {busy_port} of 127.0.0.1 \(Address already in use\)\. Choose a"):
        call_command(command, health_port=busy_port, health_host="127.0.0.1")


def test_a_busy_port_of_any_address_is_refused(busy_port: int) -> None:
    with pytest.raises(CommandError, match=f"at port {busy_port} "):
        call_command("jobs_scheduler", health_port=busy_port)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 70], ids=["unknown", "too-long"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(CommandError, match="--health-host: there is no address '"):
        call_command("jobs_scheduler", health_port=9808, health_host=host)


def test_a_host_that_is_not_this_machine_is_refused() -> None:
    with pytest.raises(CommandError, match=r"nothing can listen at port 9808 of 192\.0\.2\.1"):
        call_command("jobs_scheduler", health_port=9808, health_host="192.0.2.1")


def test_a_command_that_ends_before_its_work_says_why_and_frees_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise CommandError("The broker belongs to another installation.")

    monkeypatch.setattr(jobs_worker, "await_database", refuse)
    port = free_port()
    with pytest.raises(CommandError, match="belongs to another installation"):
        call_command("jobs_worker", health_port=port, skip_checks=True)
    assert code_of(port, "/live") == 0


def test_a_host_without_a_port_is_refused() -> None:
    with pytest.raises(CommandError, match="--health-host says where; give --health-port too"):
        call_command("jobs_scheduler", health_host="127.0.0.1")


@pytest.mark.parametrize(("most", "told"), [(1, "ORG-1"), (0, ""), (-1, ""), (True, ""), ("all", ""), (None, "")])
def test_a_number_of_organizations_that_is_none_tells_none_apart_where_checks_are_skipped(
    settings: Any, most: Any, told: str
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "METRICS_ORGANIZATIONS": most}
    port = HealthPort("127.0.0.1", free_port(), HealthNotes())
    try:
        port._counts.add([(Key(SUBMITTED, "print_letters", "ORG-1"), 1)])
        assert list(port._counts.read()) == [Key(SUBMITTED, "print_letters", told)]
    finally:
        port.close()
