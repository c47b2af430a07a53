"""``--health-port`` of the commands: wrong and busy ports, and what a scheduler tells."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command, load_command_class

from tests.support import verbs
from tests.support.addresses import free_port
from tests.support.commands import refusal
from tests.support.probes import code_of as status_code_of
from tests.support.verbs import HealthNotes, HealthPort, Interpose, Scheduler, Tally

PORTS = ["jobs_worker", "jobs_scheduler"]


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("command", PORTS)
@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_a_number_that_is_no_port_is_refused(command: str, port: int) -> None:
    assert refusal(command, health_port=port) == "out_of_range"


@pytest.mark.parametrize("command", PORTS)
def test_a_busy_port_is_refused_at_the_start_with_what_to_do(command: str, busy_port: int) -> None:
    with pytest.raises(CommandError, match=rf"{busy_port} .*127\.0\.0\.1 \(Address already in use\)") as caught:
        call_command(command, health_port=busy_port, health_host="127.0.0.1")
    assert verbs.code_of(caught.value.args[0]) == "cannot_listen"


def test_a_busy_port_of_any_address_is_refused(busy_port: int) -> None:
    assert refusal("jobs_scheduler", health_port=busy_port) == "cannot_listen"


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 70, "192.0.2.1"], ids=["unknown", "too-long", "another"])
def test_a_host_that_is_not_this_machine_is_refused(host: str) -> None:
    assert refusal("jobs_scheduler", health_port=9808, health_host=host) == "cannot_listen"


def test_a_command_that_ends_before_its_work_says_why_and_frees_the_port() -> None:
    port = free_port()
    assert refusal("jobs_worker", health_port=port, processes=0) == "out_of_range"
    assert status_code_of(port, "/live") == 0


def test_a_scheduler_says_that_it_has_not_begun_and_that_it_leaves(
    monkeypatch: pytest.MonkeyPatch, interpose: Interpose
) -> None:
    command: Any = load_command_class("django_jobs", "jobs_scheduler")
    port, told = free_port(), list[tuple[Any, ...]]()

    def run(self: Scheduler, stop: threading.Event) -> None:
        told.append((command.notes.is_leaving, status_code_of(port, "/live"), status_code_of(port, "/ready")))
        signal.raise_signal(signal.SIGTERM)
        told.append((command.notes.is_leaving, stop.is_set()))

    monkeypatch.setattr(Scheduler, "run", run)
    monkeypatch.setattr(HealthPort, "work", lambda _: None)
    interpose("install_job_fields", lambda: None)
    call_command(command, health_port=port, health_host="127.0.0.1")
    assert told == [(False, 200, 503), (True, True)]


def test_a_host_without_a_port_is_refused() -> None:
    assert refusal("jobs_scheduler", health_host="127.0.0.1") == "needs_port"


def test_metrics_tell_so_many_organizations_apart_as_the_setting_says(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "METRICS_ORGANIZATIONS": 1}
    port = HealthPort("127.0.0.1", free_port(), HealthNotes())
    monkeypatch.setattr(port._lookouts, "start", lambda: None)
    port.work()
    assert port._counts is not None
    for name in ("ORG-1", "ORG-2"):
        port._counts.add("print_letters", name, Tally(submitted=1))
    port.close()
    assert {organization for _, organization in port._counts.read()} == {"ORG-1", "other"}
