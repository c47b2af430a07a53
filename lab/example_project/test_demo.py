from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from example_project.demo.runner import interruptible
from example_project.demo.services import (
    DemoError,
    Service,
    describe_exit,
    embedded_valkey,
    require_free_port,
    require_packages,
    service,
)


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


def test_a_terminal_that_is_closed_stops_the_demo_in_order() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may outlive theirs
    try:
        with interruptible():
            hang_up = signal.getsignal(signal.SIGHUP)
            assert callable(hang_up)
            with pytest.raises(KeyboardInterrupt):
                hang_up(signal.SIGHUP, None)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_demo_that_is_to_outlive_its_terminal_does() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


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
    with pytest.raises(DemoError, match="was ended by SIGTERM"):
        sleeper.check()


def test_an_exit_is_told_also_for_signals_without_a_name(subtests: pytest.Subtests) -> None:
    cases: list[tuple[int, str]] = [
        (3, "ended with exit code 3"),
        (-9, "was ended by SIGKILL"),
        (-40, "was ended by signal 40"),
    ]
    for code, expected in cases:
        with subtests.test(code=code, expected=expected):
            assert describe_exit(code) == expected
