"""What stands around the protocol: long polls, the host's own application, a database that is away, a missing extra."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import sys
from typing import Any, Final

import engineio
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client as Browser
from rest_framework.authtoken.models import Token

import django_jobs.contrib.socketio
from django_jobs.models import Organization
from tests.support import verbs
from tests.support.documents import run_examples
from tests.support.factories import make_user
from tests.support.live import APPLICATION, PATIENCE, communicator, do
from tests.support.socketio_client import Poller, SocketIOClient, play, token_of
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

application: Any = APPLICATION
PIECE: Final = b"4" * 65_536


@pytest.fixture
def user(organization: Organization) -> User:
    return make_user(member_of=[organization])


@pytest.fixture
def token(user: User) -> str:
    return token_of(user)


@pytest.fixture
def cookie(user: User) -> dict[str, str]:
    browser = Browser()
    browser.force_login(user)
    return {"cookie": f"sessionid={browser.cookies['sessionid'].value}"}


def test_a_page_of_this_host_comes_in_by_its_session_though_its_first_poll_has_no_origin(
    cookie: dict[str, str], organization: Organization
) -> None:
    @async_to_sync
    async def heard() -> list[str]:
        page = Poller(verbs.with_socketio(application), cookie)
        await page.open()
        await page.post("40")
        connected = await page.get()
        await page.post(f'42["join_room","org:{organization.name}"]')
        joined = await page.get()
        await page.post("41", "1")
        return [connected, joined]

    connected, joined = heard()
    assert connected.startswith('40{"sid":')
    assert joined.startswith('42["joined",{"room":"org:')


def test_a_page_of_elsewhere_does_not_come_in_by_its_visitors_session(cookie: dict[str, str]) -> None:
    @async_to_sync
    async def refusal() -> str:
        page = Poller(verbs.with_socketio(application), cookie, origin="https://evil.example")
        await page.open()
        await page.post("40")
        return await page.get()

    answer = refusal()
    assert (answer[:2], json.loads(answer[2:])["data"]) == ("44", {"code": "unauthenticated"})


def test_only_pages_that_may_use_a_session_may_send_their_cookies(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "WEBSOCKET_ORIGINS": ("https://app.example",)}

    @async_to_sync
    async def headers(origin: str) -> dict[bytes, bytes]:
        return (await Poller(verbs.with_socketio(application), {}).request("GET", origin=origin))[0]

    named, stranger = headers("https://app.example"), headers("https://evil.example")
    assert named[b"access-control-allow-credentials"] == b"true"
    assert named[b"access-control-allow-origin"] == b"https://app.example"
    assert b"access-control-allow-credentials" not in stranger


def test_packets_that_come_at_once_by_several_polls_are_answered_one_after_the_other(
    token: str, organization: Organization, tuning: Tuning
) -> None:
    tuning.set(frames_a_second=1_000)

    @async_to_sync
    async def answers() -> str:
        client = Poller(verbs.with_socketio(application), {"authorization": f"Token {token}"})
        await client.open()
        await client.post("40")
        await client.get()
        packet = f'42["join_room","org:{organization.name}"]'
        await asyncio.gather(*(client.post(packet) for _ in range(20)))
        heard = ""
        while heard.count("joined") < 20:
            heard += await client.get()
        await client.post("1")
        return heard

    assert answers().count('42["joined"') == 20


def test_the_hosts_own_websockets_requests_and_lifespan_are_served_as_before(user: User) -> None:
    seen: list[str] = []

    async def host(scope: Any, receive: Any, send: Any) -> None:
        seen.append(f"{scope['type']} {scope.get('path', '')}")

    wrapped: Any = verbs.with_socketio(host)
    scopes = [
        {"type": "lifespan"},
        {"type": "http", "path": "/"},
        {"type": "http", "path": "/socket.ionic/"},
        {"type": "websocket", "path": "/ws/jobs/"},
    ]
    for scope in scopes:
        async_to_sync(communicator(wrapped, scope).wait)()
    assert seen == ["lifespan ", "http /", "http /socket.ionic/", "websocket /ws/jobs/"]


def test_another_path_may_be_chosen_and_counts_below_the_root_path() -> None:
    async def host(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError(scope["path"])

    wrapped: Any = verbs.with_socketio(host, path="live")
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/site/live",
        "root_path": "/site",
        "query_string": b"EIO=3&transport=polling",
        "headers": [],
    }

    @async_to_sync
    async def answer() -> tuple[int, bytes]:
        request = communicator(wrapped, scope)
        await request.send_input({"type": "http.request", "body": b""})
        return (await request.receive_output())["status"], (await request.receive_output())["body"]

    status, body = answer()
    assert status == 400
    assert b"unsupported version of the Socket.IO" in body


def test_a_database_that_is_away_ends_the_transport_without_a_farewell_so_that_the_client_comes_back(
    token: str, organization: Organization, interpose: Interpose, monkeypatch: pytest.MonkeyPatch, tuning: Tuning
) -> None:
    tuning.set(socketio_linger_seconds=0.1)
    auth = {"token": token}

    def fail(*_: object) -> None:
        raise OperationalError("away")

    @play(SocketIOClient(), SocketIOClient())
    async def told(client: SocketIOClient, late: SocketIOClient) -> Any:
        await client.connect(auth)
        monkeypatch.setattr(verbs.Scope, "organization", fail)
        reason = await client.ask("join_room", f"org:{organization.name}")
        assert await client.is_cut()
        interpose("active_user", fail)
        await late.say(f'40{{"token":"{token}"}}')
        assert await late.is_cut()
        assert "41" not in [*client.farewell, *late.farewell]
        return reason

    name, reason = told
    assert (name, reason["code"]) == ("error", "unavailable")


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The library's servers as they are made; they put nobody out who answers no ping."""
    found: list[Any] = []
    make = engineio.AsyncServer

    def note(**options: Any) -> Any:
        found.append(make(**options, ping_interval=3600))
        return found[-1]

    monkeypatch.setattr(engineio, "AsyncServer", note)
    return found


def test_a_slow_clients_events_wait_in_its_bounded_outbox_and_a_few_in_the_transport(
    token: str, engines: list[Any], organization: Organization, tuning: Tuning
) -> None:
    tuning.set(socketio_transport_packets=2, outbox_frames=5)
    served = verbs.with_socketio(application)

    @async_to_sync
    async def waiting() -> tuple[int, str]:
        client = Poller(served, {"authorization": f"Token {token}"})
        await client.open()
        await client.post("40")
        await client.get()
        for _ in range(15):
            await client.post('42["ping"]')
        (transport,) = engines[0].sockets.values()
        waiting = transport.queue.qsize()
        heard = await client.get() + await client.get()
        await client.post("1")
        return waiting, heard

    in_transport, heard = waiting()
    assert in_transport == 2
    assert 2 < heard.count("pong") < 15


def test_who_reads_nothing_is_cut_off_all_the_same_when_the_token_is_revoked(
    token: str, engines: list[Any], tuning: Tuning
) -> None:
    tuning.set(
        socketio_transport_packets=2, socketio_linger_seconds=0.1, hub_tick_seconds=0.01, hub_recheck_seconds=0.01
    )
    served = verbs.with_socketio(application)

    @async_to_sync
    async def answer() -> str:
        client = Poller(served, {"authorization": f"Token {token}"})
        await client.open()
        await client.post("40")
        await client.get()
        for _ in range(10):
            await client.post('42["ping"]')
        await do(Token.objects.all().delete)
        await do(wait_until, lambda: not engines[0].sockets, PATIENCE, "the client to be cut off")
        return await client.get()

    assert "Invalid session" in answer()


def test_who_lets_packets_pile_up_by_many_polls_is_cut_off(token: str, engines: list[Any], tuning: Tuning) -> None:
    tuning.set(socketio_waiting_packets=5, socketio_linger_seconds=0.1)
    served = verbs.with_socketio(application)

    @async_to_sync
    async def answer() -> str:
        client = Poller(served, {"authorization": f"Token {token}"})
        await client.open()
        await client.post("40")
        await client.get()
        await asyncio.gather(*(client.post('42["join_room","org:nobody"]') for _ in range(10)))
        await do(wait_until, lambda: not engines[0].sockets, PATIENCE, "the client to be cut off")
        return await client.get()

    assert "Invalid session" in answer()


def test_a_poll_that_ends_a_transport_which_nobody_reads_is_answered(token: str, tuning: Tuning) -> None:
    tuning.set(socketio_end_seconds=0.1)

    @async_to_sync
    async def answer(packet: str) -> str:
        client = Poller(verbs.with_socketio(application), {"authorization": f"Token {token}"})
        await client.open()
        await client.post("40")
        return await client.post(packet)

    assert answer("6") == '"Bad Request"'


@pytest.mark.parametrize(
    "message",
    [
        {"type": "websocket.disconnect", "code": 1006},
        {"type": "websocket.receive", "text": "4x"},
        {"type": "websocket.receive", "bytes": b"x" * 200_000},
    ],
    ids=["gone", "unreadable", "too long"],
)
def test_polls_go_on_where_the_websocket_that_was_to_take_their_place_fails(token: str, message: Any) -> None:
    @async_to_sync
    async def answers() -> list[str]:
        client = Poller(verbs.with_socketio(application), {"authorization": f"Token {token}"})
        await client.open()
        upgrade = await client.upgrade()
        await upgrade.send_input(message)
        await upgrade.wait(PATIENCE)
        await client.post("40")
        connected = await client.get()
        await client.post('42["ping"]')
        answered = await client.get()
        await client.post("1")
        return [connected[:9], answered]

    assert answers() == ['40{"sid":', '42["pong",{}]']


@pytest.mark.parametrize("frames", [[], ["2probe"]], ids=["at first", "after the probe"])
def test_a_websocket_that_does_not_go_on_with_its_upgrade_is_closed(frames: list[str], tuning: Tuning) -> None:
    tuning.set(socketio_upgrade_seconds=0.1)

    @async_to_sync
    async def last_message() -> str:
        client = Poller(verbs.with_socketio(application), {})
        await client.open()
        upgrade = await client.upgrade()
        for frame in frames:
            await upgrade.send_input({"type": "websocket.receive", "text": frame})
            assert (await upgrade.receive_output(PATIENCE))["text"] == "3probe"
        last = (await upgrade.receive_output(PATIENCE))["type"]
        await upgrade.wait(PATIENCE)
        await client.post("1")
        return str(last)

    assert last_message() == "websocket.close"


def test_who_is_gone_before_the_body_of_a_poll_is_no_error() -> None:
    scope = {**SocketIOClient().scope, "type": "http", "method": "POST"}

    @async_to_sync
    async def leave() -> bool:
        request = communicator(verbs.with_socketio(application), scope)
        await request.send_input({"type": "http.disconnect"})
        await request.wait(PATIENCE)
        return bool(await request.receive_nothing())

    assert leave()


@pytest.mark.parametrize("is_open", [False, True])
def test_a_body_that_does_not_end_is_refused_before_anybody_judges_it(token: str, is_open: bool) -> None:
    @async_to_sync
    async def status() -> int:
        client = Poller(verbs.with_socketio(application), {"authorization": f"Token {token}"})
        if is_open:
            await client.open()
        return await client.pour(PIECE)

    assert status() == 413


def test_no_token_is_logged(token: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    @play(SocketIOClient(query=f"&token={token}"))
    async def scenario(client: SocketIOClient) -> None:
        assert (await client.connect({"token": token}))[0] == "connect"
        assert await client.has_nothing()

    assert token not in caplog.text


def test_the_servers_example_of_the_docs_runs() -> None:
    names = run_examples("socketio.md", {"application": application})

    @async_to_sync
    async def opened() -> str:
        return await Poller(names["application"], {}).get()

    assert opened().startswith('0{"sid":')


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "engineio", None)
    with pytest.raises(ImportError, match=r"pip install 'django-durable-jobs\[socketio\]'"):
        importlib.reload(django_jobs.contrib.socketio)
    monkeypatch.undo()
    importlib.reload(django_jobs.contrib.socketio)
