"""The clients of the quickstart and of the docs, in Node with the npm package `socket.io-client`, beside a server.

$SOCKET_IO_CLIENT names the directory that the package was installed into. Without it this test is skipped, but in CI.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from django_jobs import submit_job
from django_jobs.models import Organization
from tests.support.documents import blocks_of
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.server import LiveServer
from tests.support.socketio_client import for_this_server
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

PACKAGE: Final = Path(os.environ.get("SOCKET_IO_CLIENT", "/nowhere"))
pytestmark = pytest.mark.skipif(
    not (PACKAGE / "node_modules").is_dir() and os.environ.get("CI") != "true",
    reason="npm install socket.io-client, and name the directory by $SOCKET_IO_CLIENT",
)
PATIENCE: Final = 60.0
#: Section 4 of the quickstart, from Dart: it joins before the connection stands.
QUICKSTART: Final = """
import { io } from "socket.io-client";

class JobProgressListener {
  connect(organizationId) {
    this.socket = io("https://shop.example.com", {
      transports: ["websocket"],
      autoConnect: false,
      auth: { token: "…" },
    });

    this.socket.connect();

    // Join organization room
    this.socket.emit("join_room", `org:${organizationId}`);

    // Listen for progress updates
    this.socket.on("job_progress", (data) => {
      console.log(`Job ${data["job_id"]}: ${data["progress"]}%`);
      console.log(`Status: ${data["progress_message"]}`);
    });

    // Listen for status changes
    this.socket.on("job_status_changed", (data) => {
      console.log(`Job ${data["job_id"]} changed to ${data["to_status"]}`);
      if (data["output_reference"] != null) {
        console.log(`Result: ${data["output_reference"]}`);
      }
    });
    this.socket.on("joined", ({ room }) => console.log(`Listening to ${room}`));
  }
}
new JobProgressListener().connect("ORG-2026-00001");
"""


@pytest.fixture
def server(processes: ProcessPool) -> LiveServer:
    return LiveServer(processes)


@contextmanager
def running(program: str, log: Path) -> Iterator[Path]:
    """The program in Node, which writes to ``log`` what it hears."""
    with log.open("wb") as output:
        command = ["node", "--input-type=module", "--eval", program]
        process = subprocess.Popen(command, cwd=PACKAGE, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield log
    finally:
        process.kill()
        process.wait()


def wait_for_words(log: Path, *words: str) -> None:
    for word in words:
        wait_until(lambda word=word: word in log.read_text(), PATIENCE, f"{word} in {log}")  # type: ignore[misc]


def test_nodes_clients_hear_of_a_job_and_are_told_why_they_hear_nothing(
    processes: ProcessPool, server: LiveServer, organization: Organization, tmp_path: Path
) -> None:
    processes.worker("--processes", "1", settings={"PROGRESS_INTERVAL": 0.05})
    member, listener = make_user(member_of=[organization]), blocks_of("socketio.md", "js")[0]
    docs = for_this_server(listener, server.origin, member, organization)
    hearing = ("quickstart", "docs", "polls first")
    named = {
        "quickstart": for_this_server(QUICKSTART, server.origin, member, organization),
        "docs": docs,
        "polls first": docs.replace('transports: ["websocket"], ', ""),
        "foreign": for_this_server(listener, server.origin, member, make_organization()),
        "nobody": listener.replace("https://shop.example.com", server.origin),
    }
    with ExitStack() as stack:
        logs = {name: stack.enter_context(running(text, tmp_path / f"{name}.log")) for name, text in named.items()}
        wait_for_words(logs["nobody"], "The token, ticket or session is not valid")
        wait_for_words(logs["foreign"], "join_room refused: There is no such room.")
        for log in map(logs.__getitem__, hearing):
            wait_for_words(log, f"Listening to org:{organization.name}")
        job = submit_job(make_job_type("execute_my_job"), organization, {"input_data": "a"})
        for log in map(logs.__getitem__, hearing):
            end = f"Job {job.name} changed to Completed"
            wait_for_words(log, f"Job {job.name}: 100%", end, "Result: results/A.txt")
        assert job.name not in logs["foreign"].read_text()
        assert "Traceback" not in server.process.log()
