"""Live progress without a server: clients in this process, and a broadcaster that sends when a test says so."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, ParamSpec, TypeVar

from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.routing import URLRouter
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from rest_framework.authtoken.models import Token

from django_jobs.models import Job, Organization
from tests.support import verbs
from tests.support.brokers import pending_job
from tests.support.verbs import JobsAuthMiddlewareStack, LayerBroadcaster

P = ParamSpec("P")
T = TypeVar("T")

APPLICATION: Final = JobsAuthMiddlewareStack(URLRouter(verbs.websocket_urlpatterns))
HOST: Final = "localhost"
PATIENCE: Final = 60.0
communicator: Any = ApplicationCommunicator


class ManualBroadcaster(LayerBroadcaster):
    """Keeps notifications until the test sends them."""

    def _wake_thread(self) -> None:
        pass

    def forget(self) -> None:
        """What happened until now is not told."""
        self.outbox.take()

    async def send(self) -> None:
        assert await self.send_waiting()


class LiveClient:
    """One connection, opened by :meth:`open`."""

    def __init__(self, headers: Mapping[str, str], subprotocols: Sequence[str] = ()) -> None:
        pairs = [(name.encode(), value.encode()) for name, value in {"host": HOST, **headers}.items()]
        self.scope: dict[str, Any] = {
            "type": "websocket",
            "path": "/ws/jobs/",
            "scheme": "ws",
            "query_string": b"",
            "headers": pairs,
            "subprotocols": list(subprotocols),
        }
        self._socket: Any = communicator(APPLICATION, self.scope)
        self.protocol: str | None = None

    async def open(self) -> LiveClient:
        await self._socket.send_input({"type": "websocket.connect"})
        answer = await self._socket.receive_output(PATIENCE)
        assert answer["type"] == "websocket.accept"
        self.protocol = answer["subprotocol"]
        return self

    async def say(self, message: object) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        await self._socket.send_input({"type": "websocket.receive", "text": text})

    async def say_bytes(self, data: bytes) -> None:
        await self._socket.send_input({"type": "websocket.receive", "bytes": data})

    async def hear(self, event: str | None = None) -> dict[str, Any]:
        """The next message, or the next one of this event; others before it are passed over."""
        while True:
            frame = await self._socket.receive_output(PATIENCE)
            assert frame["type"] == "websocket.send", frame
            message: dict[str, Any] = json.loads(frame["text"])
            if event is None or message["event"] == event:
                return message

    async def join(self, room: str, since: int | None = None) -> dict[str, Any]:
        """What is answered to a join."""
        await self.say({"action": "join", "room": room, **({} if since is None else {"since": since})})
        return await self.hear()

    async def changes(self, count: int) -> list[tuple[str, str]]:
        """(job id, status) of so many changes."""
        found = [await self.hear("job_status_changed") for _ in range(count)]
        return [(item["data"]["job_id"], item["data"]["to_status"]) for item in found]

    async def has_nothing(self) -> bool:
        """Whether a ping's answer is all that comes."""
        await self.say({"action": "ping"})
        return bool((await self.hear())["event"] == "pong")

    async def close_code(self) -> int:
        """The code with which the server closes, whatever it says before."""
        while (message := await self._socket.receive_output(PATIENCE))["type"] != "websocket.close":
            pass
        return int(message["code"])

    async def leave(self) -> None:
        await self._socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await self._socket.wait(PATIENCE)


def by_session(user: User, origin: str | None = f"http://{HOST}") -> LiveClient:
    """A browser's connection, from a page of ``origin``."""
    client = Client()
    client.force_login(user)
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    return LiveClient({"cookie": cookie, **({"origin": origin} if origin else {})})


def by_token(user: User) -> LiveClient:
    """A native client's connection."""
    token, _ = Token.objects.get_or_create(user=user)
    return LiveClient({"authorization": f"Token {token.key}"})


def by_ticket(ticket: str) -> LiveClient:
    """The connection of a client that can set no header."""
    return LiveClient({}, ["jobs.v1", f"ticket.{ticket}"])


def is_let_in(client: LiveClient) -> bool:
    """Whether the server answers the client, which leaves again."""

    @with_clients(client)
    async def answer(client: LiveClient) -> bool:
        return await client.has_nothing()

    return answer


@async_to_sync
async def close_code(client: LiveClient) -> int:
    """The code with which the server hangs up on a client that says nothing."""
    await client.open()
    code = await client.close_code()
    await client.leave()
    return code


def with_clients(*clients: LiveClient) -> Callable[[Callable[..., Awaitable[T]]], T]:
    """Run the decorated scenario with these clients connected; it is called at once."""

    def run(scenario: Callable[..., Awaitable[T]]) -> T:
        async def play() -> T:
            await asyncio.gather(*(client.open() for client in clients))
            try:
                return await scenario(*clients)
            finally:
                for client in clients:
                    await client.leave()

        return async_to_sync(play)()

    return run


async def do(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what uses the database from within a scenario, on the test's own connection."""
    return await sync_to_async(function)(*args, **kwargs)


def later_job(organization: Organization | None = None) -> Job:
    """A job that stays where it is."""
    return pending_job(organization=organization, run_at=timezone.now() + dt.timedelta(hours=1))
