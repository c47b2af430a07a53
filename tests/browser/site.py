"""The web server of a test: a process that can be killed and started again on its port."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.addresses import HOST, free_port
from tests.support.nursery import NURSERIES, ForkedCommand
from tests.support.waiting import wait_until
from tests.support.workers import MANAGE_PY, process_environ

START_TIMEOUT: Final = 60.0


class Site:
    """The example project behind uvicorn, on the test database."""

    def __init__(self, log_path: Path) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self._log_path = log_path
        self._process: subprocess.Popen[bytes] | ForkedCommand | None = None

    def start(self) -> None:
        address = ["--host", HOST, "--port", str(self.port)]
        command = ["-m", "uvicorn", "tests.browser.server:application", *address, "--lifespan", "off"]
        environ = process_environ({}, {})
        with self._log_path.open("ab") as log:
            forked = NURSERIES.start(command, environ, log.fileno(), modules=["uvicorn", "tests.browser.server"])
            self._process = forked or subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=MANAGE_PY.parent,
                env=environ,
            )
        wait_until(self._listens, START_TIMEOUT, f"the web server:\n{self._log_path.read_text()}")

    def kill(self) -> None:
        """As a crash would: no connection is closed in order by the application."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _listens(self) -> bool:
        with socket.socket() as client:
            client.settimeout(1)
            return client.connect_ex((HOST, self.port)) == 0
