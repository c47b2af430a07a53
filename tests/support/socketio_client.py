"""Socket.IO without a server: a client in this process that says packets, good and bad ones, letter by letter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token
from socketio.packet import ACK, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, Packet

from django_jobs.models import Organization
from tests.support import verbs
from tests.support.live import APPLICATION, HOST, PATIENCE

T = TypeVar("T")
communicator: Any = ApplicationCommunicator
#: The names of packets, as tests read them.
NAMES: Final = {ACK: "ack", CONNECT: "connect", CONNECT_ERROR: "connect_error", DISCONNECT: "disconnect"}
application: Any = APPLICATION


class SocketIOClient:
    """One websocket, opened by :meth:`open`. ``server`` is shared by the clients of a test that need the same one."""

    def __init__(self, headers: Mapping[str, str] | None = None, query: str = "", server: Any = None) -> None:
        pairs = [(name.encode(), value.encode()) for name, value in {"host": HOST, **(headers or {})}.items()]
        self.scope: dict[str, Any] = {
            "type": "websocket",
            "path": "/socket.io/",
            "scheme": "ws",
            "query_string": f"EIO=4&transport=websocket{query}".encode(),
            "headers": [*pairs, (b"upgrade", b"websocket"), (b"connection", b"Upgrade")],
            "subprotocols": [],
        }
        self.farewell: list[object] = []
        self._socket: Any = communicator(server or verbs.with_socketio(application), self.scope)

    async def open(self) -> SocketIOClient:
        """Open the transport; who the client is, :meth:`connect` says."""
        await self._socket.send_input({"type": "websocket.connect"})
        answer = await self._socket.receive_output(PATIENCE)
        if answer["type"] == "websocket.accept":
            assert (await self._socket.receive_output(PATIENCE))["text"].startswith("0{")
        return self

    async def connect(self, auth: object = None) -> tuple[str, Any]:
        """Say who the client is. The answer: ``connect``, or ``connect_error`` with the reason."""
        await self.say("40" if auth is None else f"40{json.dumps(auth)}")
        return await self.hear()

    async def say(self, text: str | bytes) -> None:
        await self._socket.send_input(
            {"type": "websocket.receive", "text": text}
            if isinstance(text, str)
            else {"type": "websocket.receive", "bytes": text}
        )

    async def emit(self, *arguments: object, number: object = "") -> None:
        await self.say(f"42{number}{json.dumps(arguments)}")

    async def hear(self, name: str | None = None) -> tuple[str, Any]:
        """The next packet's name and data, or the next one's of this name: an event's are its name and arguments."""
        while True:
            frame = await self._socket.receive_output(PATIENCE)
            assert frame["type"] == "websocket.send", frame
            if not frame["text"].startswith("4"):
                continue
            packet = Packet(encoded_packet=frame["text"][1:])
            found = NAMES.get(packet.packet_type) or packet.data[0]
            if name is None or name == found:
                return found, packet.data[1:] if packet.packet_type == EVENT else packet.data

    async def ask(self, *arguments: object) -> tuple[str, dict[str, Any]]:
        """Emit an event and hear the answer, an event of one argument."""
        await self.emit(*arguments)
        name, (answer,) = await self.hear()
        return name, answer

    async def has_nothing(self) -> bool:
        """Whether a ping's answer is all that comes."""
        return (await self.ask("ping"))[0] == "pong"

    async def is_cut(self) -> bool:
        """Whether the server ends the transport. What it says before is the ``farewell``."""
        while (frame := await self._socket.receive_output(PATIENCE))["type"] != "websocket.close":
            self.farewell.append(frame.get("text"))
        return True

    async def leave(self) -> None:
        await self._socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await self._socket.wait(PATIENCE)


def token_of(user: User) -> str:
    token, _ = Token.objects.get_or_create(user=user)
    return str(token.key)


def for_this_server(program: str, origin: str, user: User, organization: Organization) -> str:
    """A program of the docs as it stands, but for the host, the token and the room."""
    names = {"https://shop.example.com": origin, '"…"': f'"{token_of(user)}"', "ORG-2026-00001": organization.name}
    for name, ours in names.items():
        assert name in program
        program = program.replace(name, ours)
    return program


def play(*clients: SocketIOClient) -> Callable[[Callable[..., Awaitable[T]]], T]:
    """Run the decorated scenario with the transports of these clients open; it is called at once."""

    def run(scenario: Callable[..., Awaitable[T]]) -> T:
        async def perform() -> T:
            await asyncio.gather(*(client.open() for client in clients))
            try:
                return await scenario(*clients)
            finally:
                for client in clients:
                    await client.leave()

        return async_to_sync(perform)()

    return run


class Poller:
    """One client by long polls, as a browser's page of ``HOST`` makes them: only its POSTs have an Origin."""

    def __init__(self, server: Any, headers: Mapping[str, str], origin: str = f"http://{HOST}") -> None:
        self._server = server
        self._headers = {"host": HOST, **headers}
        self._origin = origin
        self._sid = ""

    async def open(self) -> None:
        self._sid = json.loads((await self.get()).removeprefix("0"))["sid"]

    async def get(self) -> str:
        """What waits for the client, or comes next."""
        return (await self.request("GET"))[1]

    async def post(self, *packets: str) -> str:
        return (await self.request("POST", "\x1e".join(packets), origin=self._origin))[1]

    async def upgrade(self) -> Any:
        """Open a websocket that is to take the place of the polls, and return it before its first frame."""
        scope = SocketIOClient(query=f"&sid={self._sid}").scope
        socket = communicator(self._server, scope)
        await socket.send_input({"type": "websocket.connect"})
        assert (await socket.receive_output(PATIENCE))["type"] == "websocket.accept"
        return socket

    async def request(self, method: str, body: str = "", **headers: str) -> tuple[dict[bytes, bytes], str]:
        """The headers and the body of the answer."""
        request = communicator(self._server, self._scope(method, {**headers, "content-length": str(len(body))}))
        await request.send_input({"type": "http.request", "body": body.encode()})
        start = await request.receive_output(PATIENCE)
        answer = await request.receive_output(PATIENCE)
        return {name.lower(): value for name, value in start["headers"]}, answer["body"].decode()

    async def pour(self, piece: bytes) -> int:
        """The status of the answer to a POST whose body is this piece again and again, without an end."""
        request = communicator(self._server, self._scope("POST", {}))
        while await request.receive_nothing(timeout=0.01):
            await request.send_input({"type": "http.request", "body": piece, "more_body": True})
        return int((await request.receive_output(PATIENCE))["status"])

    def _scope(self, method: str, headers: Mapping[str, str]) -> dict[str, Any]:
        sid = f"&sid={self._sid}" if self._sid else ""
        return {
            "type": "http",
            "method": method,
            "path": "/socket.io/",
            "scheme": "http",
            "query_string": f"EIO=4&transport=polling{sid}".encode(),
            "headers": [(name.encode(), value.encode()) for name, value in {**self._headers, **headers}.items()],
        }
