"""A user has at most so many sockets, counted over all processes."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError

from django_jobs.models import OpenSocket
from tests.support import verbs
from tests.support.attempts import raising
from tests.support.factories import make_user
from tests.support.live import LiveClient, by_session, by_token, close_code, do, is_let_in, with_clients
from tests.support.statements import before_statement
from tests.support.tuning import Tuning
from tests.support.verbs import SOCKET_FORGOTTEN_AFTER, SOCKET_FREE_AFTER, Scheduler, SocketSeats

pytestmark = pytest.mark.django_db(transaction=True)

TOO_MANY = 4429
REVOKED = 4401


@pytest.fixture
def user() -> User:
    return make_user("alice")


@pytest.fixture
def few(tuning: Tuning) -> None:
    tuning.set(sockets_a_user=2)


def age(by: dt.timedelta, **rows: Any) -> None:
    """As if nobody had renewed these rows for so long."""
    OpenSocket.objects.filter(**rows).update(seen_at=verbs.now() - by)


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
    assert not OpenSocket.objects.exists()


def test_another_users_sockets_do_not_count(user: User, tuning: Tuning) -> None:
    tuning.set(sockets_a_user=1)
    SocketSeats().take(make_user().pk)
    assert is_let_in(by_token(user))


def test_nobody_in_particular_holds_nothing(user: User) -> None:
    assert close_code(LiveClient({})) == REVOKED
    assert close_code(LiveClient({"authorization": "Token nonsense"})) == REVOKED
    assert not OpenSocket.objects.exists()


@pytest.mark.usefixtures("few")
def test_sockets_of_other_processes_count(user: User) -> None:
    for _ in range(2):
        assert SocketSeats().take(user.pk) is not None
    assert SocketSeats().take(user.pk) is None
    assert close_code(by_token(user)) == TOO_MANY


@pytest.mark.usefixtures("few")
def test_those_of_a_dead_process_stop_counting(user: User) -> None:
    dead = SocketSeats()
    dead.take(user.pk)
    dead.take(user.pk)
    age(SOCKET_FREE_AFTER - dt.timedelta(seconds=5), process=dead.process)
    assert close_code(by_token(user)) == TOO_MANY
    age(SOCKET_FREE_AFTER + dt.timedelta(seconds=5), process=dead.process)
    assert is_let_in(by_token(user))


def test_a_process_renews_all_of_its_sockets_at_once(user: User) -> None:
    seats = SocketSeats()
    for person in (user, user, make_user()):
        seats.take(person.pk)
    age(SOCKET_FREE_AFTER)
    seats.renew()
    assert OpenSocket.objects.filter(seen_at__gt=verbs.now() - dt.timedelta(seconds=10)).count() == 3


def test_many_sockets_that_close_together_leave_nothing(user: User) -> None:
    seats = SocketSeats()
    for seat in seats.take_all([user.pk] * 5):
        assert seat is not None
        seats.give_back(seat)
    assert seats.release() == 5
    assert not OpenSocket.objects.exists()


def test_many_who_come_together_get_seats(user: User) -> None:
    seats, other = SocketSeats(), make_user()
    taken = seats.take_all([user.pk, other.pk, user.pk])
    assert [seat.user_pk for seat in taken if seat is not None] == [user.pk, other.pk, user.pk]
    assert OpenSocket.objects.filter(process=seats.process).count() == 3


def test_a_seat_that_was_given_back_is_free_at_once(user: User) -> None:
    seats = SocketSeats()
    first, *_ = seats.take_all([user.pk] * 20)
    assert first is not None
    seats.give_back(first)
    assert seats.take(user.pk) is not None
    assert OpenSocket.objects.count() == 20


def test_of_those_who_come_together_as_many_stay_as_other_processes_leave_room_for(user: User) -> None:
    SocketSeats().take_all([user.pk] * 12)
    found = SocketSeats().take_all([user.pk] * 15)
    assert (len(found), found.count(None)) == (15, 7)
    assert OpenSocket.objects.count() == 20


def test_seats_of_the_dead_are_taken_by_those_who_come_together(user: User) -> None:
    dead = SocketSeats()
    dead.take_all([user.pk] * 20)
    age(SOCKET_FREE_AFTER + dt.timedelta(seconds=1), process=dead.process)
    assert None not in SocketSeats().take_all([user.pk] * 20)


def test_a_database_that_does_not_tell_what_it_inserted_is_asked(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs.database_connection().features, "can_return_columns_from_insert", False)
    SocketSeats().take_all([user.pk] * 12)
    assert SocketSeats().take_all([user.pk] * 15).count(None) == 7


def take_without_an_answer(seats: SocketSeats, user: User) -> None:
    """Let there be a row of this process that it does not know of."""
    assert SocketSeats().take(user.pk)
    OpenSocket.objects.update(process=seats.process)


def test_a_seat_whose_answer_got_lost_is_taken_again(user: User, tuning: Tuning) -> None:
    tuning.set(sockets_a_user=1)
    seats = SocketSeats()
    take_without_an_answer(seats, user)
    assert seats.take(user.pk) is not None
    assert seats.renew() == []


class Deadlock(Exception):
    """A lost race to the drivers of PostgreSQL (by its state) and of MariaDB (by its number)."""

    sqlstate = "40P01"


@pytest.mark.parametrize("verb", ["INSERT", "UPDATE", "DELETE"])
def test_a_statement_that_loses_a_race_is_tried_again(user: User, verb: str) -> None:
    lost: list[str] = []

    def lose_once(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        if sql.startswith(verb) and not lost:
            lost.append(sql)
            raise OperationalError("database is locked") from Deadlock(1213)
        return execute(sql, *args)

    seats = SocketSeats()
    with verbs.database_connection().execute_wrapper(lose_once):
        seat = seats.take(user.pk)
        assert seat is not None
        assert seats.renew() == []
        seats.give_back(seat)
        assert seats.release() == 1
    assert lost
    assert not OpenSocket.objects.exists()


def test_a_seat_that_is_renewed_while_it_is_taken_over_stays_where_it_is(user: User, tuning: Tuning) -> None:
    tuning.set(sockets_a_user=1)
    slow, other = SocketSeats(), SocketSeats()
    slow.take(user.pk)
    age(SOCKET_FREE_AFTER + dt.timedelta(seconds=5))
    renewed: list[int] = []

    def renew_just_before(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        if sql.startswith("UPDATE") and not renewed:
            renewed.append(1)
            slow.renew()
        return execute(sql, *args)

    with verbs.database_connection().execute_wrapper(renew_just_before):
        assert other.take(user.pk) is None
    assert renewed
    assert OpenSocket.objects.get().process == slow.process


def test_a_lost_seat_that_is_given_back_frees_nobody_elses(user: User, tuning: Tuning) -> None:
    tuning.set(sockets_a_user=1)
    seats, other = SocketSeats(), SocketSeats()
    lost = seats.take(user.pk)
    assert lost is not None
    OpenSocket.objects.update(process=other.process)  # as if it had found it stale
    assert seats.renew() == [lost]
    OpenSocket.objects.all().delete()
    new = seats.take(user.pk)
    assert new is not None
    assert new.id == lost.id
    seats.give_back(lost)
    assert seats.release() == 0
    assert OpenSocket.objects.get().process == seats.process


def test_a_process_that_was_frozen_gets_other_seats_for_its_sockets(user: User) -> None:
    frozen, other = SocketSeats(), SocketSeats()
    seat = frozen.take(user.pk)
    assert seat is not None
    taken = {item.id for item in [other.take(user.pk) for _ in range(3)] if item is not None} | {seat.id}
    OpenSocket.objects.filter(pk=seat.id).update(process=other.process)  # as if it had found it stale

    assert frozen.renew() == []
    assert seat.id not in taken
    frozen.give_back(seat)
    assert frozen.release() == 1


def test_a_process_that_was_frozen_for_too_long_loses_what_others_have_now(user: User, tuning: Tuning) -> None:
    tuning.set(sockets_a_user=1)
    frozen = SocketSeats()
    seat = frozen.take(user.pk)
    age(SOCKET_FREE_AFTER + dt.timedelta(seconds=1))
    assert SocketSeats().take(user.pk) is not None

    assert frozen.renew() == [seat]
    assert frozen.renew() == []


def test_a_seat_that_could_not_be_freed_hides_no_loss(user: User, tuning: Tuning) -> None:
    tuning.set(sockets_a_user=2)
    frozen, other = SocketSeats(), SocketSeats()
    kept, closed = frozen.take_all([user.pk] * 2)
    assert kept is not None
    assert closed is not None
    frozen.give_back(closed)
    no_database = raising(OperationalError("no database"))
    with before_statement("DELETE", OpenSocket, no_database), pytest.raises(OperationalError):
        frozen.release()
    OpenSocket.objects.filter(pk=kept.id).update(process=other.process)  # as if it had found it stale

    assert frozen.renew() == []
    assert OpenSocket.objects.get(pk=kept.id).process == frozen.process


@pytest.mark.parametrize("give_up", [SocketSeats.renew, SocketSeats.release_all])
def test_a_row_that_no_socket_has_is_given_up(user: User, give_up: Callable[[SocketSeats], object]) -> None:
    seats = SocketSeats()
    take_without_an_answer(seats, user)
    give_up(seats)
    assert not OpenSocket.objects.exists()


def test_a_socket_whose_seat_is_lost_is_closed(user: User, tuning: Tuning) -> None:
    tuning.set(sockets_a_user=1, hub_renew_seconds=0.05)

    @with_clients(by_token(user))
    async def code(client: LiveClient) -> int:
        await client.has_nothing()
        await do(OpenSocket.objects.update, process=SocketSeats().process)
        return await client.close_code()

    assert code == TOO_MANY


def test_a_renewal_that_fails_is_tried_again(
    user: User, monkeypatch: pytest.MonkeyPatch, tuning: Tuning, caplog: pytest.LogCaptureFixture
) -> None:
    tuning.set(hub_renew_seconds=0.02, hub_tick_seconds=0.02)
    renewed = threading.Event()
    answers: list[Any] = [OperationalError("no database"), OperationalError("no database")]

    def renew(self: SocketSeats) -> list[Any]:
        if answers:
            raise answers.pop()
        renewed.set()
        return []

    monkeypatch.setattr(SocketSeats, "renew", renew)

    @with_clients(by_token(user))
    async def scenario(client: LiveClient) -> None:
        assert await asyncio.to_thread(renewed.wait, 10)
        assert await client.has_nothing()

    assert "part=renew" in caplog.text


@pytest.mark.usefixtures("broker")
def test_the_scheduler_forgets_the_sockets_of_dead_processes(user: User) -> None:
    dead, alive = SocketSeats(), SocketSeats()
    dead.take(user.pk)
    alive.take(user.pk)
    age(SOCKET_FORGOTTEN_AFTER + dt.timedelta(seconds=1), process=dead.process)
    assert Scheduler("one").tick()["forget_sockets"] == 1
    assert OpenSocket.objects.get().process == alive.process


def test_deleting_a_user_is_not_held_up_by_open_sockets(user: User) -> None:
    SocketSeats().take(user.pk)
    user.delete()
    assert not OpenSocket.objects.exists()
