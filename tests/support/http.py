"""A real web server, and requests to it as curl would make them."""

from __future__ import annotations

import json
import shlex
import socket
import urllib.error
import urllib.request
from argparse import ArgumentParser
from dataclasses import dataclass
from typing import Any

from tests.support.addresses import HOST, free_port
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


class Site:
    """The example project's web server, for somebody with a token."""

    def __init__(self, processes: ProcessPool, token: str, **environ: str) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.token = token
        processes.start("runserver", "--noreload", f"{HOST}:{self.port}", environ=environ)
        wait_until(self._answers, 60, f"a web server at {self.url}")

    def curl(self, command: str) -> Answer:
        """The answer to a curl command of the documents, at this site and with this credential."""
        command = command.replace("https://your-site.com", self.url).replace("api_key:api_secret", self.token)
        parser = ArgumentParser()
        for option, fields in (("-X", {}), ("-H", {"action": "append"}), ("-d", {})):
            parser.add_argument(option, **fields)  # type: ignore[arg-type]
        parser.add_argument("url")
        asked = parser.parse_args(shlex.split(command.replace("\\\n", " "))[1:])
        headers = dict(header.split(": ", 1) for header in asked.H or [])
        return self.request(asked.X or "GET", asked.url, headers, asked.d)

    def call(self, method: str, path: str, body: Any = None, *, timeout: float = 30) -> Answer:
        """A REST call with JSON, answered within so many seconds."""
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}
        return self.request(method, f"{self.url}{path}", headers, None if body is None else json.dumps(body), timeout)

    @staticmethod
    def request(method: str, url: str, headers: dict[str, str], body: str | None, timeout: float = 30) -> Answer:
        data = None if body is None else body.encode()
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0
