"""Messages that are small on the wire and large in memory cost no web server that we ship anything."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil
import pytest

from example_project.demo.services import web_server
from lab.deploying import files
from tests.support.addresses import HOST, free_port
from tests.support.server import listens
from tests.support.waiting import wait_until
from tests.support.walk import blocks

PATIENCE: Final = 60.0
#: What uvicorn takes by default. Its compressed form is a thousandth of it.
MESSAGE_BYTES: Final = 16 * 1024 * 1024
WIRE_BYTES: Final = 5_000_000
#: Without the options a server took 288 MB more, and 3.9 s.
MAX_GROWTH: Final = 32 * 1024 * 1024
MAX_CPU_SECONDS: Final = 1.0
HANDSHAKE: Final = "\r\n".join(
    [
        "GET /ws/jobs/ HTTP/1.1",
        f"Host: {HOST}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Extensions: permessage-deflate",
        "\r\n",
    ]
)


def shipped() -> dict[str, list[str]]:
    """The command lines that start a web server, by where they stand."""
    lines = [block.text.strip() for block in blocks() if block.text.startswith("uvicorn ")]
    found = {f"README {line}": shlex.split(line.replace("mysite", "example_project")) for line in lines}
    return found | {place: command for place, command in files.commands().items() if command[0] == "uvicorn"}


@contextmanager
def started(command: list[str], tmp_path: Path) -> Iterator[tuple[int, int]]:
    """The web server of a command line at a port of its own: its process and the port."""
    port = free_port()
    log = tmp_path / "web.log"
    own = {"DJANGO_SETTINGS_MODULE": "example_project.settings", "ALLOWED_HOSTS": HOST, "VAR_DIR": str(tmp_path)}
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [sys.executable, "-m", *command, "--host", HOST, "--port", str(port)],
            cwd=files.ROOT,
            env={**os.environ, **own},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: listens(port), PATIENCE, f"{command}\n{log.read_text()}")
        yield popen.pid, port
    finally:
        os.killpg(popen.pid, signal.SIGKILL)
        popen.wait()


def bomb() -> bytes:
    """Frames that say of themselves that they are compressed."""
    press = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    pressed = press.compress(bytes(MESSAGE_BYTES - 1)) + press.flush(zlib.Z_SYNC_FLUSH)
    payload = pressed.removesuffix(b"\x00\x00\xff\xff")
    frame = b"\xc2" + struct.pack(">BH4x", 0x80 | 126, len(payload)) + payload
    return frame * (WIRE_BYTES // len(frame))


def throw(port: int) -> None:
    """Throw a bomb without saying who one is, and wait until the server hangs up."""
    with socket.create_connection((HOST, port), timeout=PATIENCE) as client:
        client.sendall(HANDSHAKE.encode())
        with contextlib.suppress(ConnectionError):
            client.sendall(bomb())
        with contextlib.suppress(ConnectionError):
            while client.recv(65_536):
                pass


def cost(pid: int) -> tuple[float, int]:
    """What a server's processes have cost so far: seconds of CPU, and bytes at their peak."""
    process = psutil.Process(pid)
    processes = [process, *process.children(recursive=True)]
    peaks = [re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{each.pid}/status").read_text()) for each in processes]
    seconds = sum(sum(each.cpu_times()[:2]) for each in processes)
    return seconds, sum(int(peak[1]) * 1024 for peak in peaks if peak)


def assert_harmless(pid: int, port: int) -> None:
    seconds, peak = cost(pid)
    throw(port)
    new_seconds, new_peak = cost(pid)
    assert new_seconds - seconds < MAX_CPU_SECONDS
    assert new_peak - peak < MAX_GROWTH
    assert listens(port)


def test_a_bomb_costs_no_shipped_web_server_memory_or_time(subtests: pytest.Subtests, tmp_path: Path) -> None:
    assert len(shipped()) == 6
    for number, (place, command) in enumerate(shipped().items()):
        (directory := tmp_path / str(number)).mkdir()
        with subtests.test(place), started(command, directory) as (pid, port):
            assert_harmless(pid, port)


def test_a_bomb_costs_the_demo_no_memory_or_time() -> None:
    port = free_port()
    with web_server(port) as web:
        assert_harmless(web.process.pid, port)
