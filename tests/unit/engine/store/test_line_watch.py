"""How long the other end of a line has been silent, and what is done about it."""

from __future__ import annotations

import functools
import socket
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from django_jobs.engine import access
from django_jobs.engine.deadlines import Late
from django_jobs.engine.store import database
from django_jobs.engine.store.base.core import Lines
from tests.support import verbs
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when it heard something last")


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP line."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as near,
        server.accept()[0] as far,
    ):
        yield near, far


def test_silence_lasts_from_what_was_sent_to_the_answer(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    near.sendall(b"?")
    wait_until(lambda: database._silence(near.fileno()) > 0.1, 5, "silence")
    far.sendall(b"!")
    wait_until(lambda: database._silence(near.fileno()) == 0, 5, "the answer")


def test_who_was_asked_nothing_is_not_silent(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    near.sendall(b"?")
    wait_until(lambda: database._silence(near.fileno()) > 0.1, 5, "silence")
    far.sendall(b"!")
    near.recv(1)
    wait_until(lambda: database._silence(far.fileno()) > 0.1, 5, "the other end's silence")
    assert database._silence(near.fileno()) == 0


class Silent(Lines):
    """A vendor with one line, which is asked something."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self.canceled: list[Any] = []

    def line_of(self, connection: Any) -> int:
        return self._line.fileno()

    def end_statement(self, connection: Any, is_wanted: Callable[[], bool] = lambda: True) -> None:
        self.canceled.append(connection)


@pytest.fixture
def silent(ends: tuple[socket.socket, socket.socket], tuning: Tuning) -> Any:
    """The store of the connection that has the near end."""
    store: Any = Silent(ends[0])
    tuning.set(chosen_stores={"silent": store}, line_cancel_seconds=0.1)
    return store


@pytest.mark.parametrize("is_waiting", [True, False], ids=["the engine waits", "a handler may wait"])
def test_only_a_line_on_which_the_engine_waits_is_hung_up(
    ends: tuple[socket.socket, socket.socket], silent: Silent, is_waiting: bool
) -> None:
    near, far = ends
    connection = SimpleNamespace(connection=object(), alias="silent")
    line = database._Line()
    line.connection, line.seconds = connection, 0.1 if is_waiting else None
    near.sendall(b"?")
    wait_until(lambda: database._silence(near.fileno()) > 0.3, 5, "silence")

    for _ in range(2):
        database._look_at(line)
    far.settimeout(0.2)
    far.recv(1)
    if is_waiting:
        wait_until(lambda: silent.canceled == [connection], 5, "the cancel")
        assert far.recv(1) == b""
    else:
        with pytest.raises(TimeoutError):
            far.recv(1)


def _has_canceled(store: Silent, times: int) -> bool:
    return len(store.canceled) == times


def test_a_line_that_answered_is_canceled_anew_before_it_is_hung_up(
    ends: tuple[socket.socket, socket.socket], silent: Silent
) -> None:
    near, far = ends
    line = database._Line()
    line.connection, line.seconds = SimpleNamespace(connection=object(), alias="silent"), 0.1
    for times in (1, 2):
        near.sendall(b"?")
        wait_until(lambda: database._silence(near.fileno()) > 0.1, 5, "silence")
        database._look_at(line)
        wait_until(functools.partial(_has_canceled, silent, times), 5, "the cancel")
        far.sendall(b"!")
        wait_until(lambda: database._silence(near.fileno()) == 0, 5, "the answer")
        database._look_at(line)


def test_behind_an_inner_block_the_limit_of_the_outer_one_holds_again() -> None:
    with database.waiting_on_line(5):
        line = database._of_thread.line
        with database.waiting_on_line(1):
            assert line.seconds == 1
        assert line.seconds == 5
    assert line.seconds is None


def test_what_goes_on_beside_its_caller_is_hung_up_too(
    ends: tuple[socket.socket, socket.socket], silent: Silent, interpose: Interpose, tuning: Tuning
) -> None:
    near, _ = ends
    connection = SimpleNamespace(connection=object(), alias="silent")
    interpose("database_connection", lambda: connection)
    tuning.set(line_duty_seconds=0.1)
    answers: list[bytes] = []

    def ask() -> None:
        near.sendall(b"?")
        answers.append(near.recv(1))

    with pytest.raises(Late):
        access.beside("a tenant", ask)

    def has_ended() -> bool:
        verbs.look_at_lines()
        return answers == [b""]

    wait_until(has_ended, 5, "the end of the line")
