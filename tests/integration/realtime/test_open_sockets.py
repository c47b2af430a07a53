"""A user has at most so many sockets in a server process."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User

from tests.support.factories import make_user
from tests.support.live import LiveClient, by_session, by_token, is_let_in, with_clients
from tests.support.tuning import Tuning

pytestmark = pytest.mark.django_db(transaction=True)

TOO_MANY = 4429


@pytest.fixture
def user() -> User:
    return make_user("alice")


@pytest.fixture
def few(tuning: Tuning) -> None:
    tuning.set(sockets_a_user=2)


def test_the_twenty_first_socket_of_a_user_is_closed(user: User) -> None:
    late = by_token(user)

    @with_clients(*(by_token(user) for _ in range(20)))
    async def code(*clients: LiveClient) -> int:
        for client in clients:
            assert await client.has_nothing()
        await late.open()
        found = await late.close_code()
        await late.leave()
        assert await clients[0].has_nothing()
        return found

    assert code == TOO_MANY


def test_of_many_who_connect_at_the_same_moment_twenty_stay(user: User) -> None:
    @with_clients(*(by_token(user) for _ in range(30)))
    async def codes(*clients: LiveClient) -> list[int]:
        async def end_of(client: LiveClient) -> int:
            await client.say({"action": "ping"})
            frame = await client._socket.receive_output(10)
            return 0 if frame["type"] == "websocket.send" else int(frame["code"])

        return await asyncio.gather(*(end_of(client) for client in clients))

    assert sorted(codes) == [0] * 20 + [TOO_MANY] * 10


@pytest.mark.usefixtures("few")
def test_all_ways_to_open_one_count(user: User) -> None:
    late = by_token(user)

    @with_clients(by_token(user), by_session(user))
    async def code(*clients: LiveClient) -> int:
        for client in clients:
            assert await client.has_nothing()
        await late.open()
        found = await late.close_code()
        await late.leave()
        return found

    assert code == TOO_MANY


def test_a_socket_that_is_closed_makes_room(user: User, tuning: Tuning) -> None:
    tuning.set(sockets_a_user=1)
    assert [is_let_in(by_token(user)) for _ in range(3)] == [True, True, True]


def test_another_users_sockets_do_not_count(user: User, tuning: Tuning) -> None:
    tuning.set(sockets_a_user=1)

    @with_clients(by_token(user), by_token(make_user()))
    async def are_let_in(*clients: LiveClient) -> list[bool]:
        return [await client.has_nothing() for client in clients]

    assert are_let_in == [True, True]


def test_a_socket_that_closes_beside_others_of_its_user_makes_room(user: User, tuning: Tuning) -> None:
    tuning.set(sockets_a_user=2)
    late = by_token(user)

    @with_clients(by_token(user), by_token(user))
    async def is_in(first: LiveClient, second: LiveClient) -> bool:
        assert await first.has_nothing()
        assert await second.has_nothing()
        await first.leave()
        await late.open()
        found = await late.has_nothing()
        await late.leave()
        return found

    assert is_in


def test_a_socket_that_the_server_cancels_leaves_no_thread_behind(user: User) -> None:
    client = by_token(user)

    async def scenario() -> None:
        await client.open()
        task = client._socket.future
        while not task.done():  # also while it leaves
            task.cancel()
            await asyncio.sleep(0)

    async_to_sync(scenario)()
    threads = {thread for thread in threading.enumerate() if thread.name.startswith(("jobs-rights", "jobs-events"))}
    for thread in threads:
        thread.join(10)
    gc.collect()  # a connection that a thread left open is an error of this test
    assert not any(thread.is_alive() for thread in threads)
