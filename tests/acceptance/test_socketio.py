"""Live progress by Socket.IO: the client of the docs, in Python's library, beside a server and a worker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.steps import PATIENCE, Stage
from tests.support.documents import blocks_of
from tests.support.factories import make_job_type, make_user
from tests.support.server import LiveServer
from tests.support.socketio_client import for_this_server
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool


@pytest.fixture
def server(processes: ProcessPool) -> LiveServer:
    return LiveServer(processes, poll=0.2)


@contextmanager
def running(program: str, log: Path) -> Iterator[None]:
    """The program as a process of its own, which writes to ``log`` what it hears."""
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", program], stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def wait_for_words(words: str, *logs: Path, times: int = 1) -> None:
    for log in logs:
        wait_until(lambda log=log: log.read_text().count(words) >= times, PATIENCE, f"{words} in {log}")  # type: ignore[misc]


def test_pythons_client_hears_of_a_job_by_websockets_and_by_polls_and_comes_back_after_a_restart(
    processes: ProcessPool, server: LiveServer, stage: Stage, tmp_path: Path
) -> None:
    processes.worker("--processes", "1", settings={"PROGRESS_INTERVAL": 0.05})
    (listener,) = blocks_of("socketio.md", "py")
    program = for_this_server(listener, server.origin, make_user(member_of=[stage.organization]), stage.organization)
    by_polls = program.replace('transports=["websocket"]', 'transports=["polling"]')
    logs = (tmp_path / "websocket.log", tmp_path / "polling.log")
    with running(program, logs[0]), running(by_polls, logs[1]):
        wait_for_words("Listening", *logs)
        job = stage.submit(make_job_type("execute_my_job"), input_data="a")
        wait_for_words(f"Job {job.name}: 100%", *logs)
        wait_for_words(f"Job {job.name} changed to Completed", *logs)
        server.restart()
        wait_for_words("Listening", *logs, times=2)
        job = stage.submit(make_job_type("execute_my_job"), input_data="b")
        wait_for_words(f"Job {job.name} changed to Completed", *logs)
