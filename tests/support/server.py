"""A web server with websockets as a process of its own, and clients as a real library makes them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from django.contrib.auth.models import User
from django.test import Client
from rest_framework.authtoken.models import Token
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.addresses import HOST, free_port
from tests.support.tuning import tuned
from tests.support.waiting import wait_until
from tests.support.workers import ManagedProcess, ProcessPool

PATIENCE: Final = 60.0
#: What takes half a minute in production takes a moment here.
HURRY: Final = {"hub_tick_seconds": 0.05, "hub_recheck_seconds": 0.2}
SERVE: Final = """
import uvicorn
uvicorn.run("example_project.asgi:application", host="{host}", port={port}, lifespan="off", timeout_graceful_shutdown=1)
"""


class LiveServer:
    """Serves at a port of its own, also after a restart; ``poll`` is the pause between polls of the log."""

    def __init__(self, pool: ProcessPool, poll: float = 30.0) -> None:
        self._pool = pool
        self._poll = poll
        self.port = free_port()
        self.process = self._start()

    def _start(self) -> ManagedProcess:
        hurry = {"hub_poll_seconds": self._poll, "layer_refresh_seconds": self._poll, **HURRY}
        code = SERVE.format(host=HOST, port=self.port)
        process = self._pool.start("shell", "-c", code, environ={"ALLOWED_HOSTS": HOST, **tuned(**hurry)})
        wait_until(lambda: listens(self.port), PATIENCE, f"the server:\n{process.log()}")
        return process

    def restart(self) -> None:
        self.process.clean_up()
        self.process = self._start()

    @property
    def url(self) -> str:
        return f"ws://{HOST}:{self.port}/ws/jobs/"

    @property
    def origin(self) -> str:
        return f"http://{HOST}:{self.port}"

    @contextmanager
    def client(self, headers: dict[str, str], subprotocols: Sequence[str] = ()) -> Iterator[SocketClient]:
        with connect(self.url, additional_headers=headers, subprotocols=[*subprotocols] or None) as connection:  # type: ignore[list-item]
            yield SocketClient(connection)

    def by_token(self, user: User) -> Any:
        """The connection of a native client."""
        token, _ = Token.objects.get_or_create(user=user)
        return self.client({"Authorization": f"Token {token.key}"})

    def by_session(self, user: User, origin: str) -> Any:
        """The connection of a browser's page."""
        browser = Client()
        browser.force_login(user)
        cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in browser.cookies.items())
        return self.client({"Cookie": cookie, "Origin": origin})


class SocketClient:
    """One connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def say(self, message: object) -> None:
        self.connection.send(message if isinstance(message, str) else json.dumps(message))

    def hear(self, event: str | None = None) -> dict[str, Any]:
        """The next message, or the next one of this event."""
        while True:
            message: dict[str, Any] = json.loads(self.connection.recv(timeout=PATIENCE))
            if event is None or message["event"] == event:
                return message

    def join(self, room: str, since: int | None = None) -> dict[str, Any]:
        self.say({"action": "join", "room": room, "since": since})
        return self.hear()

    def hear_until(self, job_id: str, status: str) -> list[dict[str, Any]]:
        """All messages up to the one that says that the job has this status."""
        heard = [self.hear()]
        while (heard[-1]["data"].get("to_status"), heard[-1]["data"]["job_id"]) != (status, job_id):
            heard.append(self.hear())
        return heard

    def has_nothing(self) -> bool:
        self.say({"action": "ping"})
        return bool(self.hear()["event"] == "pong")

    def close_code(self) -> int:
        """The code with which the server hangs up."""
        try:
            while True:
                self.connection.recv(timeout=PATIENCE)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else 0


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((HOST, port)) == 0
