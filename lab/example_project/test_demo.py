from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from django_jobs import Status, get_job_status
from django_jobs.models import JobType
from django_jobs.testing import run_jobs
from example_project.demo.runner import at_its_end, interrupt
from example_project.demo.samples import submit_samples
from example_project.demo.services import (
    DemoError,
    Service,
    embedded_valkey,
    require_free_port,
    require_packages,
    service,
)
from example_project.shop import providers, seeding
from example_project.shop.catalog import SHOPS


def test_a_taken_port_is_refused_with_a_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(DemoError, match=r"cannot be used .* --port"):
            require_free_port(other.getsockname()[1])


def test_a_missing_package_is_named_with_the_extra_that_brings_it() -> None:
    with pytest.raises(DemoError, match=r"needs no_such_package.*django-durable-jobs\[demo\]"):
        require_packages("socket", "no_such_package")


def test_the_embedded_valkey_answers_and_ends_with_its_block() -> None:
    with embedded_valkey() as url:
        address = ("127.0.0.1", int(url.removeprefix("redis://127.0.0.1:").removesuffix("/0")))
        with socket.create_connection(address, timeout=5) as client:
            client.sendall(b"PING\r\n")
            assert client.recv(64) == b"+PONG\r\n"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)


@pytest.fixture
def _signals() -> Iterator[None]:
    """What the demo does with signals is undone."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("_signals")
def test_a_terminal_that_is_closed_stops_the_demo_in_order_and_once() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may outlive theirs
    at_its_end(interrupt)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGHUP)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.raise_signal(number)


@pytest.mark.usefixtures("_signals")
def test_a_demo_that_is_to_outlive_its_terminal_does() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    at_its_end(interrupt)
    signal.raise_signal(signal.SIGHUP)


def test_a_service_that_ended_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text("first\nno such table\n")
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    process.wait()
    with pytest.raises(DemoError, match=r"The worker ended with exit code 3(?s:.*)no such table"):
        Service("worker", process, log).check()


def test_a_service_is_stopped_when_its_block_ends() -> None:
    with service("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"]) as sleeper:
        sleeper.check()
    with pytest.raises(DemoError, match="exit code -15"):
        sleeper.check()


# -- its jobs ----------------------------------------------------------------------------------------------------------

SHOP: Final = replace(SHOPS[1], orders=60)


@pytest.fixture
def member(broker: object, db: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """The smaller shop with its people and orders; returns its member."""
    # So long that what has to wait is not due on a slow machine either.
    monkeypatch.setattr(providers, "BACK_IN", 3_600)
    monkeypatch.setattr(providers, "sleep", lambda _: None)
    JobType.objects.filter(pk="fax_send").update(retry_delay=0)
    seeding.seed_orders(SHOP, seeding.seed_organization(SHOP, "!"))
    return SHOP.member


def test_what_the_demo_submits_ends_as_it_says(member: str) -> None:
    jobs = submit_samples(SHOP)
    run_jobs(retries=True)
    ends = {what: get_job_status(job).status for what, job in jobs.items()}
    assert {what for what, status in ends.items() if status == Status.DEAD_LETTER} == {
        "fax, is out of service: Dead Letter at once",
        "fax, stays busy: Dead Letter after three retries",
    }
    assert [what for what, status in ends.items() if status == Status.PENDING] == [
        "fax, has to wait 2 s, which spends no retry"
    ]
    assert {job.owner_name for job in jobs.values()} == {member}


@pytest.mark.usefixtures("member")
def test_a_demo_that_starts_again_submits_nothing_twice() -> None:
    assert submit_samples(SHOP) == submit_samples(SHOP)
