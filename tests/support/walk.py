"""Walks README.md's path: pastes its blocks, in their order, into a new project, as a newcomer does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tests.support.addresses import free_port
from tests.support.server import listens
from tests.support.valkey import embedded_valkey
from tests.support.waiting import wait_until

CHECKOUT: Final = Path(os.environ.get("DJANGO_JOBS_CHECKOUT") or Path(__file__).resolve().parents[2])
README: Final = CHECKOUT / "README.md"
HEADING: Final = "## In your project"
#: Commands that stay: each has a terminal of its own.
SERVICES: Final = ("python manage.py jobs_worker", "uvicorn ")
PATIENCE: Final = 60.0
#: What the surroundings of this test run say, and a newcomer's do not.
FOREIGN: Final = ("DJANGO_SETTINGS_MODULE", "DATABASE_URL", "REDIS_URL", "SECRET_KEY", "DEBUG", "ALLOWED_HOSTS")

_BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE_NAME = re.compile(r"(?:# |<!-- )(?P<path>[\w/]+\.\w+)(?P<append>, at its end)?(?: -->)?\n")
_INSTALL = re.compile(r"^pip install (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block of the page."""

    kind: str
    text: str

    @property
    def service(self) -> bool:
        return self.text.startswith(SERVICES)


def blocks() -> list[Block]:
    """The blocks below the heading that promises a first job."""
    text = README.read_text().partition(f"\n{HEADING}\n")[2].partition("\n## ")[0]
    return [Block(found["kind"], found["text"]) for found in _BLOCK.finditer(text)]


def requirements() -> list[str]:
    """The distributions that the page has one install. They are here already; nothing is downloaded."""
    return [name for found in _INSTALL.findall("".join(block.text for block in blocks())) for name in found.split()]


class Walk:
    """A newcomer's terminals, in a directory of their own and with a Redis of their own."""

    def __init__(self, directory: Path, redis_url: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._logs = directory / "logs"
        self._logs.mkdir()
        self._redis_url = redis_url
        self._services: list[subprocess.Popen[bytes]] = []

    def paste(self, block: Block) -> str:
        """Do with the block what a reader does, and return what is on the screen then."""
        if block.kind != "sh":
            self._write(block)
            return ""
        if block.service:
            self._serve(block.text.strip())
            return ""
        return self._run(_INSTALL.sub("", block.text))

    def paste_all(self) -> list[str]:
        """Paste every block; what each of them printed."""
        return [self.paste(block) for block in blocks()]

    def close(self) -> None:
        for service in reversed(self._services):
            below = psutil.Process(service.pid).children(recursive=True) if service.poll() is None else []
            service.kill()
            for process in below:
                process.kill()
            service.wait()

    def logs(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()}" for log in sorted(self._logs.iterdir()))

    def _write(self, block: Block) -> None:
        found = _FILE_NAME.match(block.text)
        assert found, f"A block that names no file:\n{block.text}"
        with (self.directory / found["path"]).open("a" if found["append"] else "w") as file:
            file.write(f"\n{block.text}")

    def _run(self, commands: str) -> str:
        """Run the commands in a shell; the next ones find themselves where these went."""
        where = self._logs / "directory"
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", f"{commands}\npwd > {where}"],
            cwd=self.directory,
            env=self._environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=2 * PATIENCE,
        )
        said = f"{done.stdout}{done.stderr}\n{self.logs()}"
        assert done.returncode == 0, f"{commands}\nended with {done.returncode}:\n{said}"
        self.directory = Path(where.read_text().strip())
        return done.stdout

    def _serve(self, command: str) -> None:
        log = self._logs / f"{command.rsplit(maxsplit=1)[-1].partition('.')[0]}.log"
        with log.open("wb") as output:
            service = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.directory,
                env=self._environ(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._services.append(service)
        if command.startswith("uvicorn"):
            wait_until(lambda: listens(self.port) or service.poll() is not None, PATIENCE, "the web server")
        assert service.poll() is None, f"{command} ended:\n{log.read_text()}"

    def _environ(self) -> Mapping[str, str]:
        """The reader's: this virtual environment, another Redis, and a port that nobody has."""
        own = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**own, "PATH": path, "REDIS_URL": self._redis_url, "UVICORN_PORT": str(self.port)}


@contextmanager
def newcomer(directory: Path) -> Iterator[Walk]:
    """Somebody who has a Redis and an empty directory; what they start ends with the block."""
    with embedded_valkey(directory / "valkey") as valkey:
        walk = Walk(directory, valkey.url)
        try:
            yield walk
        finally:
            walk.close()
